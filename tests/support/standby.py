"""A streaming standby of a real PostgreSQL, and what a sidecar sees of a server."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg.rows import TupleRow

from sidecar.observation import PostgresView, ServerState
from sidecar.postgres import primary_queries
from sidecar.postgres.configuration import conninfo, with_settings
from sidecar.postgres.connection import Limits
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.server import Server
from tests.support.database import Database, free_port
from tests.support.waiting import wait_until

Connect = Callable[..., Server]
"""Takes a port, a password other than the superuser's, the data directory, which tells the version,
and limits other than PATIENT."""

SUPERUSER = ("postgres", "secret")


def replication(port: int) -> dict[str, str]:
    return {"host": "127.0.0.1", "port": str(port), "user": "pgset_replication"}


def clone(
    primary: Database, name: str, user: str, password: str, *, start: bool = True
) -> Database:
    """Copy the primary and let the copy follow it as `name`, telling its position every second."""
    host = primary.host
    copy = Database(host, host.folder / name, free_port())
    source = replication(primary.port) | {"user": user}
    host.run(
        "pg_basebackup",
        "--checkpoint=fast",
        f"--pgdata={copy.directory}",
        f"--dbname={conninfo(source)}",
        PGPASSWORD=password,
    )
    auto_conf = copy.directory / "postgresql.auto.conf"
    settings = {
        "primary_conninfo": conninfo(source | {"application_name": name, "password": password}),
        "wal_receiver_status_interval": "1s",
        "wal_retrieve_retry_interval": "200ms",
    }
    auto_conf.write_text(with_settings(auto_conf.read_text(), settings))
    (copy.directory / "standby.signal").touch()
    if start:
        copy.start()
    return copy


def session(
    database: Database,
    login: tuple[str, str] = SUPERUSER,
    *,
    dbname: str = "postgres",
    client_encoding: str = "utf8",
    application_name: str | None = None,
    autocommit: bool = True,
) -> psycopg.Connection[TupleRow]:
    """`login`: a user, and the password."""
    user, password = login
    return psycopg.connect(
        host="127.0.0.1",
        port=database.port,
        user=user,
        password=password,
        dbname=dbname,
        client_encoding=client_encoding,
        application_name=application_name,
        autocommit=autocommit,
    )


def wait_for(server: Server, state: ServerState) -> PostgresView:
    """Return the view that shows it."""
    seen: list[PostgresView] = []

    def is_so() -> bool:
        seen[:] = [server.view()]
        return seen[0].state is state

    wait_until(is_so, f"{state}, but {server.view()}")
    return seen[0]


PATIENT = Limits(connect=60, statement=60, answer=90.0, look=60.0)
"""For tests whose claim is none of these: this machine may stand still for many seconds, and what
is given up then, the loop orders again, and a test does not."""


def identify(parameters: dict[str, str], password: str) -> str:
    """Ask a primary who it is, with more time for its answer than the sidecar has."""
    return primary_queries.identify(parameters, password, PATIENT.answer)


def wait_for_a_good_probe(server: Server) -> None:
    """Until one succeeds in the present leadership: only then can it become unwell soon."""
    wait_until(lambda: server._probe._verdict._was_well, "a good probe")


def prepare_server(server: Server) -> None:
    """Have the sidecar make the role, its rights and its pg_hba lines."""
    server.prepare("derived")
    wait_until(lambda: server.view().prepared, "the preparation")


@contextmanager
def every_view(
    database: Database, limits: Limits = PATIENT
) -> Iterator[tuple[Server, list[PostgresView]]]:
    """Watch a database as its sidecar does, and note each view that is news to it: who looks now
    and then may miss one that lasts for a second."""
    seen: list[PostgresView] = []
    server = Server(
        Credentials(*SUPERUSER),
        clock=time.monotonic,
        on_change=lambda: seen.append(server.view()),
        port=database.port,
        limits=limits,
    )
    server.start()
    try:
        yield server, seen
    finally:
        server.stop()
