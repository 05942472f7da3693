"""The last observation and the decision on it, passed from the loop to HTTP and metrics."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from sidecar.action import Decision
from sidecar.observation import Observation


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One turn of the loop."""

    observation: Observation
    decision: Decision
    problem: str | None
    """What went wrong in it, in one sentence."""


class Reporter:
    """Holds the newest snapshot and how old it is."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: monotonic seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._published_at = clock()
        self._probe_fails_at = math.inf

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the newest snapshot."""
        with self._lock:
            self._snapshot = snapshot
            self._published_at = self._clock()
        self.fail_probe_in(snapshot.decision.probe_fails_in, snapshot.observation.now)

    def fail_probe_in(self, seconds: float | None, now: float) -> None:
        """Let the kubelet's probe fail so many seconds after `now`, unless something else is said
        before. None: never."""
        self._probe_fails_at = math.inf if seconds is None else now + seconds

    def probe_fails(self) -> bool:
        """Return whether that moment has come."""
        return self._clock() >= self._probe_fails_at

    def newest(self) -> Snapshot | None:
        """Return the newest snapshot; None before the first turn."""
        return self._snapshot

    def age(self) -> float:
        """Return the seconds since the loop's last turn."""
        return self._clock() - self._published_at
