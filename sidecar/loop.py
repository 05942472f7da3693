"""observe → decide → act → report, every two seconds and whenever something happens."""

import logging
import math
import threading
import time
from typing import Final

from sidecar.act import Actor
from sidecar.decide import decide
from sidecar.kube.client import ApiError
from sidecar.observation import Observation
from sidecar.observe import Adapters, after_acting, observe
from sidecar.patiently import WRITE_SECONDS
from sidecar.postgres import process
from sidecar.report.snapshot import Reporter, Snapshot
from sidecar.situation import Situation
from sidecar.situation.timing import FENCING_SHARE
from sidecar.teller import Teller
from sidecar.watchdog import Watchdog

_log = logging.getLogger(__name__)

_MIN_PAUSE: Final = 0.01
"""Seconds between two looks, however much happens."""

_FIRST_TRY_SECONDS: Final = 0.6

_STAY_SECONDS: Final = 5.0
_SERVICE_SECONDS: Final = 2.0
"""After PostgreSQL has stopped: a stopped server in a living pod refuses a connection at once, an
address without a pod lets clients wait. So the pod stays until its label is gone, and then until
every node's kube-proxy has seen that: each looks once a second at the most."""


class Loop:
    """The sidecar's main thread."""

    def __init__(
        self,
        adapters: Adapters,
        actor: Actor,
        teller: Teller,
        watchdog: Watchdog,
        reporter: Reporter,
    ) -> None:
        """Put the parts together; `run` sets them going."""
        self._adapters = adapters
        self._actor = actor
        self._teller = teller
        self._watchdog = watchdog
        self._reporter = reporter
        self._happened = threading.Event()
        self._left_at: float | None = None
        self._needed_at = float("-inf")
        self._trusted_until: float | None = None

    def wake(self) -> None:
        """Look again soon: something has changed. Safe from any thread."""
        self._happened.set()

    def leave(self) -> None:
        """End as soon as nobody needs this pod: the kubelet has stopped PostgreSQL before."""
        if self._left_at is None:
            self._left_at = self._adapters.clock()
        self._happened.set()

    def run(self) -> None:
        """Work until `leave` was called and the Service has moved."""
        started_at = self._adapters.clock()
        while True:
            observation = self._turn(started_at)
            if self._may_leave(observation):
                break
            learned = after_acting(self._adapters, observation)
            self._pause(decide(learned, self._adapters.settings).look_in)
        self._watchdog.trust_until(None)
        self._hand_in(observation)

    def _turn(self, started_at: float) -> Observation:
        settings = self._adapters.settings
        observation = observe(self._adapters, started_at)
        decision = decide(observation, settings)
        to_fence = decision.fence_in
        self._adapters.client.hurry(
            min(_moment(observation, to_fence), _moment(observation, _first_try(observation)))
        )
        if to_fence is None:
            self._trusted_until = None
            self._watchdog.trust_until(None)
        else:
            # Signals are sent from the deadline on; the last of them is the watchdog's own.
            escalation = settings.ttl * FENCING_SHARE * 2 / 3
            until = observation.now + to_fence + escalation
            # From the deadline on, turns that come to nothing must not put it off.
            if to_fence <= 0 and self._trusted_until is not None:
                until = min(until, self._trusted_until)
            self._trusted_until = until
            self._watchdog.trust_until(until)
        act_until = _moment(observation, decision.authority_for)
        failure = self._actor.carry_out(decision.actions, act_until)
        problem = failure or observation.bootstrap.failure or observation.postgres.problem
        if observation.bootstrap.silent_since is not None:
            problem = problem or observation.bootstrap.write_failure
        self._reporter.publish(Snapshot(observation, decision, problem, decision.is_overdue))
        self._teller.tell(decision, problem, observation.now)
        return observation

    def _pause(self, seconds: float) -> None:
        ended_at = self._adapters.clock()
        if self._happened.wait(seconds):
            too_soon = ended_at + _MIN_PAUSE - self._adapters.clock()
            if too_soon > 0:
                time.sleep(too_soon)
        self._happened.clear()

    def _may_leave(self, observation: Observation) -> bool:
        # What is done for a server that has stopped takes a look that began after that.
        if self._left_at is None or observation.now < self._left_at:
            return False
        lease, me = observation.lease, self._adapters.me
        holds = lease is not None and lease.record is not None and lease.record.holder == str(me)
        primary = self._adapters.settings.primary_value
        labelled = any(p.uid == me.uid and p.role == primary for p in observation.pods or ())
        has_successors = any(not pod.deleting for pod in observation.pods or ())
        now = self._adapters.clock()
        hands_over = not (observation.paused or observation.opted_out)
        if has_successors and hands_over and (holds or labelled):
            self._needed_at = now
        since_needed = now - self._needed_at
        return since_needed > _SERVICE_SECONDS or now - self._left_at > _STAY_SECONDS

    def _hand_in(self, observation: Observation) -> None:
        """Leave the Lease to the others at once; PostgreSQL here is known to be stopped."""
        bootstrap = self._adapters.bootstrap
        directory = bootstrap.data_directory()
        try:
            if directory is not None and bootstrap.patiently.run(
                lambda: process.processes(directory), WRITE_SECONDS
            ):
                return
            bootstrap.leave()
        except OSError as error:
            _log.warning("the data directory could not be left: %s", error)
            return
        try:
            # Nobody had everything, or the Lease would be another's by now: whoever comes back
            # under this name has it.
            heir = Situation(observation, self._adapters.settings).handover.own_replacement
            self._adapters.lease.release(heir)
        except ApiError as error:
            _log.warning("the Lease could not be released: %s", error)


def _first_try(observation: Observation) -> float | None:
    """Return the seconds that requests get while the API server answers: it takes milliseconds, and
    a cut-off is noticed the sooner. Once it has not answered, it gets all the time there is."""
    return None if observation.renewal_failed_at is not None else _FIRST_TRY_SECONDS


def _moment(observation: Observation, seconds: float | None) -> float:
    return math.inf if seconds is None else observation.now + seconds
