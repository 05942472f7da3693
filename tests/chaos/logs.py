"""The logs of the set's containers, kept beyond their pods."""

import contextlib
import os
import threading
from pathlib import Path
from typing import Final

from deploy.local import cluster
from deploy.local.layout import NODES
from tests.chaos.subject import NAMESPACE

_PODS: Final = Path("/var/log/pods")
"""Where a kubelet has them, below the node's own root: NAMESPACE_POD_UID/CONTAINER/N.log."""

_INTERVAL: Final = 0.5


class Logs:
    """Gives each log file a second name in `folder`, which outlives the kubelet's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> "Logs":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._stopping.wait(_INTERVAL):
            for plan in NODES:
                # A folder that goes away under the search ends it; the next one is soon.
                with contextlib.suppress(FileNotFoundError):
                    pods = cluster.node(plan.name).own(_PODS)
                    for log in pods.glob(f"{NAMESPACE}_*/*/*.log"):
                        self._link(log)

    def _link(self, log: Path) -> None:
        _, pod, uid = log.parent.parent.name.split("_")
        other = self._folder / f"{pod}.{uid[:8]}.{log.parent.name}.{log.name}"
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.link(log, other)
