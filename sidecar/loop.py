"""observe → decide → act → report, every two seconds and whenever something happens."""

import logging
import math
import threading
import time
from typing import Final

from sidecar.act import Actor
from sidecar.action import Decision
from sidecar.adapters import Adapters
from sidecar.deadlines import seconds_to_look, seconds_to_the_kubelet
from sidecar.decide import decide
from sidecar.kube.client import ApiError
from sidecar.memory.departure import Departure
from sidecar.observation import Observation
from sidecar.observe import ask_peers, observe
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
_FAULT_PAUSE: Final = 0.5
"""Seconds until the next turn after one that has failed as none should."""
_MOST_FAULTY_SECONDS: Final = 5.0
"""So long turns may fail in a row; then the sidecar ends, and is started anew."""


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
        self._departure = Departure()
        self._trusted_until: float | None = None
        self._fault = ""

    def wake(self) -> None:
        """Look again soon: something has changed. Safe from any thread."""
        self._happened.set()

    def leave(self) -> None:
        """End as soon as nobody needs this pod: the kubelet has stopped PostgreSQL before."""
        self._departure.order(self._adapters.clock())
        self._happened.set()

    def run(self) -> None:
        """Work until `leave` was called and the Service has moved."""
        clock = self._adapters.clock
        started_at = succeeded_at = clock()
        while True:
            try:
                observation, decision = self._turn(started_at)
                succeeded_at = clock()
                if self._departure.may_go(observation, self._adapters.settings, clock()):
                    break
                look_in = self._seconds_to_look(observation, decision)
            except Exception as error:
                # What it has in memory may be the cause.
                if clock() - succeeded_at > _MOST_FAULTY_SECONDS:
                    raise
                self._note_fault(error)
                # The times that the last turn gave the watchdog and the kubelet's probe stand.
                if self._reporter.newest() is None:
                    self._reporter.fail_probe_in(0.0, clock())
                look_in = _FAULT_PAUSE
            self._pause(look_in)
        self._watchdog.trust_until(None)
        self._hand_in(observation)

    def _seconds_to_look(self, observation: Observation, decision: Decision) -> float:
        """Return after how many seconds to look again, by what acting has shown."""
        lease, now = self._adapters.lease.peek(), self._adapters.clock()
        learned = self._adapters.reach.after_acting(observation, lease, now)
        if learned is observation:
            return decision.look_in
        s = Situation(learned, self._adapters.settings)
        self._reporter.fail_probe_in(seconds_to_the_kubelet(s), learned.now)
        return seconds_to_look(s)

    def _note_fault(self, error: Exception) -> None:
        """Log it with its place, unless it is the one of the turn before."""
        if repr(error) != self._fault:
            _log.error("a turn of the loop failed: %r", error, exc_info=error)
        self._fault = repr(error)

    def _turn(self, started_at: float) -> tuple[Observation, Decision]:
        settings = self._adapters.settings
        if self._trusted_until is None:
            # What the last turn left for requests was for what it did.
            self._adapters.client.hurry(math.inf)
        observation = observe(self._adapters, started_at)
        decision = decide(observation, settings)
        if decision.asks_peers:
            observation = ask_peers(self._adapters, observation)
            decision = decide(observation, settings)
        now, fence_in = observation.now, decision.fence_in
        requests_end_at = self._adapters.reach.requests_end_at(now, fence_in, settings)
        self._adapters.client.hurry(requests_end_at)
        self._set_watchdog(now, fence_in)
        act_until = math.inf if decision.authority_for is None else now + decision.authority_for
        failure = self._actor.carry_out(decision.actions, act_until)
        problem = failure or self._problem(observation)
        self._reporter.publish(Snapshot(observation, decision, problem))
        self._teller.tell(decision, problem, now)
        return observation, decision

    def _set_watchdog(self, now: float, fence_in: float | None) -> None:
        """Tell the watchdog when to kill PostgreSQL, if this thread is stuck by then."""
        until = None
        if fence_in is not None:
            # Signals are sent from the deadline on; the last of them is the watchdog's own.
            escalation = self._adapters.settings.ttl * FENCING_SHARE * 2 / 3
            until = now + fence_in + escalation
            # From the deadline on, turns that come to nothing must not put it off.
            if fence_in <= 0 and self._trusted_until is not None:
                until = min(until, self._trusted_until)
        self._trusted_until = until
        self._watchdog.trust_until(until)

    def _problem(self, observation: Observation) -> str | None:
        """Return what keeps failing, as far as it is seen, in one sentence."""
        bootstrap = observation.bootstrap
        problem = bootstrap.failure or observation.postgres.problem
        if bootstrap.silent_since is not None:
            problem = problem or bootstrap.write_failure
        shown = Situation(observation, self._adapters.settings).pod.shown
        return problem or (shown.problem if shown is not None else None)

    def _pause(self, seconds: float) -> None:
        ended_at = self._adapters.clock()
        if self._happened.wait(seconds):
            too_soon = ended_at + _MIN_PAUSE - self._adapters.clock()
            if too_soon > 0:
                time.sleep(too_soon)
        self._happened.clear()

    def _hand_in(self, observation: Observation) -> None:
        """Leave the Lease to the others at once; PostgreSQL here is known to be stopped."""
        self._adapters.client.hurry(math.inf)
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
            self._adapters.lease.release(self._departure.heir(observation, self._adapters.settings))
        except ApiError as error:
            _log.warning("the Lease could not be released: %s", error)
