"""What a run leaves behind when it is killed before it can heal: taken away by the next one."""

import contextlib
import os
import signal

from deploy.local import processes
from deploy.local.errors import LocalClusterError
from deploy.local.layout import NODES
from tests.chaos import cut, volumes
from tests.chaos.subject import SET


def take_away() -> None:
    """Let go on what was stopped of the local cluster and of the set's volumes, and join nodes.

    A node that was killed is none of this: `cluster.up` starts the cluster anew where one lacks.
    """
    for record in processes.alive().values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGCONT)
    volumes.let_all_go(SET)
    for plan in NODES:
        with contextlib.suppress(LocalClusterError):  # a node that does not run has no packets
            cut.join(plan)
