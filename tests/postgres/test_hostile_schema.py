"""What a user plants in a database never runs with the rights of the sidecar or of bootstrap."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow

from sidecar import contract
from sidecar.observation import ServerState
from sidecar.postgres.configuration import conninfo, password_file_line
from sidecar.postgres.connection import PINNED_PATH
from sidecar.postgres.server import Server
from tests.support import our_sql
from tests.support.bootstrap_pod import Pod
from tests.support.database import Database, Host, copied, new_host, own
from tests.support.former_primary import prepare
from tests.support.standby import (
    Connect,
    clone,
    replication,
    session,
    wait_for,
    wait_for_a_good_probe,
)
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.versions]

TRAPS = (
    # Name, arguments, result: what fits our arguments better than pg_catalog does, or shadows it.
    ("starts_with", "name, text", "boolean"),
    ("concat_ws", "text, pg_lsn, numeric, text", "text"),
    ("pg_is_in_recovery", "", "boolean"),
    ("current_setting", "text", "text"),
    ("left", "text, integer", "text"),
    ("left", "name, integer", "text"),
    ("right", "name, integer", "text"),
    ("right", "text, integer", "text"),
    ("pg_size_bytes", "text", "bigint"),
    ("pg_walfile_name", "pg_lsn", "text"),
    ("pg_current_wal_lsn", "", "pg_lsn"),
    ("pg_last_wal_receive_lsn", "", "pg_lsn"),
    ("pg_last_wal_replay_lsn", "", "pg_lsn"),
    ("pg_reload_conf", "", "boolean"),
    ("pg_promote", "boolean, integer", "boolean"),
    ("pg_promote", "boolean", "boolean"),
    ("pg_drop_replication_slot", "name", "void"),
    ("pg_create_physical_replication_slot", "text, boolean", "text"),
    ("pg_create_physical_replication_slot", "name, boolean", "text"),
    ("pg_logical_emit_message", "boolean, text, text", "pg_lsn"),
    ("pg_current_xact_id", "", "xid8"),
    ("pg_current_snapshot", "", "pg_snapshot"),
    ("pg_snapshot_xmax", "pg_snapshot", "xid8"),
    ("has_function_privilege", "name, text, text", "boolean"),
    ("has_function_privilege", "text, text, text", "boolean"),
    ("pg_terminate_backend", "integer", "boolean"),
    ("set_config", "text, text, boolean", "text"),
)
VIEWS = (
    "pg_replication_slots",
    "pg_stat_replication",
    "pg_stat_activity",
    "pg_stat_wal_receiver",
    "pg_settings",
    "pg_roles",
    "pg_authid",
    "pg_tablespace",
    "pg_database",
)
SWAPS = (("text", "name"), ("name", "text"), ("text", "character varying"), ("anyelement", "text"))
STATEMENTS = our_sql.statements()
SIGNS = set().union(*map(our_sql.operators, STATEMENTS))
TYPES = set().union(*map(our_sql.types, STATEMENTS))

SEEN_TYPES = b"""
SELECT DISTINCT atttypid::regtype::text FROM pg_attribute
WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace
                   AND relname::text = ANY(%(names)s)) AND attnum > 0
UNION SELECT prorettype::regtype::text FROM pg_proc JOIN pg_type ON pg_type.oid = prorettype
WHERE proname::text = ANY(%(names)s) AND starts_with(proname::text, 'pg_') AND typtype = 'b'
UNION SELECT oid::regtype::text FROM pg_type WHERE typname::text = ANY(%(types)s)
UNION VALUES ('text'), ('integer'), ('bigint'), ('numeric'), ('anyelement')
"""
"""The types that an operator of ours can see: of the columns and functions that we name, of our
casts, of literals and of a sum. What fits two of them exactly is preferred to pg_catalog's own."""

PLANT_OPERATORS = """
DO $plant$
DECLARE
    l text; r text; sign text; result text; body text;
BEGIN
    FOR sign, l, r IN
        SELECT * FROM unnest({signs}::text[]) AS signs,
                      unnest({types}::text[]) AS ls, unnest({types}::text[]) AS rs
    LOOP
        result := coalesce(
            (SELECT oprresult::regtype::text FROM pg_operator
             WHERE oprname::text = sign AND oprleft = l::regtype AND oprright = r::regtype),
            (SELECT CASE WHEN bool_or(oprresult = 'boolean'::regtype) THEN 'boolean' ELSE 'text' END
             FROM pg_operator WHERE oprname::text = sign));
        body := format('BEGIN RAISE LOG %L; RETURN $1 OPERATOR(pg_catalog.%s) $2; END',
                       format('CAUGHT operator %s of %s, %s', sign, l, r), sign);
        BEGIN
            EXECUTE format('CREATE FUNCTION public.%I(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L',
                           'operator ' || sign, l, r, result, body);
            EXECUTE format('CREATE OPERATOR public.%s (FUNCTION = public.%I, LEFTARG = %s, '
                           'RIGHTARG = %s)', sign, 'operator ' || sign, l, r);
        EXCEPTION WHEN OTHERS THEN NULL;  -- of pseudo-types, say
        END;
    END LOOP;
END $plant$
"""
"""Each gives what PostgreSQL's own gives: who falls into one goes on to the next."""

PLANT_TEXT = """
CREATE FUNCTION public.caught_type(value text) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN RAISE LOG 'CAUGHT type text'; RETURN true; END $$;
CREATE DOMAIN public.text AS text CHECK (public.caught_type(VALUE))
"""
"""Its check runs as whoever casts to it."""

PLANT_CAST = """
CREATE TYPE public."{0}" AS (value text);
CREATE FUNCTION public."cast to {0}"(value text) RETURNS public."{0}" LANGUAGE plpgsql AS
$$ BEGIN RAISE LOG 'CAUGHT cast to {0}'; RETURN ROW(value); END $$;
CREATE CAST (text AS public."{0}") WITH FUNCTION public."cast to {0}"(text) AS IMPLICIT
"""
"""A cast needs a type of one's own: of a name that we cast to."""


def plant_operators(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Every operator of our SQL, for every pair of the types that it can see."""
    named = {"names": sorted(set().union(*map(our_sql.names, STATEMENTS))), "types": sorted(TYPES)}
    types = [row[0] for row in connection.execute(SEEN_TYPES, named)]
    arrays = {"signs": sorted(SIGNS), "types": types}
    quoted = {name: sql.Literal(it) for name, it in arrays.items()}
    connection.execute(sql.SQL(PLANT_OPERATORS).format(**quoted))


def plant_types(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    connection.execute(PLANT_TEXT.encode())
    for name in sorted(TYPES - {"text"}):
        connection.execute(PLANT_CAST.format(name).encode())


def plant(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """As a user whom nothing but CREATE on public was granted."""

    def run(text: str) -> None:
        connection.execute(text.encode())

    run("CREATE TABLE public.caught (what text, who text)")
    run("GRANT INSERT, SELECT ON public.caught TO PUBLIC")
    for number, (name, arguments, result) in enumerate(TRAPS):
        run(
            f'CREATE FUNCTION public."{name}"({arguments}) RETURNS {result} LANGUAGE plpgsql AS '
            f"$$ BEGIN RAISE LOG 'CAUGHT {name} {number} as %', current_user; "
            "BEGIN ALTER ROLE mallory SUPERUSER; EXCEPTION WHEN OTHERS THEN NULL; END; "
            f"{'RETURN' if result == 'void' else 'RETURN NULL'}; END $$"
        )
    run(
        "CREATE FUNCTION public.keep(text, name, text) RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE LOG 'CAUGHT string_agg'; RETURN ''; END $$"
    )
    run(
        "CREATE FUNCTION public.steal(text) RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE LOG 'CAUGHT string_agg'; PERFORM pg_read_binary_file('global/1260'); "
        "RETURN ''; END $$"
    )
    run(
        "CREATE AGGREGATE public.string_agg(name, text) "
        "(SFUNC = public.keep, STYPE = text, FINALFUNC = public.steal)"
    )
    run(
        "CREATE FUNCTION public.in_a_view() RETURNS boolean LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE LOG 'CAUGHT a view'; RETURN true; END $$"
    )
    for name in VIEWS:
        run(
            f"CREATE VIEW public.{name} AS SELECT * FROM pg_catalog.{name} WHERE public.in_a_view()"  # noqa: S608 - names of ours
        )


def functions_that_we_call() -> list[str]:
    """Whatever in our sources looks like a call: a new query is covered without a word here."""
    sidecar = Path(contract.__file__).parent
    sources = [*(sidecar / "postgres").glob("*.py"), *sidecar.glob("bootstrap*.sh")]
    found = {
        it for path in sources for it in re.findall(r"\b([a-z][a-z0-9_]*)\(", path.read_text())
    }
    return sorted(found)


def shadow_all(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    """Plant every function of ours by its own arguments, and by those that fit a name better."""
    known = connection.execute(
        "SELECT proname::text, oidvectortypes(proargtypes) FROM pg_catalog.pg_proc "
        "WHERE pronamespace = 'pg_catalog'::regnamespace "
        "AND proname::text OPERATOR(pg_catalog.=) ANY(%s)",
        [functions_that_we_call()],
    ).fetchall()
    signatures = {
        (name, variant)
        for name, arguments in known
        for variant in (arguments, *(str(arguments).replace(*it) for it in SWAPS))
    }
    planted = 0
    for name, arguments in sorted(signatures, key=str):
        # Some cannot be: of pseudo-types, or planted already.
        with contextlib.suppress(psycopg.Error):
            connection.execute(
                f'CREATE FUNCTION public."{name}"({arguments}) RETURNS text LANGUAGE plpgsql AS '
                f"$$ BEGIN RAISE LOG 'CAUGHT {name}({arguments})'; RETURN NULL; END $$".encode()
            )
            planted += 1
    return planted


def as_superuser(database: Database, *statements: str) -> None:
    with session(database) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def as_mallory(database: Database) -> psycopg.Connection[TupleRow]:
    return session(database, ("mallory", "mallory"))


def caught(database: Database, what: str = "") -> list[str]:
    lines = database.host.log().splitlines()
    return [line for line in lines if f"LOG:  CAUGHT {what}" in line]


def worst(database: Database) -> None:
    """The paths that let the least of pg_catalog be found."""
    as_superuser(
        database,
        "ALTER DATABASE postgres SET search_path = public, pg_catalog",
        "ALTER ROLE postgres SET search_path = public, pg_catalog",
        "ALTER ROLE pgset_replication SET search_path = public, pg_catalog",
    )


@contextlib.contextmanager
def running(directory: Path, host: Host) -> Iterator[Database]:
    """A copy of it, which is stopped at the end."""
    try:
        database = copied(directory, host)
        database.start()
        yield database
        database.stop()
    finally:
        host.end()


@pytest.fixture(scope="session")
def prepared_primary(programs: Path, scratch: Path, template: Path) -> Path:
    """A stopped primary's data directory, to be copied: prepared, and a user may create what he
    likes in public."""
    with running(template, new_host(programs, scratch)) as database:
        prepare(database)
        as_superuser(
            database,
            # As PostgreSQL 14 has it, and whatever was upgraded from there.
            "GRANT CREATE ON SCHEMA public TO PUBLIC",
            "CREATE ROLE mallory LOGIN PASSWORD 'mallory'",
        )
    return database.directory


@pytest.fixture(scope="session")
def hostile_primary(programs: Path, scratch: Path, prepared_primary: Path) -> Path:
    """Another, whose public schema is full of traps."""
    host = new_host(programs, scratch)
    with running(prepared_primary, host) as database, as_mallory(database) as connection:
        plant(connection)
        assert shadow_all(connection) > len(TRAPS)
        plant_operators(connection)
        plant_types(connection)
    return database.directory


@pytest.fixture
def prepared(host: Host, prepared_primary: Path) -> Database:
    database = copied(prepared_primary, host)
    database.start()
    return database


@pytest.fixture
def hostile(host: Host, hostile_primary: Path) -> Database:
    database = copied(hostile_primary, host)
    database.start()
    return database


def drive(server: Server) -> None:
    """Give every order there is to a primary, with looks and probes meanwhile."""
    server.prepare("derived")
    server.set_synchronous(["orders-1"], 1)
    wait_until(lambda: server.view().waits_for_number == 1, "the setting")
    server.set_synchronous([], 0)
    server.keep_slots(["pgset_orders_1", "pgset_orders_2"])
    wait_until(lambda: len(server.view().slots) == 2, "the slots")
    server.keep_slots(["pgset_orders_1"])
    wait_until(lambda: server.view().slots == ("pgset_orders_1",), "one slot")
    server.checkpoint()
    wait_until(lambda: server.view().checkpointed_at is not None, "the checkpoint")
    wait_until(lambda: server.view().prepared, "the preparation")


@pytest.mark.parametrize("path", ["as it is", "worst"])
def test_no_function_of_a_users_runs_in_a_look_a_probe_or_an_order(
    hostile: Database, connect: Connect, path: str
) -> None:
    if path == "worst":
        worst(hostile)
    copy = clone(hostile, "orders-1", "pgset_replication", "derived")
    server = connect(hostile.port)
    wait_for(server, ServerState.WRITABLE)
    drive(server)
    wait_until(lambda: len(server.view().followers) == 1, "the follower")
    wait_for_a_good_probe(server)

    standby = connect(copy.port)
    wait_until(lambda: standby.view().streaming, "streaming")
    standby.follow("")
    wait_until(lambda: standby.view().detached, "no upstream")
    standby.follow(conninfo(replication(hostile.port) | {"password": "derived"}))
    standby.promote()
    wait_for(standby, ServerState.WRITABLE)

    assert caught(hostile) == []
    with session(hostile) as connection:
        row = connection.execute(
            b"SELECT rolsuper FROM pg_catalog.pg_authid "
            b"WHERE rolname OPERATOR(pg_catalog.=) 'mallory'"
        ).fetchone()
    assert row == (False,)


@pytest.mark.parametrize("path", ["as it is", "worst"])
def test_no_function_of_a_users_runs_in_bootstraps_questions(hostile: Database, path: str) -> None:
    if path == "worst":
        worst(hostile)
    pod = Pod(hostile.host, name="replica")
    pod.boot()
    pod.wait_for(lambda view: view.data is not None)
    pod.sidecar.write_password_file(password_file_line("derived"))
    own(pod.handshake / "pgpass")
    target = conninfo(replication(hostile.port))
    assert pod.obey("clone", target).failure is None
    # The first of a rewind's questions; there is nothing to rewind.
    pod.obey("rewind", target)
    assert caught(hostile) == []


@pytest.mark.usefixtures("connect")
def test_the_traps_are_ones(hostile: Database) -> None:
    """Whoever asks with the path as it is falls into them: else nothing here could fail."""
    as_superuser(
        hostile,
        "SELECT pg_catalog.pg_create_physical_replication_slot('pgset_orders_1'::name, true)",
    )
    with session(hostile) as connection:
        connection.execute("SELECT starts_with(slot_name, 'pgset_') FROM pg_replication_slots")
        connection.execute("SELECT string_agg(spcname, ', ') FROM pg_tablespace")
    assert any("starts_with" in line for line in caught(hostile))
    assert any("string_agg" in line for line in caught(hostile))


@pytest.mark.usefixtures("connect")
def test_the_operators_types_and_casts_are_traps(prepared: Database) -> None:
    """Whoever looks in public first falls into those that our SQL has, and with our path nobody
    does: else nothing here could fail."""
    with as_mallory(prepared) as connection:
        plant_operators(connection)
        plant_types(connection)
    as_superuser(prepared, "ALTER ROLE mallory SET synchronous_commit = off")
    ask_all(prepared, PINNED_PATH.removeprefix("-c search_path="))
    assert caught(prepared) == []
    ask_all(prepared, "public, pg_catalog")
    assert [sign for sign in SIGNS if not caught(prepared, f"operator {sign} of")] == []
    assert caught(prepared, "type text")
    as_superuser(prepared, "SELECT ('x'::pg_catalog.text)::public.name")
    assert caught(prepared, "cast to name")


def ask_all(database: Database, path: str) -> None:
    """Ask whatever the sidecar and bootstrap ask; what then fails does not matter."""
    with session(database) as connection:
        connection.execute(f"SET search_path = {path}".encode())
        for statement in (it for it in STATEMENTS if "{}" not in it):
            filled = statement.replace("%s", "'{a}'").replace("$1", "'a'")
            with contextlib.suppress(psycopg.Error):
                connection.execute(filled.encode())


def test_bootstrap_asks_by_no_setting_of_the_containers(hostile: Database) -> None:
    """The database container's own settings of libpq are for its own clients."""
    pod = Pod(hostile.host, name="replica")
    pod.boot(PGSSLMODE="require", PGPASSWORD="of somebody else", PGTARGETSESSIONATTRS="standby")
    pod.wait_for(lambda view: view.data is not None)
    pod.sidecar.write_password_file(password_file_line("derived"))
    own(pod.handshake / "pgpass")
    assert pod.obey("clone", conninfo(replication(hostile.port))).failure is None
    assert Path(pod.data / "PG_VERSION").exists()
