"""observe → decide → act → report, once a second and whenever something happens."""

import contextlib
import logging
import math
import threading
from collections.abc import Iterator
from typing import Final

from sidecar.act import Actor
from sidecar.action import Attention, Decision
from sidecar.decide import decide, seconds_to_fence
from sidecar.kube.client import ApiError
from sidecar.kube.events import Events
from sidecar.observation import Observation, ServerState
from sidecar.observe import Adapters, observe
from sidecar.postgres import process
from sidecar.report.snapshot import Reporter, Snapshot

_log = logging.getLogger(__name__)

_TICK_SECONDS: Final = 1.0
_UNSETTLED_TICK_SECONDS: Final = 0.1
"""The bootstrap container answers through files and a postmaster ends, and neither wakes us."""
_MIN_PAUSE: Final = 0.05
"""Seconds between two looks, however much happens."""

_PROBLEM_SECONDS: Final = 10.0
"""A server that starts refuses connections for a while, as it should: no Event about that."""


class Loop:
    """The sidecar's main thread."""

    def __init__(
        self, adapters: Adapters, actor: Actor, events: Events, reporter: Reporter
    ) -> None:
        """Put the parts together; `run` sets them going."""
        self._adapters = adapters
        self._actor = actor
        self._events = events
        self._reporter = reporter
        self._happened = threading.Event()
        self._leaving = threading.Event()
        self._told: tuple[str, str] | None = None
        self._problem_since: float | None = None
        self._warned = False

    def wake(self) -> None:
        """Look again soon: something has changed. Safe from any thread."""
        self._happened.set()

    def leave(self) -> None:
        """End after the look that is under way: the kubelet has stopped PostgreSQL before."""
        self._leaving.set()
        self._happened.set()

    def run(self) -> None:
        """Work until `leave` was called."""
        started_at = self._adapters.clock()
        while not self._leaving.is_set():
            observation = observe(self._adapters, started_at)
            decision = decide(observation, self._adapters.settings)
            left = seconds_to_fence(observation, self._adapters.settings)
            self._adapters.client.hurry(math.inf if left is None else observation.now + left)
            failure = self._actor.carry_out(decision.actions)
            problem = failure or observation.bootstrap.failure or observation.postgres.problem
            self._reporter.publish(Snapshot(observation, decision, problem))
            self._tell(decision)
            self._warn(decision, problem)
            self._pause(_tick(observation, left))
        self._hand_in()

    def _pause(self, seconds: float) -> None:
        self._leaving.wait(_MIN_PAUSE)
        self._happened.wait(seconds - _MIN_PAUSE)
        self._happened.clear()

    def _tell(self, decision: Decision) -> None:
        """Log, and tell the operator, what is new; the API server may be away, so once only."""
        told = (decision.situation, decision.sentence)
        if told == self._told:
            return
        self._told = told
        self._problem_since = None
        _log.info(decision.sentence, extra={"situation": decision.situation})
        with _unless_the_api_server_is_away():
            self._adapters.pods.tell(self._adapters.me, decision.sentence)
        if decision.attention is not Attention.NONE:
            with _unless_the_api_server_is_away():
                self._events.record(decision.situation, decision.sentence, decision.attention)

    def _warn(self, decision: Decision, problem: str | None) -> None:
        """Warn of what keeps failing, once until it has passed or the situation is another."""
        now = self._adapters.clock()
        if problem is None or self._problem_since is None:
            self._problem_since = None if problem is None else now
            self._warned = False
        elif now - self._problem_since >= _PROBLEM_SECONDS and not self._warned:
            self._warned = True
            _log.warning(problem, extra={"situation": decision.situation})
            with _unless_the_api_server_is_away():
                reason = f"{decision.situation}Problem"
                self._events.record(reason, problem, Attention.WARNING)

    def _hand_in(self) -> None:
        """Leave the Lease to the others at once; PostgreSQL here is known to be stopped."""
        directory = self._adapters.bootstrap.data_directory()
        if directory is not None and process.postmaster_pid(directory) is not None:
            return
        self._adapters.bootstrap.leave()
        with _unless_the_api_server_is_away():
            self._adapters.lease.release()


def _tick(observation: Observation, seconds_to_fence: float | None) -> float:
    if observation.bootstrap.running or observation.postgres.state is ServerState.DOWN:
        return _UNSETTLED_TICK_SECONDS
    if seconds_to_fence is None:
        return _TICK_SECONDS
    return min(_TICK_SECONDS, max(_UNSETTLED_TICK_SECONDS, seconds_to_fence))


@contextlib.contextmanager
def _unless_the_api_server_is_away() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        _log.warning("not written to the API server: %s", error)
