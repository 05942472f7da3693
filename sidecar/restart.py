"""The container's first process: it starts the sidecar anew, at once, where that ends abnormally.

The kubelet would wait first, from the second time within ten minutes on (CrashLoopBackOff), and for
as long PostgreSQL's probe would get no answer. This process answers nobody, and what it is told to
end by, it passes on: a sidecar that hangs fails its own probe and is killed with it.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

STEADY_SECONDS: Final = 10.0
"""Who has not even lived for so long is left to the kubelet, which makes it known."""

_PR_SET_PDEATHSIG: Final = 1
_TERM: Final = (signal.SIGTERM,)


def keep_running(work: Callable[[], int], *, steady_seconds: float = STEADY_SECONDS) -> int:
    """Run `work` in a child, again wherever that fails; return the exit code of the last."""
    child: int | None = None
    leaving = False

    def pass_on(number: int, _: FrameType | None) -> None:
        nonlocal leaving
        leaving = True
        if child is not None:
            os.kill(child, number)

    signal.signal(signal.SIGTERM, pass_on)
    while True:
        began = time.monotonic()
        # No signal comes while it is not known to whom it should go.
        signal.pthread_sigmask(signal.SIG_BLOCK, _TERM)
        child = _start(work)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERM)
        # It is left as a zombie, whose pid nobody else gets, until nothing is sent to it any more.
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        signal.pthread_sigmask(signal.SIG_BLOCK, _TERM)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        child = None
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERM)
        if code == 0 or leaving or time.monotonic() - began < steady_seconds:
            return code if code >= 0 else 128 - code
        why = f"exit code {code}" if code > 0 else signal.Signals(-code).name
        sys.stderr.write(f"pgset: the sidecar has ended by {why}; it is started anew\n")


def _start(work: Callable[[], int]) -> int:
    parent = os.getpid()
    if (child := os.fork()) != 0:
        return child
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERM)
        # Whoever kills the container's first process ends the sidecar, however that hangs.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:
            code = work()
    except BaseException:
        import traceback  # noqa: PLC0415 - the first process would keep it in memory for nothing

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)
