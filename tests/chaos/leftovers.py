"""What a run leaves behind when it is killed before it can heal: taken away by the next one."""

import contextlib
import os
import signal

from deploy.local import processes
from deploy.local.errors import LocalClusterError
from deploy.local.layout import NODES
from tests.chaos import cut


def take_away() -> None:
    """Let stopped processes of the local cluster go on, and join nodes that are cut off.

    A node that was killed is none of this: `cluster.up` starts the cluster anew where one lacks.
    """
    for record in processes.alive().values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGCONT)
    for plan in NODES:
        with contextlib.suppress(LocalClusterError):  # a node that does not run has no packets
            cut.join(plan)
