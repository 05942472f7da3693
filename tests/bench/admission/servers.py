"""The servers that are compared: each in its own process on one core, and what it takes there."""

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from certs.authority import service_names
from tests.bench.admission import ours, request
from tests.bench.admission.result import DIFF, HAND_BUILT, OURS
from tests.bench.cost import NotMeasuredError, parse_cpu, parse_memory
from tests.support.database import free_port

NAME: Final = service_names("pgset-webhook", "pgset-system")[0]
STARTED_WITHIN: Final = 180.0
_PROC: Final = Path("/proc")


@dataclass(frozen=True)
class Subject:
    """How one of the servers is started, and where it answers."""

    path: str
    command: Sequence[str]
    """`{port}` in it stands for the port."""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    url: str
    pid: int

    def cpu(self) -> float:
        """Return the seconds that all its processes have worked."""
        ticks = os.sysconf("SC_CLK_TCK")
        return sum(parse_cpu((it / "stat").read_text(), ticks) for it in self._processes())

    def memory(self) -> tuple[float, float]:
        """Return PSS and RSS of all its processes, in MiB."""
        found = [parse_memory((it / "smaps_rollup").read_text()) for it in self._processes()]
        return sum(pss for pss, _ in found) / 2**20, sum(rss for _, rss in found) / 2**20

    def peak(self) -> float:
        """Return the most RSS that it has had, in MiB, without its children's."""
        lines = (_PROC / f"{self.pid}/status").read_text().splitlines()
        return next(int(it.split()[1]) for it in lines if it.startswith("VmHWM")) / 2**10

    def _processes(self) -> list[Path]:
        children = (_PROC / f"{self.pid}/task/{self.pid}/children").read_text().split()
        return [_PROC / str(pid) for pid in (self.pid, *children)]


def subjects(folder: Path, go_webhook: Path, api: str) -> dict[str, Subject]:
    """Return what is compared, by name; the certificate and the request's files are in `folder`."""
    go_command = [
        str(go_webhook),
        *("-port", "{port}", "-certificates", str(folder)),
        *("-patch", str(folder / request.PATCH), "-pod", str(folder / request.POD)),
    ]
    gunicorn = [
        *(sys.executable, "-m", "gunicorn", "--config", "python:webhook.gunicorn_config"),
        *("--bind", "127.0.0.1:{port}", f"{ours.__name__}:application()"),
    ]
    environment = {"PGSET_TLS_DIRECTORY": str(folder), ours.API: api}
    return {
        DIFF: Subject("/diff", go_command),
        HAND_BUILT: Subject("/hand-built", go_command),
        OURS: Subject("/mutate/pods", gunicorn, environment),
    }


@contextmanager
def serving(subject: Subject, core: int, authority: Path, log: Path) -> Iterator[Server]:
    """Run the server on this core while its output goes to `log`."""
    port = free_port()
    command = [word.replace("{port}", str(port)) for word in subject.command]
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(core), *command],
            env={**os.environ, **subject.environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(process, port, ssl.create_default_context(cafile=authority), log)
        yield Server(f"https://127.0.0.1:{port}{subject.path}", process.pid)
    finally:
        process.terminate()
        process.wait(STARTED_WITHIN)


def _wait_for(
    process: subprocess.Popen[bytes], port: int, context: ssl.SSLContext, log: Path
) -> None:
    deadline = time.monotonic() + STARTED_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), STARTED_WITHIN) as connection:
                context.wrap_socket(connection, server_hostname=NAME).close()
        except OSError:
            # Nobody listens yet; or who does was too busy, and has cut us off.
            time.sleep(0.05)
        else:
            return
    raise NotMeasuredError(f"{process.args!r} did not start: {log.read_text()[-1000:]}")
