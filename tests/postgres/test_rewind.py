"""A member whose history differs from the primary's is rewound, and follows it again."""

import socket
import time
from collections.abc import Callable

import psycopg
import pytest

from sidecar.contract import slot_name
from sidecar.observation import DataState
from sidecar.postgres.configuration import password_file_line, with_settings
from sidecar.postgres.control_data import parse_lsn
from sidecar.postgres.primary_queries import UpstreamError, history
from sidecar.postgres.timeline_history import fork_point
from tests.support.bootstrap_pod import Pod
from tests.support.database import Database, own
from tests.support.former_primary import (
    Set,
    caught_up,
    crash,
    crash_and_restart_read_only,
    parameters,
    prepare,
    sql,
    stop,
    write,
)
from tests.support.server_processes import stop_background_writer
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.versions]


def restart_read_only_and_stop(database: Database) -> None:
    crash_and_restart_read_only(database)
    database.stop()


def restart_read_only_and_crash(database: Database) -> None:
    crash_and_restart_read_only(database)
    database.crash()


ENDS = [crash, stop, restart_read_only_and_stop, restart_read_only_and_crash]


def test_a_command_that_passes_no_arguments_on_fails_the_rewind_and_leaves_a_new_clone(
    members: Set,
) -> None:
    """The server that replays is to have arguments of its own; it was waited for without end."""
    members.new.stop()
    crash(members.old)
    members.promote()
    words = " ".join(map(str, members.pod.command))
    text = f"#!/bin/sh\nexec /bin/bash {words}\n"
    members.pod.command = (members.pod.stand_in("start.sh", text),)
    members.boot()
    done = members.obey("rewind")
    assert (done.failure or "").startswith("the command that starts PostgreSQL passes on no arg")
    assert done.rewind_failed


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


def test_data_is_cloned_whose_recovery_would_begin_with_wal_that_the_primary_never_had(
    members: Set,
) -> None:
    """That one was cloned itself, from a primary between. Rewound all the same, the data could be
    read only once somebody had that WAL; and where nobody leads, all wait to hear what it has."""
    members.new.stop()
    write(members.old, "lost")
    members.old.stop()
    members.promote()
    ((file,),) = sql(members.new, "SELECT pg_walfile_name(pg_current_wal_lsn())")
    write(members.new, "new")
    sql(members.new, "SELECT pg_switch_wal()")
    write(members.new, "newer")
    sql(members.new, "CHECKPOINT")
    (members.new.directory / "pg_wal" / str(file)).unlink()
    members.boot()
    done = members.obey("rewind")
    assert (done.data, done.rewind_failed) == (DataState.BROKEN, True)
    assert done.failure == (
        f"the primary does not have the WAL that this data, once rewound, begins with: {file}"
    )


def test_the_file_that_a_primary_has_yet_to_begin_is_not_missed(members: Set) -> None:
    members.new.stop()
    write(members.old, "lost")
    members.old.stop()
    members.promote()
    write(members.new, "new")
    sql(members.new, "CHECKPOINT")
    sql(members.new, "SELECT pg_switch_wal()")
    members.boot()
    done = members.obey("rewind")
    assert (done.failure, done.rewound) == (None, True), members.pod.host.log()[-3000:]
    assert "new" in members.old_follows()


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


def test_why_the_primary_cannot_be_asked_is_told_in_its_own_words(members: Set) -> None:
    """No other member's log has them, and only the operator can change it."""
    members.promote()
    members.old.crash()
    sql(members.new, "ALTER DATABASE postgres CONNECTION LIMIT 0")
    members.boot()
    told = members.obey("rewind").failure or ""
    assert 'too many connections for database "postgres"' in told
    assert told.startswith("the primary gives no answer that pg_rewind could do with: ")
    sql(members.new, "ALTER DATABASE postgres CONNECTION LIMIT -1")
    assert members.obey("rewind").rewound


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
    if end is not stop:
        # What it writes of itself just before a crash, the replica may not have.
        stop_background_writer(members.old)
        wait_until(lambda: caught_up(members.new, members.old), "replay")
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
    assert members.pod.wait_for(lambda view: view.busy == "rewind")
    time.sleep(2.0)
    assert members.pod.look().busy == "rewind"
    sql(members.new, "CHECKPOINT")
    assert members.pod.wait_for(lambda view: view.busy is None).rewound
    assert members.old_follows() == ["both", "new"]


def written(database: Database) -> int:
    """Bytes."""
    lsn = str(sql(database, "SELECT pg_current_wal_lsn()")[0][0])
    return parse_lsn(lsn)


def test_the_history_of_the_primary_tells_where_it_left_a_timeline(members: Set) -> None:
    before = written(members.old)
    wait_until(lambda: caught_up(members.new, members.old), "replay")
    members.new.stop()
    write(members.old, "lost")
    after = written(members.old)
    members.old.stop()
    members.promote()
    upstream = parameters(members.new)
    known = history(upstream, "derived", 2, seconds=60.0)
    assert [timeline for timeline, _ in known] == [1]
    fork = fork_point(known, 1)
    assert fork is not None
    assert before <= fork < after
    assert fork_point(known, 2) is None
    assert history(upstream, "derived", 1) == ()
    with pytest.raises(UpstreamError):
        history(upstream, "derived", 7)
