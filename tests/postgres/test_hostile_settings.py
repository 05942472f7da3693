"""What is set for a role or a database, or in a container, changes nothing that we do there."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import TupleRow

from sidecar.observation import ServerState
from sidecar.postgres.configuration import (
    PASSWORD_FILE,
    password_file_line,
    primary_conninfo,
    primary_parameters,
    with_settings,
)
from sidecar.postgres.connection import Address
from sidecar.postgres.control_data import read_major_version
from sidecar.postgres.credentials import Credentials
from sidecar.settings import Settings
from tests.postgres.test_hostile_schema import (
    drive,
    hostile,
    hostile_primary,
    prepared_primary,
)
from tests.support.database import Database, own
from tests.support.former_primary import Set
from tests.support.standby import Connect, clone, session, wait_for, wait_for_a_good_probe
from tests.support.waiting import wait_until

__all__ = ["hostile", "hostile_primary", "prepared_primary"]

pytestmark = [pytest.mark.postgres, pytest.mark.versions, pytest.mark.thorough]

FOR_ANYBODY = {
    "search_path": "public, pg_catalog",
    "statement_timeout": "'1ms'",
    "lock_timeout": "'1ms'",
    "idle_session_timeout": "'1ms'",
    "idle_in_transaction_session_timeout": "'1ms'",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "row_security": "off",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "TimeZone": "'Asia/Kathmandu'",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "client_encoding": "LATIN1",
    "client_min_messages": "debug5",
    "password_encryption": "md5",
    "temp_tablespaces": "nowhere",
    "default_tablespace": "nowhere",
    "exit_on_error": "on",
    "synchronous_commit": "remote_apply",
    "plan_cache_mode": "force_generic_plan",
    "transaction_read_only": "on",
    "client_connection_check_interval": "1",
    "work_mem": "'64kB'",
    "temp_buffers": "'800kB'",
    "enable_nestloop": "off",
    "jit": "on",
    "jit_above_cost": "0",
    "jit_optimize_above_cost": "0",
    "jit_inline_above_cost": "0",
    "default_table_access_method": "nowhere",
    "check_function_bodies": "off",
}
"""By odd values. Whoever owns the database may set these."""
FOR_A_SUPERUSER = {
    "role": "stranger",
    "temp_file_limit": "'1kB'",
    "log_statement": "'all'",
    "session_replication_role": "origin",
    "zero_damaged_pages": "on",
    "ignore_checksum_failure": "on",
}


SINCE_17 = {"transaction_timeout": "'1ms'"}


def make_odd(connection: psycopg.Connection[TupleRow]) -> None:
    whose = ("DATABASE postgres", "ROLE ALL", "ROLE postgres", "ROLE pgset_replication")
    since = SINCE_17 if connection.info.server_version >= 170000 else {}
    connection.execute(b"CREATE ROLE stranger")
    for who in whose:
        for name, value in (FOR_ANYBODY | FOR_A_SUPERUSER | since).items():
            connection.execute(f"ALTER {who} SET {name} = {value}".encode())


def plant_event_triggers(connection: psycopg.Connection[TupleRow]) -> None:
    """That end every order and, from PostgreSQL 17 on, every login."""
    events = ["ddl_command_start", "sql_drop", "ddl_command_end"]
    events += ["login"] if connection.info.server_version >= 170000 else []
    connection.execute(
        b"CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql AS "
        b"$$BEGIN RAISE EXCEPTION 'not for anybody'; END$$"
    )
    for it in events:
        made = f"CREATE EVENT TRIGGER {it} ON {it} EXECUTE FUNCTION public.refuse()"
        connection.execute(made.encode())


def test_no_setting_of_a_role_or_a_database_matters_to_the_sidecar(
    hostile: Database, connect: Connect
) -> None:
    with session(hostile) as connection:
        plant_event_triggers(connection)
        make_odd(connection)
        connection.execute(b"ALTER ROLE postgres SET session_preload_libraries = nowhere")
        connection.execute(b"ALTER ROLE pgset_replication VALID UNTIL '2000-01-01'")
        connection.execute(b"ALTER ROLE pgset_replication CONNECTION LIMIT 0")
    with pytest.raises(psycopg.OperationalError, match="nowhere"):
        session(hostile)
    server = connect(hostile.port, directory=hostile.directory)
    wait_for(server, ServerState.WRITABLE)
    server.prepare("derived")
    wait_until(lambda: server.view().prepared, "the preparation")
    copy = clone(hostile, "orders-1", "pgset_replication", "derived")
    wait_for(server, ServerState.WRITABLE)
    drive(server)
    wait_until(lambda: len(server.view().followers) == 1, "the follower")
    wait_until(lambda: server.view().followers_heard_at is not None, "its word")
    assert server.view().problem is None
    wait_for_a_good_probe(server)

    standby = connect(copy.port, directory=copy.directory)
    wait_until(lambda: standby.view().streaming, "streaming")
    standby.follow("")
    wait_until(lambda: standby.view().detached, "no upstream")
    standby.promote()
    wait_for(standby, ServerState.WRITABLE)


def test_no_look_is_compiled(database: Database) -> None:
    """That takes seconds of each second; whoever owns the database may ask for it."""
    database.start()
    with session(database) as connection:
        connection.execute(b"ALTER DATABASE postgres SET jit = on")
        connection.execute(b"ALTER DATABASE postgres SET jit_above_cost = 0")
        connection.execute(b"ALTER DATABASE postgres SET work_mem = '64kB'")
    explain = b"EXPLAIN (ANALYZE) SELECT count(*) FROM pg_stat_activity"
    with session(database) as connection:
        theirs = [line for (line,) in connection.execute(explain).fetchall()]
        # Debian's 17 and 18 are unpacked without it.
        ((compiles,),) = connection.execute(b"SELECT pg_jit_available()").fetchall()
    address = Address(Credentials("postgres", "secret"), port=lambda: database.port)
    with address.connect(seconds=None) as ours:
        told = [str(row["QUERY PLAN"]) for row in ours.execute(explain).fetchall()]
        row = ours.execute(
            "SELECT current_setting('jit') AS jit, current_setting('work_mem') AS work_mem"
        ).fetchone()
    assert ("JIT:" in theirs) is compiles
    assert "JIT:" not in told
    assert row == {"jit": "off", "work_mem": "4MB"}


def test_a_library_that_is_not_there_keeps_neither_the_sidecar_out_nor_bootstrap(
    members: Set, connect: Connect
) -> None:
    """Whoever owns the database may have it loaded by all who come."""
    members.promote()
    members.old.crash()
    with session(members.new) as connection:
        connection.execute(b"ALTER DATABASE postgres SET local_preload_libraries = 'nowhere'")
    with pytest.raises(psycopg.OperationalError, match="nowhere"):
        session(members.new)
    server = connect(members.new.port)
    wait_for(server, ServerState.WRITABLE)
    members.boot()
    done = members.obey("rewind")
    assert (done.failure, done.rewound) == (None, True)


def test_none_matters_to_a_clone_and_a_rewind(members: Set) -> None:
    members.promote()
    members.old.crash()
    with session(members.new) as connection:
        make_odd(connection)
    members.boot()
    done = members.obey("rewind")
    assert (done.failure, done.rewound) == (None, True)
    assert members.obey("reclone").failure is None


@pytest.mark.parametrize("prepared_by", ["this", "an older version"])
def test_no_trigger_on_logins_keeps_a_member_from_rewinding(members: Set, prepared_by: str) -> None:
    """As that in PostgreSQL's documentation, which notes who comes: the members' role may not."""
    members.promote()
    members.old.crash()
    with session(members.new) as connection:
        login_triggers = connection.info.server_version >= 170000
        if login_triggers and prepared_by == "this":
            plant_event_triggers(connection)
        elif login_triggers:
            connection.execute(
                b"REVOKE SET ON PARAMETER event_triggers FROM pgset_replication CASCADE"
            )
    members.boot()
    done = members.obey("rewind")
    assert (done.failure, done.rewound) == (None, True)
    assert members.obey("reclone").failure is None


# ── the container's environment, and its user's home ──────────────────────────────────────

OWN = ("PGDATA", "PGPORT", "PGHOST")
"""These are told where it matters, by the pod's own command or by our conninfo."""


def of_other_clients(home: Path) -> dict[str, str]:
    """Every variable that a libpq knows, with a value that its clients cannot connect by here; and
    a home with files that it reads by itself."""
    (home / ".postgresql").mkdir(parents=True)
    for name in ("postgresql.crt", "postgresql.key", "root.crt"):
        (home / ".postgresql" / name).write_text("of somebody else")
        # A key that others may read ends the attempt.
        (home / ".postgresql" / name).chmod(0o644)
    (home / ".pgpass").write_text("*:*:*:*:of somebody else\n")
    (home / ".pg_service.conf").write_text("[x]\nhostaddr=127.0.0.9\n")
    for path in (home, *home.rglob("*")):
        own(path)
    special = {
        "PGHOSTADDR": "127.0.0.9",
        "PGSSLMODE": "require",
        "PGCHANNELBINDING": "require",
        "PGTARGETSESSIONATTRS": "standby",
        "PGGSSENCMODE": "require",
        "PGOPTIONS": "-c nothing.of=that -c sort",
        "PGSYSCONFDIR": str(home),
        # Of another one, PostgreSQL itself would not start.
        "PGCLIENTENCODING": "LATIN1",
    }
    known = {option.envvar for option in psycopg.pq.Conninfo.get_defaults() if option.envvar}
    names = {name.decode() for name in known} - set(OWN)
    return dict.fromkeys(names, "x") | special | {"HOME": str(home)}


def test_bootstraps_programs_connect_by_nothing_of_their_container(members: Set) -> None:
    members.promote()
    members.old.crash()
    members.pod.sidecar.write_password_file(password_file_line("derived"))
    own(members.pod.handshake / "pgpass")
    members.pod.boot(**of_other_clients(members.pod.host.folder / "home"))
    members.pod.wait_for(lambda view: view.data is not None)
    done = members.obey("rewind")
    assert (done.failure, done.rewound) == (None, True)
    assert members.obey("reclone").failure is None


def test_of_a_service_that_only_the_container_knows_its_log_tells(members: Set) -> None:
    """Such as from envFrom, which admission does not see."""
    members.pod.boot(PGSERVICE="shop")
    members.pod.wait_for(lambda view: view.data is not None)
    assert 'pgset: PGSERVICE is "shop"' in members.pod.host.log()


CONNECT = """
import sys
from psycopg import pq
connection = pq.PGconn.connect(sys.argv[1].encode())
sys.exit(connection.get_error_message() if connection.status else None)
"""


def test_nor_does_one_of_a_later_version(hostile: Database, tmp_path: Path) -> None:
    """Its walreceiver connects by libpq, and the one of this process is of PostgreSQL 18."""
    password = tmp_path / PASSWORD_FILE
    password.parent.mkdir()
    password.write_text(password_file_line("derived") + "\n")
    password.chmod(0o600)
    version = psycopg.pq.version() // 10000
    assert version >= 18
    settings = Settings(set_name="orders")
    port = primary_parameters(settings, "orders-1")["port"]
    ours = primary_conninfo(settings, "orders-1", "127.0.0.1", major_version=version)
    there = ours.replace(f"port='{port}'", f"port='{hostile.port}'") + " replication='true'"
    environment = os.environ | of_other_clients(tmp_path / "home")
    del environment["PGSERVICE"]
    command = [sys.executable, "-c", CONNECT, there]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=180)


def test_a_standby_connects_by_nothing_of_its_container(
    hostile: Database, connect: Connect
) -> None:
    """A service is what cannot be taken out: it is looked for wherever its variable is set."""
    copy = clone(hostile, "orders-1", "pgset_replication", "derived", start=False)
    password = copy.directory / PASSWORD_FILE
    password.parent.mkdir(mode=0o700)
    password.write_text(password_file_line("derived") + "\n")
    password.chmod(0o600)
    own(password.parent)
    own(password)
    port = primary_parameters(Settings(set_name="orders"), "orders-1")["port"]
    version = read_major_version(copy.directory)
    ours = primary_conninfo(
        Settings(set_name="orders"), "orders-1", "127.0.0.1", major_version=version
    )
    auto_conf = copy.directory / "postgresql.auto.conf"
    here = {"primary_conninfo": ours.replace(f"port='{port}'", f"port='{hostile.port}'")}
    auto_conf.write_text(with_settings(auto_conf.read_text(), here))
    environment = of_other_clients(hostile.host.folder / "home")
    del environment["PGSERVICE"]
    copy.process = copy.host.start(
        *("postgres", "-D", copy.directory, "-p", str(copy.port), "-k", copy.host.folder),
        **environment,
    )
    standby = connect(copy.port)
    wait_until(lambda: standby.view().streaming, "streaming")
