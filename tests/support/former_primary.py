"""A primary that is to be the former one, and the replica that takes its place: real PostgreSQL."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from sidecar.observation import BootstrapView, ServerState
from sidecar.postgres.configuration import conninfo, password_file_line, with_settings
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.server import Server
from tests.support.bootstrap_pod import Pod
from tests.support.database import Database, Host, copied, free_port, own
from tests.support.standby import PATIENT, prepare_server
from tests.support.waiting import wait_until

PrimaryOf = Callable[..., Path]
"""Gives what `make_primary` makes, made once for the same options."""


def sql(database: Database, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(
        host="127.0.0.1",
        port=database.port,
        user="postgres",
        password="secret",
        dbname="postgres",
        client_encoding="utf8",
        autocommit=True,
    ) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def rows(database: Database) -> list[str]:
    return [str(row[0]) for row in sql(database, "SELECT word FROM words ORDER BY word")]


def write(database: Database, word: str) -> None:
    sql(database, f"INSERT INTO words VALUES ('{word}')")  # noqa: S608 - a test's own word


def parameters(database: Database) -> dict[str, str]:
    return {
        "host": "127.0.0.1",
        "port": str(database.port),
        "user": "pgset_replication",
        "connect_timeout": "60",
    }


def follow(database: Database, primary: Database) -> None:
    """What the sidecar writes before it gives the order to start."""
    auto_conf = database.directory / "postgresql.auto.conf"
    upstream = parameters(primary) | {"password": "derived", "application_name": "orders-9"}
    settings = {"primary_conninfo": conninfo(upstream), "wal_retrieve_retry_interval": "200ms"}
    auto_conf.write_text(with_settings(auto_conf.read_text(), settings))


def streams_from(standby: Database, primary: Database) -> bool:
    return bool(
        sql(standby, "SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'")
        and sql(primary, "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")
    )


def caught_up(standby: Database, primary: Database) -> bool:
    position = str(sql(primary, "SELECT pg_current_wal_lsn()")[0][0])
    return bool(sql(standby, f"SELECT pg_last_wal_replay_lsn() >= '{position}'")[0][0])


def prepare(database: Database) -> None:
    """Let the real sidecar make the role, its rights and its pg_hba lines."""
    server = Server(
        Credentials("postgres", "secret"),
        clock=lambda: 0.0,
        on_change=lambda: None,
        port=database.port,
        limits=PATIENT,
    )
    server.start()
    wait_until(lambda: server.view().state is ServerState.WRITABLE, "the sidecar's connection")
    prepare_server(server)
    server.stop()
    own(database.directory / "pg_hba.conf")


@dataclass
class Set:
    """A primary that is to be the former one, and a replica that is to be the new one."""

    old: Database
    new: Database
    pod: Pod
    """The old primary's."""

    @property
    def target(self) -> str:
        return conninfo(parameters(self.new))

    def boot(self) -> None:
        self.pod.sidecar.write_password_file(password_file_line("derived"))
        own(self.pod.handshake / "pgpass")
        # That of an earlier life stays until this one has begun.
        (self.pod.handshake / "report").unlink(missing_ok=True)
        self.pod.boot()
        self.pod.wait_for(lambda view: view.data is not None)

    def obey(self, verb: str) -> BootstrapView:
        return self.pod.obey(verb, self.target)

    def promote(self, *, checkpoint: bool = True) -> None:
        self.new.start()
        sql(self.new, "SELECT pg_promote(true, 180)")
        write(self.new, "new")
        if checkpoint:
            sql(self.new, "CHECKPOINT")

    def start_old(self) -> None:
        """Through bootstrap's last order, as in a pod."""
        follow(self.old, self.new)
        assert self.obey("start").failure is None
        assert (self.old.directory / "standby.signal").exists()
        assert not (self.old.directory / "postmaster.pid").exists()
        self.old.start()

    def old_follows(self) -> list[str]:
        """Return the rows that it then has."""
        self.start_old()
        wait_until(lambda: streams_from(self.old, self.new), "streaming")
        wait_until(lambda: caught_up(self.old, self.new), "replay")
        return rows(self.old)


def make_primary(host: Host, options: tuple[str, ...]) -> Path:
    """The data directory of a primary that the sidecar has prepared and that was stopped since;
    `options`: initdb's."""
    directory = host.make_folder("data")
    password_file = host.folder / "password"
    password_file.write_text("secret\n")
    host.run(
        *("initdb", "--pgdata", directory, "--username=postgres", "--auth=scram-sha-256"),
        *(f"--pwfile={password_file}", "--no-sync", *options),
    )
    with (directory / "postgresql.conf").open("a") as file:
        # No test cuts the power; what the kernel was given outlives every kill. And autovacuum
        # writes when it likes, also just before a crash.
        file.write("listen_addresses = '*'\nfsync = off\nautovacuum = off\n")
    primary = Database(host, directory, free_port())
    primary.start()
    prepare(primary)
    sql(primary, "CREATE TABLE words (word text)")
    write(primary, "both")
    primary.stop()
    return directory


def make_set(host: Host, primary: Path) -> Set:
    """`primary`: as `make_primary` makes it; it is copied."""
    old = copied(primary, host)
    old.start()
    new = Database(host, host.folder / "copy", free_port())
    host.run(
        *("pg_basebackup", f"--pgdata={new.directory}", "--no-sync", "--checkpoint=fast"),
        f"--dbname={conninfo(parameters(old))}",
        PGPASSWORD="derived",
    )
    follow(new, old)
    (new.directory / "standby.signal").touch()
    new.start()
    wait_until(lambda: streams_from(new, old), "streaming")
    wait_until(lambda: caught_up(new, old), "replay")
    pod = Pod(host)
    pod.data = old.directory
    return Set(old, new, pod)


def crash(database: Database) -> None:
    database.crash()


def stop(database: Database) -> None:
    database.stop()


def crash_and_restart_read_only(database: Database) -> None:
    """As the kubelet does it: the container comes back, follows, finds that it cannot."""
    database.crash()
    (database.directory / "postmaster.pid").unlink()
    (database.directory / "standby.signal").touch()
    own(database.directory / "standby.signal")
    database.start()
