"""The commands by which docs/operate.md copies a set into one of a newer major version."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from deploy.local import postgresql
from tests.support.commands import CHECKOUT, shown_of
from tests.support.database import Database, Host, copied, free_port, new_host

pytestmark = [pytest.mark.postgres, pytest.mark.thorough]

NEWER = "18"
COMMANDS = [it for it in shown_of(CHECKOUT / "docs/operate.md") if "orders18-0" in it]


@pytest.fixture(scope="module")
def newer_programs() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pgset-programs-") as root:
        Path(root).chmod(0o755)
        yield postgresql.copy(NEWER, Path(root))


@pytest.fixture
def old(template: Path, host: Host) -> Database:
    database = copied(template, host)
    database.start()
    return database


@pytest.fixture
def new(newer_programs: Path, scratch: Path) -> Iterator[Database]:
    host = new_host(newer_programs, scratch)
    directory, password = host.make_folder("data"), host.folder / "password"
    password.write_text("secret\n")
    host.run(
        *("initdb", "--no-sync", "--pgdata", directory, "--username=postgres"),
        *("--auth=scram-sha-256", f"--pwfile={password}"),
    )
    database = Database(host, directory, free_port())
    database.start()
    yield database
    host.end()


def sql(database: Database, statement: str, dbname: str = "postgres") -> list[tuple[object, ...]]:
    who = f"user=postgres password=secret dbname={dbname} client_encoding=utf8"
    where = f"host=127.0.0.1 port={database.port}"
    with psycopg.connect(f"{where} {who}", autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def kubectl(folder: Path, pods: dict[str, Database]) -> None:
    """Make one that carries out `-n shop exec [-i] POD -c postgres -- COMMAND…` by that server."""
    cases = [
        f"{pod}) export PGHOST={it.host.folder} PGPORT={it.port} PATH={it.host.programs}:$PATH ;;"
        for pod, it in pods.items()
    ]
    lines = [
        "#!/bin/sh",
        '[ "$1 $2 $3" = "-n shop exec" ] || exit 9',
        'shift 3; [ "$1" = -i ] && shift',
        'case "$1" in',
        *cases,
        "*) exit 9 ;;",
        "esac",
        # The images' socket trusts, and that of the tests does not.
        'shift 4; PGPASSWORD=secret exec "$@"',
    ]
    script = folder / "kubectl"
    script.write_text("\n".join([*lines, ""]))
    script.chmod(0o755)


def test_roles_and_a_database_are_copied_and_the_one_error_is_told_before(
    old: Database, new: Database, tmp_path: Path
) -> None:
    sql(old, "CREATE ROLE pgset_replication LOGIN REPLICATION")
    sql(old, "CREATE ROLE seller LOGIN PASSWORD 'secret'")
    sql(old, "CREATE DATABASE shop OWNER seller")
    sql(old, "CREATE TABLE sold AS SELECT generate_series(1, 1000) AS number", "shop")
    sql(old, "ALTER TABLE sold OWNER TO seller", "shop")
    kubectl(tmp_path, {"orders-0": old, "orders18-0": new})
    path = f"{tmp_path}:{os.environ['PATH']}"
    errors = []
    for command in COMMANDS:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        errors += [it for it in done.stderr.splitlines() if "ERROR" in it]
    assert [it.partition("ERROR:")[2].strip() for it in errors] == [
        'role "postgres" already exists'
    ]
    assert len(COMMANDS) == 2
    assert sql(new, "SELECT count(*), max(number) FROM sold", "shop") == [(1000, 1000)]
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'sold'"
    assert sql(new, owner, "shop") == [("seller",)]
    assert sql(new, "SELECT count(*) FROM pg_roles WHERE rolname = 'pgset_replication'") == [(0,)]
