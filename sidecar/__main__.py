"""What the sidecar container starts: a small process that starts the sidecar, which listens, loads
all the rest, and then answers.

A sidecar that was killed has to answer the kubelet's third probe, some two seconds later, or the
kubelet stops PostgreSQL. On a busy node loading takes one of them. A probe that finds somebody who
listens waits for its answer, for a second at most; nobody says yes before there is a watchdog.
"""

import ctypes
import os
import sys
from typing import Final

from sidecar import contract
from sidecar.environment import keep_only_what_is_ours
from sidecar.restart import keep_running

_PR_SET_DUMPABLE: Final = 4


def hide_from_other_processes() -> None:
    """Keep PostgreSQL, which has the same uid, from reading the token through /proc/<pid>/root.

    A superuser of the database can run programs there (COPY … FROM PROGRAM); with "dumpable" off
    the kernel refuses them this process's environment, memory and files. See proc(5), prctl(2).
    The image's interpreter starts that way; this is for one that can be read.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) was refused")


def main() -> int:
    """Run until SIGTERM; return the exit code."""
    hide_from_other_processes()
    keep_only_what_is_ours(os.environ)
    return keep_running(work)


def work() -> int:
    """Listen, load the rest and run until SIGTERM; return the exit code."""
    # Not by the process that starts this one, and would keep them in memory as well.
    from sidecar.report.log import configure_logging  # noqa: PLC0415
    from sidecar.report.server import listen  # noqa: PLC0415

    configure_logging()
    # On every address of the pod: probes come from the node, peers from other pods.
    listener = listen(contract.SIDECAR_PORT)

    from sidecar.agent import run  # noqa: PLC0415 - most of the time of a start

    return run(listener)


if __name__ == "__main__":
    sys.exit(main())
