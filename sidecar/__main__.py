"""What the sidecar container starts: it answers the kubelet, and then loads all the rest.

A sidecar that was killed has to answer again before the kubelet's third probe, some two seconds
later, or the kubelet stops PostgreSQL. On a busy node loading takes one of them.
"""

import ctypes
import sys
import time
from collections.abc import Callable
from typing import Final

from sidecar import contract
from sidecar.report.log import configure_logging
from sidecar.report.message import Answer, Request
from sidecar.report.server import HttpServer

LOADING_SECONDS: Final = 4.0
"""For all that is loaded. The loop, too, may take as long for a turn."""

_PR_SET_DUMPABLE: Final = 4


def hide_from_other_processes() -> None:
    """Keep PostgreSQL, which has the same uid, from reading the token through /proc/<pid>/root.

    A superuser of the database can run programs there (COPY … FROM PROGRAM); with "dumpable" off
    the kernel refuses them this process's environment, memory and files. See proc(5), prctl(2).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) was refused")


def while_loading(clock: Callable[[], float]) -> Callable[[Request], Answer]:
    """Return what answers for now: alive for `LOADING_SECONDS`, and nothing else yet.

    `clock`: monotonic seconds.
    """
    began = clock()

    def answer(request: Request) -> Answer:
        if request.path == "/liveness" and clock() - began < LOADING_SECONDS:
            return Answer.of(200, {"ok": True})
        return Answer.of(503, {"error": "the sidecar is starting"})

    return answer


def main() -> int:
    """Run until SIGTERM; return the exit code."""
    hide_from_other_processes()
    configure_logging()
    # On every address of the pod: probes come from the node, peers from other pods.
    server = HttpServer(while_loading(time.monotonic), contract.SIDECAR_PORT, waits=lambda _: False)
    server.start()

    from sidecar.agent import run  # noqa: PLC0415 - most of the time of a start

    return run(server)


if __name__ == "__main__":
    sys.exit(main())
