"""The replication password in all that is written, shown or copied while members come and go."""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from sidecar.contract import slot_name
from sidecar.observation import ServerState
from sidecar.postgres.configuration import PASSWORD_FILE, SECRETS_FILE, conninfo, password_file_line
from tests.postgres.test_replication_password import (
    ask,
    files_with_the_secret,
    follow,
    watch,
)
from tests.support.bootstrap_pod import Pod
from tests.support.database import Database, Host, own
from tests.support.standby import Connect, replication, session, wait_for
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

SECRET = secrets.token_hex(16)
"""In no other test, which may run at the same time."""


class Neighbour:
    """Somebody on the same machine who reads what /proc shows of every process, again and again."""

    def __init__(self) -> None:
        self.programs: set[str] = set()
        self.found: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, where: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.is_set():
            for path, content in _processes():
                if path.name == "cmdline":
                    self.programs.add(Path(content.split(b"\0")[0].decode(errors="replace")).name)
                if SECRET.encode() in content:
                    self.found.add(f"{path}: {content!r}")
            time.sleep(0.05)


def _processes() -> Iterator[tuple[Path, bytes]]:
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with suppress(OSError):
                yield process / name, (process / name).read_bytes()


SHOWN = (
    "pg_settings",
    "pg_file_settings",
    "pg_stat_activity",
    "pg_stat_replication",
    "pg_stat_wal_receiver",
    "pg_replication_slots",
    "pg_hba_file_rules",
    "pg_authid",
)


def shown(database: Database) -> list[str]:
    """What a superuser, who sees most, is shown."""
    with session(database) as connection:
        return [
            f"{view}: {row}"
            for view in SHOWN
            for row in connection.execute(f"TABLE pg_catalog.{view}".encode())
            if SECRET in str(row)
        ]


def log_all(database: Database) -> None:
    with (database.directory / "postgresql.conf").open("a") as file:
        file.write(
            "log_statement = 'all'\nlog_min_duration_statement = 0\n"
            "log_replication_commands = on\nlog_connections = on\nlog_min_messages = debug1\n"
        )


def no_copy_has_the_secret(host: Host, member: Database) -> None:
    # Where libpq reads it, and where the next pod's sidecar does; in no other file.
    kept = member.directory / SECRETS_FILE
    kept.write_text(f"{SECRET} {SECRET}\n")
    own(kept)
    ours = {member.directory / PASSWORD_FILE, kept}
    assert set(files_with_the_secret(member.directory, SECRET)) == ours
    backup = host.folder / f"backup-{member.port}"
    target = conninfo(replication(member.port) | {"user": "postgres"})
    host.run("pg_basebackup", f"-D{backup}", f"-d{target}", "-cfast", PGPASSWORD="secret")
    assert files_with_the_secret(backup, SECRET) == []


def copy_until_seen(pod: Pod, source: str, neighbour: Neighbour) -> None:
    assert pod.obey("clone", source).failure is None
    while "pg_basebackup" not in neighbour.programs:
        # He stood still meanwhile.
        assert pod.obey("reclone", source).failure is None


def test_neither_a_clone_nor_a_follow_nor_a_promotion_shows_the_password_to_anybody(
    database: Database, connect: Connect, host: Host
) -> None:
    log_all(database)
    with Neighbour() as neighbour:
        primary = watch(database, connect)
        primary.prepare(SECRET)
        wait_until(lambda: primary.view().prepared, "preparation")
        own(database.directory / "pg_hba.conf")
        primary.keep_slots([slot_name("orders-1")])

        # A clone, as bootstrap makes it.
        pod = Pod(host, name="second")
        copying = host.programs / "pg_basebackup"
        # It takes some seconds, so that the neighbour sees it.
        pod.stand_in("pg_basebackup", f'#!/bin/sh\nexec {copying} --max-rate=10M "$@"\n')
        pod.boot()
        pod.wait_for(lambda view: view.data is not None)
        pod.sidecar.write_password_file(password_file_line(SECRET))
        own(pod.handshake / "pgpass")
        copy_until_seen(pod, conninfo(replication(database.port)), neighbour)
        copy = Database(host, pod.data, pod.port)
        assert files_with_the_secret(pod.data, SECRET) == []

        # It follows, loses its upstream, follows again, and is promoted: a switchover's steps.
        follow(host, copy, database, SECRET)
        copy.start()
        standby = connect(copy.port)
        wait_until(lambda: standby.view().streaming, "streaming")
        upstream = str(ask(copy, "SHOW primary_conninfo"))
        standby.follow("")
        wait_until(lambda: standby.view().detached, "no upstream")
        standby.follow(upstream)
        wait_until(lambda: standby.view().streaming, "streaming again")
        assert shown(database) + shown(copy) == []

        database.stop()
        standby.promote()
        wait_for(standby, ServerState.WRITABLE)
        standby.keep_slots([slot_name("orders-0")])
        standby.prepare(SECRET)
        wait_until(lambda: standby.view().prepared, "preparation of the new primary")
        own(copy.directory / "pg_hba.conf")

        # The old primary comes back and follows.
        (database.directory / "standby.signal").touch()
        own(database.directory / "standby.signal")
        (host.folder / "handshake").rename(host.folder / "former-handshake")
        follow(host, database, copy, SECRET, "orders-0")
        database.start()
        back = connect(database.port)
        wait_until(lambda: back.view().streaming, "the old primary's stream")
        assert shown(database) + shown(copy) == []

    assert {"pg_basebackup", "postgres"} <= neighbour.programs
    assert neighbour.found == set()
    assert "pg_promote" in host.log()
    assert "START_REPLICATION" in host.log()
    assert SECRET not in host.log()
    assert "SCRAM-SHA-256$" not in host.log()
    for member in (database, copy):
        no_copy_has_the_secret(host, member)


def test_the_neighbour_sees_what_there_is_to_see(host: Host) -> None:
    """The claim above is worth what its reader is."""
    with Neighbour() as neighbour:
        host.start("sleep", "600", PGPASSWORD=SECRET)
        host.start("sh", "-c", "while :; do sleep 1; done", SECRET)

        def kinds() -> set[str]:
            return {it.split(":")[0].rsplit("/", 1)[1] for it in tuple(neighbour.found)}

        wait_until(lambda: kinds() == {"cmdline", "environ"}, "both to be seen")
