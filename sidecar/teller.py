"""Tells the operator what is going on: log, status annotation, Events.

In a thread of its own: a failover does not wait for what is only said.
"""

import logging
import queue
import threading
from typing import Final

from sidecar import contract
from sidecar.action import Attention, Decision, Role, TakeLease
from sidecar.kube.client import ApiError
from sidecar.kube.events import Events
from sidecar.kube.pods import Pods
from sidecar.observation import Identity

_log = logging.getLogger(__name__)

_PROBLEM_SECONDS: Final = 10.0
"""A server that starts refuses connections for a while, as it should: no Event about that. Nor is
what comes and goes told each time."""

_MOST_WAITING: Final = 100
"""Events, while the API server is away; more are only logged."""


class Teller:
    """Says each thing once, when it is new."""

    def __init__(self, me: Identity, pods: Pods, events: Events) -> None:
        """Write to pod `me`, and record Events about it and, where it becomes primary, about its
        StatefulSet."""
        self._me = me
        self._pods = pods
        self._events = events
        self._told: tuple[str, str] | None = None
        self._problem_since: float | None = None
        self._warned = False
        self._warned_of: str | None = None
        """The problem of the last warning, until it is told that it is over."""
        self._well_since: float | None = None
        self._took: str | None = None
        """What it said when it took the Lease, until it leads."""
        self._waiting: queue.Queue[tuple[str, str, Attention, bool]] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="teller", daemon=True)

    def start(self) -> None:
        """Begin to write to the API server."""
        self._thread.start()

    def tell(self, decision: Decision, problem: str | None, now: float) -> None:
        """Tell what is new of this turn of the loop; `now` in seconds on its clock."""
        told = (decision.situation, decision.sentence)
        if told != self._told:
            self._told = told
            self._problem_since = None
            _log.info(decision.sentence, extra={"situation": decision.situation})
            self._put(decision.situation, decision.sentence, decision.attention)
        self._tell_set(decision)
        self._warn(decision, problem, now)

    def _tell_set(self, decision: Decision) -> None:
        """Tell of a new primary, once: not of one that has only restarted."""
        if any(isinstance(action, TakeLease) for action in decision.actions):
            self._took = f"{decision.situation}: {decision.sentence}"
        if decision.role is Role.PRIMARY and self._took is not None:
            sentence = f"{self._me.name} is primary now ({self._took})"
            self._took = None
            self._put("Leading", sentence, Attention.NORMAL, of_set=True)

    def _warn(self, decision: Decision, problem: str | None, now: float) -> None:
        """Warn of what keeps failing, once until it has passed or the situation is another."""
        self._tell_of_end(problem, now)
        if problem is not None and problem in decision.sentence:
            problem = None
        if problem is None or self._problem_since is None:
            self._problem_since = None if problem is None else now
            self._warned = False
        elif now - self._problem_since >= _PROBLEM_SECONDS and not self._warned:
            self._warned = True
            self._warned_of = problem
            _log.warning(problem, extra={"situation": decision.situation})
            self._put(f"{decision.situation}{contract.PROBLEM}", problem, Attention.WARNING)

    def _tell_of_end(self, problem: str | None, now: float) -> None:
        if problem is not None or self._warned_of is None:
            self._well_since = None
        elif self._well_since is None:
            self._well_since = now
        elif now - self._well_since >= _PROBLEM_SECONDS:
            _log.info("over: %s", self._warned_of)
            self._put(contract.PROBLEM_OVER, f"this is over: {self._warned_of}", Attention.NORMAL)
            self._warned_of = None

    def _put(
        self, reason: str, sentence: str, attention: Attention, *, of_set: bool = False
    ) -> None:
        try:
            self._waiting.put_nowait((reason, sentence, attention, of_set))
        except queue.Full:
            _log.warning("not written to the API server: %s", sentence)

    def _run(self) -> None:
        while True:
            reason, sentence, attention, of_set = self._waiting.get()
            try:
                about = self._pods.statefulset() if of_set else None
                # One that may not be read, or is gone, has no Events.
                if attention is not Attention.NONE and not (of_set and about is None):
                    self._events.record(reason, sentence, attention, about=about)
                if self._waiting.empty() and self._told is not None:
                    # Of several sentences in a row only the last is worth a look.
                    self._pods.tell(self._me, self._told[1])
            except Exception as error:
                said = error if isinstance(error, ApiError) else repr(error)
                _log.warning("not written to the API server: %s", said)
