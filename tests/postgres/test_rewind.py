"""A member whose history differs from the primary's follows it again, with real PostgreSQL."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from sidecar.contract import slot_name
from sidecar.observation import BootstrapView, DataState, ServerState
from sidecar.postgres.configuration import (
    conninfo,
    password_file_line,
    with_settings,
)
from sidecar.postgres.control_data import parse_lsn
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.primary_queries import UpstreamError, fork_point, history
from sidecar.postgres.server import Server
from tests.support.bootstrap_pod import Pod
from tests.support.database import Database, Host, free_port, own
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres


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
        "connect_timeout": "3",
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
    )
    server.start()
    wait_until(lambda: server.view().state is ServerState.WRITABLE, "the sidecar's connection")
    server.prepare("derived")
    wait_until(lambda: server.view().prepared, "the preparation")
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
        self.pod.boot()
        self.pod.wait_for(lambda view: view.data is not None)

    def obey(self, verb: str) -> BootstrapView:
        return self.pod.obey(verb, self.target)

    def promote(self, *, checkpoint: bool = True) -> None:
        self.new.start()
        sql(self.new, "SELECT pg_promote()")
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


def make_set(host: Host, *, options: tuple[str, ...]) -> Set:
    directory = host.make_folder("data")
    password_file = host.folder / "password"
    password_file.write_text("secret\n")
    host.run(
        *("initdb", "--pgdata", directory, "--username=postgres", "--auth=scram-sha-256"),
        *(f"--pwfile={password_file}", "--no-sync", *options),
    )
    old = Database(host, directory, free_port())
    old.start()
    prepare(old)
    sql(old, "CREATE TABLE words (word text)")
    write(old, "both")
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


@pytest.fixture
def members(host: Host) -> Set:
    return make_set(host, options=("--data-checksums",))


@pytest.fixture
def plain_members(host: Host) -> Set:
    """Without checksums and without wal_log_hints."""
    return make_set(host, options=())


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


def restart_read_only_and_stop(database: Database) -> None:
    crash_and_restart_read_only(database)
    database.stop()


def restart_read_only_and_crash(database: Database) -> None:
    crash_and_restart_read_only(database)
    database.crash()


ENDS = [crash, stop, restart_read_only_and_stop, restart_read_only_and_crash]


@pytest.mark.parametrize("end", ENDS)
def test_a_diverged_primary_is_rewound_and_streams(
    members: Set, end: Callable[[Database], None]
) -> None:
    members.new.stop()
    write(members.old, "lost")
    sql(members.old, "CHECKPOINT")
    write(members.old, "lost, too")
    end(members.old)
    members.promote()

    members.boot()
    assert members.pod.look().can_rewind is True
    done = members.obey("rewind")
    assert (done.data, done.failure) == (DataState.PRESENT, None), members.pod.host.log()[-3000:]
    assert (done.rewound, done.rewind_failed) == (True, False)
    assert members.old_follows() == ["both", "new"]
    assert not [path for path in members.old.directory.glob(".pgset-*") if path.is_dir()]


def test_a_rewind_and_a_clone_need_no_database_of_a_certain_name(members: Set) -> None:
    """A primary may have dropped "postgres", and the next one may be called anything."""
    sql(members.old, """CREATE DATABASE "it's \\ here" """)
    wait_until(lambda: caught_up(members.new, members.old), "replay")
    members.new.stop()
    write(members.old, "lost")
    members.old.stop()
    members.promote()
    with psycopg.connect(
        host="127.0.0.1",
        port=members.new.port,
        user="postgres",
        password="secret",
        dbname="it's \\ here",
        autocommit=True,
    ) as connection:
        connection.execute("DROP DATABASE postgres WITH (FORCE)")
    prepare(members.new)
    members.boot()
    done = members.obey("rewind")
    assert (done.failure, done.rewound) == (None, True), members.pod.host.log()[-3000:]
    again = Pod(members.pod.host, name="third")
    again.boot()
    again.wait_for(lambda view: view.data is not None)
    again.sidecar.write_password_file(password_file_line("derived"))
    own(again.handshake / "pgpass")
    assert again.obey("clone", members.target).failure is None


def test_a_databases_name_brings_no_words_into_where_the_password_is_sent(members: Set) -> None:
    """Whoever may create a database chooses its name; and PUBLIC may have lost its CONNECT."""
    wait_until(lambda: caught_up(members.new, members.old), "replay")
    members.old.stop()
    members.promote()
    with socket.create_server(("127.0.0.1", 0)) as trap:
        port = trap.getsockname()[1]
        sql(members.new, "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")
        elsewhere = f"host=127.0.0.1 port={port}"
        for name in (f"x\npostgres {elsewhere} options=\n", f"y {elsewhere}"):
            sql(members.new, f"""CREATE DATABASE "{name}" """)
        sql(members.new, "REVOKE CONNECT ON DATABASE postgres FROM pgset_replication")
        another = Pod(members.pod.host, name="third")
        another.boot()
        another.wait_for(lambda view: view.data is not None)
        another.sidecar.write_password_file(password_file_line("derived"))
        own(another.handshake / "pgpass")
        assert another.obey("clone", members.target).failure is None
        trap.settimeout(0.1)
        with pytest.raises(TimeoutError):
            trap.accept()


@pytest.mark.parametrize("end", [crash, stop, restart_read_only_and_crash])
def test_a_primary_that_did_not_diverge_keeps_everything(
    members: Set, end: Callable[[Database], None]
) -> None:
    """Not a byte goes over the wire, and what crashed is not made different by the attempt."""
    marker = members.old.directory / "only-here"
    marker.write_text("a file that pg_rewind would remove")
    own(marker)
    end(members.old)
    wait_until(members.new.answers, "the replica")
    members.new.stop()
    members.promote()

    members.boot()
    done = members.obey("rewind")
    assert (done.data, done.failure, done.rewound) == (DataState.PRESENT, None, True)
    assert marker.exists()
    assert members.old_follows() == ["both", "new"]


def test_wal_log_hints_do_instead_of_checksums(plain_members: Set) -> None:
    """As in a database that was adopted, once its settings have been written."""
    members = plain_members
    members.new.stop()
    members.old.stop()
    auto_conf = members.old.directory / "postgresql.auto.conf"
    auto_conf.write_text(with_settings(auto_conf.read_text(), {"wal_log_hints": "on"}))
    members.old.start()
    write(members.old, "lost")
    members.old.crash()
    members.promote()
    members.boot()
    assert members.pod.look().can_rewind is True
    assert members.obey("rewind").rewound
    assert members.old_follows() == ["both", "new"]


def test_slots_and_the_heartbeat_of_the_primary_do_not_come_along(members: Set) -> None:
    name = slot_name("orders-1")
    sql(members.old, f"SELECT pg_create_physical_replication_slot('{name}', true)")
    members.new.stop()
    write(members.old, "lost")
    members.old.crash()
    (members.new.directory / ".pgset-heartbeat").write_text("uid-of-the-primary 1\n")
    own(members.new.directory / ".pgset-heartbeat")
    members.promote()

    members.boot()
    assert members.obey("rewind").rewound
    assert members.pod.look().other_writer is None
    assert members.old_follows() == ["both", "new"]
    assert sql(members.old, "SELECT slot_name FROM pg_replication_slots") == []


def timeline_in_control_file(database: Database) -> int:
    return int(str(sql(database, "SELECT timeline_id FROM pg_control_checkpoint()")[0][0]))


def test_a_rewind_waits_for_the_first_checkpoint_of_a_new_primary(members: Set) -> None:
    """Until then its control file has the old timeline, and pg_rewind finds nothing to do."""
    sql(members.old, "CREATE TABLE dirty AS SELECT generate_series(1, 200000)")
    wait_until(lambda: caught_up(members.new, members.old), "replay")
    members.new.crash()
    (members.new.directory / "postmaster.pid").unlink()
    write(members.old, "lost")
    members.old.stop()
    # The checkpoint of a promotion is spread over 0.9 of this time.
    auto_conf = members.new.directory / "postgresql.auto.conf"
    auto_conf.write_text(f"{auto_conf.read_text()}checkpoint_timeout = '1h'\n")
    members.promote(checkpoint=False)
    assert timeline_in_control_file(members.new) == 1

    members.boot()
    members.pod.sidecar.order("rewind", members.target)
    time.sleep(2.0)
    assert members.pod.look().busy == "rewind"
    sql(members.new, "CHECKPOINT")
    assert members.pod.wait_for(lambda view: view.busy is None).rewound
    assert members.old_follows() == ["both", "new"]


@pytest.mark.parametrize("end", [crash, stop])
def test_without_checksums_and_hints_a_new_clone_takes_the_place_and_the_old_data_is_kept(
    plain_members: Set, end: Callable[[Database], None]
) -> None:
    members = plain_members
    members.new.stop()
    write(members.old, "lost")
    (members.old.directory / "unique.txt").write_text("irreplaceable")
    own(members.old.directory / "unique.txt")
    end(members.old)
    members.promote()

    members.boot()
    assert members.pod.look().can_rewind is False
    failed = members.obey("rewind")
    assert (failed.data, failed.rewound) == (DataState.PRESENT, False)
    assert failed.rewind_failed
    assert failed.failure == "the rewind failed: see the log of container pgset-bootstrap"

    done = members.obey("reclone")
    assert (done.data, done.failure) == (DataState.PRESENT, None), members.pod.host.log()[-3000:]
    assert members.old_follows() == ["both", "new"]
    kept = members.old.directory / ".pgset-old/pgsql_tmp.data"
    assert (kept / "unique.txt").read_text() == "irreplaceable"

    before = Database(members.old.host, kept, free_port())
    (kept / "standby.signal").unlink(missing_ok=True)
    (kept / "postmaster.pid").unlink(missing_ok=True)
    before.start()
    assert rows(before) == ["both", "lost"]


def test_a_primary_that_is_away_is_no_reason_for_a_new_clone(members: Set) -> None:
    members.new.stop()
    write(members.old, "lost")
    members.old.crash()
    members.boot()
    failed = members.obey("rewind")
    assert failed.failure == "the primary does not answer: see the log of container pgset-bootstrap"
    assert (failed.rewind_failed, failed.data) == (False, DataState.PRESENT)
    failed = members.obey("reclone")
    assert failed.failure == "the re-clone failed: see the log of container pgset-bootstrap"
    assert failed.data is DataState.PRESENT

    members.promote()
    assert members.obey("rewind").rewound
    assert members.old_follows() == ["both", "new"]
    assert not (members.old.directory / ".pgset-new").exists()


def test_data_that_is_marked_is_neither_started_nor_rewound_but_cloned_again(members: Set) -> None:
    members.old.stop()
    members.new.stop()
    members.promote()
    members.boot()
    members.pod.sidecar.mark_for_reclone()
    members.pod.process.kill()
    members.pod.process.wait()

    members.boot()
    marked = members.pod.wait_for(lambda view: view.data is DataState.BROKEN)
    assert marked.rewind_failed
    assert marked.system_identifier is not None
    assert "cloned again" in (members.obey("start").failure or "")
    assert "cloned again" in (members.obey("rewind").failure or "")
    done = members.obey("reclone")
    assert (done.data, done.rewind_failed) == (DataState.PRESENT, False)
    assert members.old_follows() == ["both", "new"]


STOPPING_PG_REWIND = """#!/bin/sh
case $* in *--dry-run*) exec {real} "$@" ;; esac
# Half-way: a file of the primary's is there, pg_control is not.
for word; do case $word in --target-pgdata=*) target=${{word#*=}} ;; esac; done
echo half > "$target/base/half-way"
touch "$target/../stopped"
exec sleep 600
"""


def test_a_rewind_that_was_cut_short_is_never_started_and_its_data_is_kept(
    members: Set, programs: Path
) -> None:
    members.new.stop()
    write(members.old, "lost")
    members.old.crash()
    members.promote()
    stand_in = members.pod.stand_in(
        "pg_rewind", STOPPING_PG_REWIND.format(real=programs / "pg_rewind")
    )
    members.boot()
    members.pod.sidecar.order("rewind", members.target)
    wait_until((members.old.directory / "stopped").exists, "half a rewind")
    members.pod.kill()
    stand_in.unlink()
    (members.old.directory / "stopped").unlink()
    assert not (members.old.directory / "PG_VERSION").exists()

    members.boot()
    broken = members.pod.wait_for(lambda view: view.data is DataState.BROKEN)
    assert (broken.rewind_failed, broken.timeline) == (True, 1)
    for verb in ("start", "rewind", "initdb", "clone"):
        assert members.obey(verb).failure is not None
        assert not (members.old.directory / "PG_VERSION").exists()
    assert members.obey("reclone").data is DataState.PRESENT
    assert members.old_follows() == ["both", "new"]
    kept = members.old.directory / ".pgset-old/pgsql_tmp.data"
    assert (kept / "base/half-way").exists()


def test_what_is_kept_aside_does_not_go_along_when_others_copy_this_member(members: Set) -> None:
    kept = members.new.directory / ".pgset-old/pgsql_tmp.data"
    kept.mkdir(parents=True)
    (kept / "large").write_text("of the new primary")
    for path in (kept.parent, kept, kept / "large"):
        own(path)
    (members.new.directory / ".pgset-reclone").touch()
    own(members.new.directory / ".pgset-reclone")
    members.new.stop()
    write(members.old, "lost")
    members.old.crash()
    members.promote()
    members.boot()
    assert members.obey("rewind").rewound
    assert not (members.old.directory / ".pgset-old").exists()
    assert not (members.old.directory / ".pgset-reclone").exists()
    assert members.obey("reclone").data is DataState.PRESENT
    assert not list(members.old.directory.glob(".pgset-old/pgsql_tmp.data/.pgset-*"))
    assert not list(members.old.directory.rglob("large"))
    assert not (members.old.directory / ".pgset-reclone").exists()


@pytest.mark.parametrize("verb", ["rewind", "reclone"])
def test_a_primary_with_tablespaces_is_refused_before_anything_is_touched(
    members: Set, verb: str
) -> None:
    members.old.stop()
    members.new.stop()
    members.promote()
    place = members.new.host.make_folder("fast-disk")
    sql(members.new, f"CREATE TABLESPACE fast LOCATION '{place}'")
    members.boot()
    refused = members.obey(verb)
    assert "the primary has tablespaces (fast)" in (refused.failure or "")
    assert (refused.data, refused.rewind_failed) == (DataState.PRESENT, False)
    assert len(list(place.iterdir())) == 1


def written(database: Database) -> int:
    """Bytes."""
    lsn = str(sql(database, "SELECT pg_current_wal_lsn()")[0][0])
    return parse_lsn(lsn)


def test_the_history_of_the_primary_tells_where_it_left_a_timeline(members: Set) -> None:
    members.new.stop()
    before = written(members.old)
    write(members.old, "lost")
    after = written(members.old)
    members.old.stop()
    members.promote()
    upstream = parameters(members.new)
    known = history(upstream, "derived", 2)
    assert [timeline for timeline, _ in known] == [1]
    fork = fork_point(known, 1)
    assert fork is not None
    assert before <= fork < after
    assert fork_point(known, 2) is None
    assert history(upstream, "derived", 1) == ()
    with pytest.raises(UpstreamError):
        history(upstream, "derived", 7)
