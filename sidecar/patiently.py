"""Does what may hang, a look at the data volume or a change of it, without hanging with it.

A file server or a disk that does not answer keeps every system call on its files for as long as it
likes, and the thread that made it. The loop has to renew and to fence meanwhile.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

SECONDS: Final = 0.5
"""For a look: a volume that answers takes microseconds, one under load milliseconds."""

WRITE_SECONDS: Final = 2.0
"""For what waits until something is on the disk."""

_Result = TypeVar("_Result")


class _Call:
    """A function and what came of it."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.result: Any = None
        self.error: BaseException | None = None
        self.ended = False
        # A bare lock: an Event would cost several times as much, at every look.
        self.waiting = threading.Lock()
        self.waiting.acquire()

    def run(self) -> None:
        try:
            self.result = self.function()
        except BaseException as error:
            self.error = error
        self.ended = True
        self.waiting.release()


class Patiently:
    """One thread that does what others wait for, but not for ever. Safe from any thread.

    While a call hangs no other is begun: what was asked for happens in that order, be it late, and
    there is never more than one thread that hangs.
    """

    def __init__(self) -> None:
        """Nothing was asked for yet."""
        self._lock = threading.Lock()
        self._calls: SimpleQueue[_Call] = SimpleQueue()
        self._last: _Call | None = None
        self._started = False
        self._thread = threading.Thread(
            target=self._work, name="patiently: the volume", daemon=True
        )

    def start(self) -> None:
        """Start the thread, once: with the process, and not with the first call."""
        if not self._started:
            self._started = True
            self._thread.start()

    def run(self, function: Callable[[], _Result], seconds: float = SECONDS) -> _Result:
        """Return what it returns, or raise what it raises.

        Raises TimeoutError where it has not ended after `seconds`; it may still end later. Raises
        it at once where an earlier call has not ended yet.
        """
        with self._lock:
            if self._last is not None and not self._last.ended:
                raise TimeoutError("the volume does not answer")
            self.start()
            call = self._last = _Call(function)
            self._calls.put(call)
            if not call.waiting.acquire(timeout=seconds):
                raise TimeoutError(f"the volume has not answered within {seconds:g} s")
        if call.error is not None:
            raise call.error
        result: _Result = call.result
        return result

    def _work(self) -> None:
        while True:
            self._calls.get().run()
