"""A real PostgreSQL in a folder of its own, as a user who is not root."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.postgres import process
from tests.support.waiting import state_of, wait_until

ENTRYPOINT = Path(__file__).parents[2] / "deploy/local/postgres-image/docker-entrypoint.sh"
USER = "nobody"
"""PostgreSQL refuses to run as root; this user is there on every Debian."""


@dataclass
class Host:
    """A folder that PostgreSQL's user owns, and what runs in it."""

    folder: Path
    programs: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """No locale: what a program here is given one for has to bring its own."""
        return {"PATH": f"{self.programs}:/usr/bin:/bin", "PGHOST": str(self.folder)}

    def start(self, *command: str | Path, **environment: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                env=self.environment() | environment,
                user=USER if os.geteuid() == 0 else None,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        return process

    def run(self, *command: str | Path, **environment: str) -> None:
        code = self.start(*command, **environment).wait(timeout=240)
        assert code == 0, self.log()

    def make_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(0o700)
        own(folder)
        return folder

    def end(self) -> None:
        """Let nothing run in it any more."""
        for started in reversed(self.processes):
            if started.poll() is None:
                # To PostgreSQL an immediate shutdown, since nothing here is worth a checkpoint; but
                # a shell ignores it where the tests were started in the background.
                postgres = started.args[0] == "postgres"  # type: ignore[index]
                started.send_signal(signal.SIGQUIT if postgres else signal.SIGTERM)
                try:
                    started.wait(timeout=180)
                except subprocess.TimeoutExpired:
                    started.kill()
                    started.wait()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


def own(path: Path) -> None:
    if os.geteuid() == 0:
        shutil.chown(path, USER, pwd.getpwnam(USER).pw_gid)


_FIRST_PORT, _PORTS = 10000, 20000
"""Not of those that the kernel gives to clients: some test beside this one would get it."""
_TOGETHER = 100


def _take_ports() -> Iterator[int]:
    """Yield ports of which no other process of the tests is given any for as long as this one
    lives: what listens there comes later, and goes in between."""
    # Released with the process, whatever ends it.
    claim = socket.socket(socket.AF_UNIX)
    while True:
        first = _FIRST_PORT + secrets.randbelow(_PORTS // _TOGETHER) * _TOGETHER
        with contextlib.suppress(OSError):
            claim.bind(f"\0pgset-test-ports-{first}")
            break
    while True:
        yield from range(first, first + _TOGETHER)


_ports = _take_ports()


def free_port() -> int:
    """Return one on which nobody listens, and which no test beside this one is given."""
    for port in _ports:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("they begin again")


@dataclass
class Database:
    """One data directory and the server that runs on it."""

    host: Host
    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = self.host.start(
            "postgres", "-D", self.directory, "-p", str(self.port), "-k", self.host.folder
        )
        wait_until(self.answers, "PostgreSQL to accept connections")

    def answers(self) -> bool:
        command = [self.host.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=240)

    def crash(self) -> None:
        """As a container dies: the postmaster and all of its children at once."""
        assert self.process is not None
        # Or one that is made meanwhile lives on, and keeps the next postmaster from its memory.
        pids = self.stand_still()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "children")

    def stand_still(self) -> tuple[int, ...]:
        """Stop all processes, and return their pids once none goes on or ends any more."""
        wait_until(self._stands_still, "all processes to be stopped")
        return process.processes(self.directory)

    def _stands_still(self) -> bool:
        pids = process.processes(self.directory)
        stopped = [state_of(pid) == "T" for pid in pids]
        # The postmaster is the first, and makes no more of them.
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        return all(stopped) and pids == process.processes(self.directory)


def new_host(programs: Path, scratch: Path) -> Host:
    """In a folder that goes with `scratch`."""
    # Not pytest's own folder: unix socket paths are limited to 107 characters, and its parents
    # are root's alone.
    folder = Path(tempfile.mkdtemp(dir=scratch))
    own(folder)
    return Host(folder, programs)


def copied(directory: Path, host: Host) -> Database:
    """A stopped database with all that this one's has."""
    host.run("cp", "-a", directory, host.folder / "data")
    return Database(host, host.folder / "data", free_port())
