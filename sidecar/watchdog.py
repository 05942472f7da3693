"""Kills PostgreSQL where the loop, which should have stopped it gently, does not come back.

The loop may hang in a system call that has no deadline. The kubelet's watchdog is for a process
that is frozen as a whole; this one is for a loop that is stuck while the process lives.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

_SECONDS: Final = 0.25
_MOST_SECONDS: Final = 1.0
"""Between looks while nothing is due. The loop never sets a moment that is nearer: the escalation
before it takes longer."""


class Watchdog:
    """A thread that the loop tells each time until when it can be trusted."""

    def __init__(self, *, clock: Callable[[], float], kill: Callable[[], None]) -> None:
        """`clock`: monotonic seconds. `kill`: stops PostgreSQL at once."""
        self._clock = clock
        self._kill = kill
        self._kill_at: float | None = None
        self._told: set[str] = set()
        """What was logged of the kill that is due: the next try comes in a quarter of a second."""
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def trust_until(self, moment: float | None) -> None:
        """Kill at that moment, unless the loop says otherwise before. None: never."""
        self._kill_at = moment

    def check(self) -> None:
        """Kill if it is time; where that fails, it is tried again at the next look."""
        kill_at = self._kill_at
        if kill_at is None or self._clock() < kill_at:
            self._told.clear()
            return
        problem = None
        try:
            self._kill()
        except Exception as error:
            # Whatever it is, this thread must not end by it: nothing else is left here that kills.
            problem = f"PostgreSQL could not be killed: {error!r}"
        # Not before: where nobody takes the log, as on a full disk of the node, writing it hangs.
        self._tell("PostgreSQL should have been stopped by now: it is killed")
        if problem is not None:
            self._tell(problem)

    def _tell(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            _log.error(sentence)

    def _run(self) -> None:
        while True:
            self.check()
            kill_at = self._kill_at
            left = _MOST_SECONDS if kill_at is None else kill_at - self._clock()
            time.sleep(min(max(left, _SECONDS), _MOST_SECONDS))
