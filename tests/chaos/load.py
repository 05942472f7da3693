"""The clients of one round: started in nodes' network namespaces, and ended by their pid."""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import network, paths
from deploy.local.layout import NodePlan
from tests.chaos.record import Attempt

_SECONDS = 5.0


@dataclass
class Load:
    """The clients that run now, and where they write what they did."""

    folder: Path
    password: str
    program: str = "tests.chaos.client"
    """The module that is the clients' program."""
    _processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, what: str, name: str, node: NodePlan, address: str) -> None:
        """Start a client that does `what`, one of the program's kinds, on a node."""
        log = self._log(name)
        log.touch()
        self._processes[name] = subprocess.Popen(
            [
                *network.enter(node.namespace),
                *(sys.executable, "-m", self.program, what, name, address, str(log)),
            ],
            cwd=paths.CHECKOUT,
            env={**os.environ, "PGPASSWORD": self.password},
            stdin=subprocess.DEVNULL,
        )

    def ended(self) -> list[str]:
        """Return the clients that have ended, as their node's processes do where it is killed."""
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def stop(self) -> None:
        """End all clients after what they are just trying."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS)
            process.kill()
            process.wait()

    def attempts(self) -> list[Attempt]:
        """Return what all clients have tried until now."""
        return [
            Attempt(**json.loads(line))
            for name in self._processes
            for line in self._log(name).read_text().splitlines(keepends=True)
            if line.endswith("\n")
        ]

    def has_success(self, name: str) -> bool:
        """Tell whether a client has been acknowledged anything yet."""
        return any(it.client == name and it.by is not None for it in self.attempts())

    def is_served(self, name: str, since: float) -> bool:
        """Tell whether a client whose name begins so was acknowledged what it began after then."""
        return any(
            it.client.startswith(name) and it.by is not None and it.began >= since
            for it in self.attempts()
        )

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"
