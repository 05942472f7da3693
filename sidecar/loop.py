"""observe → decide → act → report, once a second and whenever something happens."""

import logging
import threading
from typing import Final

from sidecar.act import Actor
from sidecar.action import Attention, Decision
from sidecar.decide import decide
from sidecar.kube.client import ApiError
from sidecar.kube.events import Events
from sidecar.observe import Adapters, observe
from sidecar.postgres import process
from sidecar.report.snapshot import Reporter, Snapshot

_log = logging.getLogger(__name__)

_TICK_SECONDS: Final = 1.0
_MIN_PAUSE: Final = 0.05
"""Seconds between two looks, however much happens."""


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
        self._problem: str | None = None

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
            failure = self._actor.carry_out(decision.actions)
            problem = failure or observation.bootstrap.failure or observation.postgres.problem
            self._reporter.publish(Snapshot(observation, decision, problem))
            self._tell(decision, problem)
            self._pause()
        self._hand_in()

    def _pause(self) -> None:
        self._leaving.wait(_MIN_PAUSE)
        self._happened.wait(_TICK_SECONDS - _MIN_PAUSE)
        self._happened.clear()

    def _tell(self, decision: Decision, problem: str | None) -> None:
        """Log, and tell the operator, what is new; the API server may be away, so once only."""
        told = (decision.situation, decision.sentence)
        if told != self._told:
            _log.info(decision.sentence, extra={"situation": decision.situation})
            self._told = told
            self._try_to_tell(decision)
        if problem != self._problem:
            self._problem = problem
            if problem is not None:
                _log.warning(problem, extra={"situation": decision.situation})
                self._try_to_warn(decision, problem)

    def _try_to_tell(self, decision: Decision) -> None:
        try:
            self._adapters.pods.tell(self._adapters.me, decision.sentence)
            if decision.attention is not Attention.NONE:
                self._events.record(decision.situation, decision.sentence, decision.attention)
        except ApiError as error:
            _log.warning("the API server was not told: %s", error)

    def _try_to_warn(self, decision: Decision, problem: str) -> None:
        try:
            self._events.record(f"{decision.situation}Problem", problem, Attention.WARNING)
        except ApiError as error:
            _log.warning("the API server was not told: %s", error)

    def _hand_in(self) -> None:
        """Leave the Lease to the others at once; PostgreSQL here is known to be stopped."""
        directory = self._adapters.bootstrap.data_directory()
        self._adapters.bootstrap.leave()
        if directory is not None and process.postmaster_pid(directory) is not None:
            return
        try:
            self._adapters.lease.release()
        except ApiError as error:
            _log.warning("the Lease was not released: %s", error)
