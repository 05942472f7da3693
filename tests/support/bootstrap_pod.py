"""A bootstrap container and the sidecar that gives it orders, without Kubernetes."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from deploy.local import packages
from sidecar.bootstrap import Bootstrap
from sidecar.observation import BootstrapView, DataState, Identity
from tests.support.database import ENTRYPOINT, Host, free_port
from tests.support.patient_volume import patient
from tests.support.waiting import wait_until

_TIMEOUT: Final = """#!/bin/sh
[ "$1 $2 $3" = "-s KILL 5" ] || exit 125
shift 3
exec /usr/bin/timeout -s KILL 180 "$@"
"""
"""bootstrap gives PostgreSQL's programs five seconds to answer, and then knows nothing."""


def sidecar_of(handshake: Path, name: str, uid: str, ttl: int = 1) -> Bootstrap:
    """The sidecar's end of the hand-shake, in a pod of that name."""
    return patient(Bootstrap(handshake, Identity(name, uid), ttl))


class Pod:
    """One pod's data directory, hand-shake folder and sidecar."""

    def __init__(self, host: Host, uid: str = "uid-0", name: str = "pod") -> None:
        self.host = host
        self.handshake = host.make_folder(f"{name}-handshake")
        self.data = host.folder / f"{name}-data"
        self.port = free_port()
        self.clock: Callable[[], float] = time.monotonic
        """By which the sidecar looks."""
        self.command: tuple[str | Path, ...] = (
            *(shutil.copy(ENTRYPOINT, host.folder), "postgres", "-k", host.folder),
        )
        self.sidecar = sidecar_of(self.handshake, "orders-0", uid)
        self.sidecar.provide_script()
        self.shell: str | Path = "/bin/sh"
        self.path = self.host.environment()["PATH"]
        if not self._in_place_of("timeout").exists():
            self.stand_in("timeout", _TIMEOUT)

    def boot(self, **environment: str) -> None:
        self.process = self.host.start(
            # A process group of its own, to be ended as a container is.
            "setsid",
            self.shell,
            self.handshake / "bootstrap.sh",
            *self.command,
            **{
                "PATH": f"{self.host.folder}/stand-ins:{self.path}",
                "PGDATA": str(self.data),
                "PGSET_HANDSHAKE": str(self.handshake),
                "PGSET_UID": str(self.data.parent.stat().st_uid),
                "PGPORT": str(self.port),
                "PGSET_PORT": str(self.port),
                "POSTGRES_PASSWORD": "secret",
                **environment,
            },
        )

    def use_busybox(self) -> None:
        """Have no programs but PostgreSQL's, those that stand in, and busybox's, as in Alpine."""
        self.hurry()
        tools = self.host.make_folder("busybox")
        shutil.copy(packages.unpack(packages.BUSYBOX) / "bin/busybox", tools)
        self.host.run(tools / "busybox", "--install", "-s", tools)
        self.shell = tools / "sh"
        self.path = f"{self.host.programs}:{tools}"

    def look(self) -> BootstrapView:
        return self.sidecar.observe(self.clock())

    def wait_for(self, question: Callable[[BootstrapView], bool]) -> BootstrapView:
        """Return the look at which the answer was yes."""
        seen: list[BootstrapView] = []

        def is_so() -> bool:
            seen[:] = [self.look()]
            return question(seen[0])

        wait_until(is_so, f"bootstrap, which says {self.look()}")
        return seen[0]

    def obey(self, verb: str, argument: str = "") -> BootstrapView:
        self.sidecar.order(verb, argument)
        return self.wait_for(lambda view: view.busy is None)

    def boot_with(self, data: DataState, **environment: str) -> None:
        # That of an earlier life stays until this one has begun.
        (self.handshake / "report").unlink(missing_ok=True)
        self.boot(**environment)
        self.wait_for(lambda view: view.data is data)

    def hurry(self) -> None:
        """Give PostgreSQL's programs no more time than bootstrap does."""
        self._in_place_of("timeout").unlink()

    def _in_place_of(self, program: str) -> Path:
        return self.host.folder / "stand-ins" / program

    def stand_in(self, program: str, text: str) -> Path:
        """Put a program before the real one, and return its path."""
        path = self._in_place_of(program)
        path.parent.mkdir(exist_ok=True)
        path.parent.chmod(0o755)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def kill(self) -> None:
        """End the container at once, with all that runs in it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
