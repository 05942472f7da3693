"""Threads that are started with the process, and then do what they are given.

`Thread.start` waits until the new thread says that it runs. Where that one dies first, for want of
memory, it waits for ever (python/cpython#140746). So no thread is started by whom others wait for:
not by the loop, and least of all by the thread that answers the kubelet's watchdog.
"""

import logging
import queue
import threading
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

Work = Callable[[], object]


class Workers:
    """So many threads and a queue, of a bounded length. Safe from any thread."""

    def __init__(self, name: str, number: int, *, most_waiting: int) -> None:
        """`name`: of the threads. `most_waiting`: how much is taken beyond what is being done."""
        self._threads: Final = [
            threading.Thread(target=self._run, name=name, daemon=True) for _ in range(number)
        ]
        self._waiting: queue.Queue[Work | None] = queue.Queue(most_waiting)
        self._lock = threading.Lock()
        self._started = False

    def start(self) -> None:
        """Start the threads, once. Raises RuntimeError where the pod may have no more."""
        with self._lock:
            if not self._started:
                self._started = True
                for thread in self._threads:
                    thread.start()

    def take(self, work: Work) -> bool:
        """Let one of them do it, after what was taken before; False where too much is waiting."""
        try:
            self._waiting.put_nowait(work)
        except queue.Full:
            return False
        return True

    def stop(self) -> None:
        """End them, after what was taken."""
        if self._started:
            for _ in self._threads:
                self._waiting.put(None)
            for thread in self._threads:
                thread.join()

    def _run(self) -> None:
        while (work := self._waiting.get()) is not None:
            try:
                work()
            except Exception:
                # Whatever it is, it must not cost the others their thread.
                _log.exception("a task of thread %s failed", threading.current_thread().name)
            # What it held, such as a connection, is not held until there is something else to do.
            del work
