"""Fixtures: a folder for a real PostgreSQL, and a database in it."""

import functools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import postgresql
from sidecar.postgres.connection import Limits
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.server import Server
from tests.support.database import Database, Host, copied, new_host
from tests.support.former_primary import PrimaryOf, Set, make_primary, make_set
from tests.support.standby import PATIENT, Connect

IN_MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes; each of four that test side by side takes some 200 MB."""


def version() -> str:
    return os.environ.get("POSTGRES_VERSION") or postgresql.DEFAULT


@pytest.fixture(scope="session")
def programs() -> Iterator[Path]:
    """PostgreSQL's programs, where a user who is not root can reach them: root's cache is not.

    Of the version that the environment's POSTGRES_VERSION names.
    """
    root = Path(tempfile.mkdtemp(prefix="pgset-programs-"))
    root.chmod(0o755)
    yield postgresql.copy(version(), root)
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """Where databases are made: in memory if there is room, since no test cuts the power."""
    for left_over in IN_MEMORY.glob("pgset-*"):
        if not Path("/proc", left_over.name.split("-")[1]).exists():
            shutil.rmtree(left_over, ignore_errors=True)
    if IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > ROOM:
        folder = Path(tempfile.mkdtemp(prefix=f"pgset-{os.getpid()}-", dir=IN_MEMORY))
    else:
        folder = Path(tempfile.mkdtemp(prefix="pgset-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template(programs: Path, scratch: Path) -> Path:
    """A new data directory, to be copied; its superuser is postgres, password "secret"."""
    host = new_host(programs, scratch)
    directory = host.make_folder("data")
    password_file = host.folder / "password"
    password_file.write_text("secret\n")
    host.run(
        *("initdb", "--no-sync", "--pgdata", directory, "--username=postgres"),
        *("--auth=scram-sha-256", f"--pwfile={password_file}"),
    )
    with (directory / "postgresql.conf").open("a") as file:
        # No test cuts the power; what the kernel was given outlives every kill.
        file.write("fsync = off\n")
        # As in the images; without it a primary tells that nobody can reach it.
        file.write("listen_addresses = '*'\n")
    return directory


@pytest.fixture
def host(programs: Path, scratch: Path) -> Iterator[Host]:
    host = new_host(programs, scratch)
    yield host
    host.end()
    # Who has outlived its postmaster may still write; the rest goes with the folder of all.
    shutil.rmtree(host.folder, ignore_errors=True)


@pytest.fixture
def database(host: Host, template: Path) -> Database:
    """A stopped primary whose superuser is postgres, password "secret"."""
    return copied(template, host)


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Watch a database as its sidecar does."""
    servers: list[Server] = []

    def connect_to(
        port: int,
        password: str = "secret",
        directory: Path | None = None,
        limits: Limits = PATIENT,
    ) -> Server:
        server = Server(
            Credentials("postgres", password),
            clock=time.monotonic,
            on_change=lambda: None,
            data_directory=lambda: directory,
            port=port,
            limits=limits,
        )
        server.start()
        servers.append(server)
        return server

    yield connect_to
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def primary_of(programs: Path, scratch: Path) -> PrimaryOf:
    """Give a stopped primary's data directory, to be copied: of such options of initdb."""

    @functools.cache
    def made(*options: str) -> Path:
        host = new_host(programs, scratch)
        try:
            return make_primary(host, options)
        finally:
            host.end()

    return made


@pytest.fixture
def members(host: Host, primary_of: PrimaryOf) -> Set:
    return make_set(host, primary_of("--data-checksums"))


@pytest.fixture
def plain_members(host: Host, primary_of: PrimaryOf) -> Set:
    """Without checksums and without wal_log_hints."""
    # From 18 on, initdb makes checksums unless it is told not to.
    options = ("--no-data-checksums",) if int(version()) >= 18 else ()
    return make_set(host, primary_of(*options))
