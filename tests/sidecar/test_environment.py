"""Nothing in the database container's environment or home changes what the sidecar does."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from sidecar.environment import keep_only_what_is_ours

PROGRAM = """
import os
from sidecar.environment import keep_only_what_is_ours
keep_only_what_is_ours(os.environ)
import psycopg
import pytest
from sidecar.postgres.connection import Address
from sidecar.postgres.credentials import from_environment
address = Address(from_environment(os.environ))
found = psycopg.pq.PGconn.connect_start(address._conninfo())
print([(option.keyword, option.val) for option in found.info])
"""


def parameters(environment: dict[str, str]) -> str:
    """What libpq connects by, in a sidecar with this environment."""
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "b'hostaddr', None" in found
    return found


def test_what_is_kept_is_the_sidecars_own_and_the_credentials() -> None:
    ours = {
        "PGSET_TTL": "10",
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "POSTGRES_PASSWORD": "secret",
        "POSTGRES_USER_FILE": "/user",
    }
    theirs = dict.fromkeys(
        ("PGSSLMODE", "OPENSSL_CONF", "SSL_CERT_FILE", "HTTPS_PROXY", "KRB5_CONFIG", "TZ"), "x"
    )
    environment = {**theirs, **ours, "HOME": "/var/lib/postgresql"}
    keep_only_what_is_ours(environment)
    assert environment == {**ours, "HOME": "/nonexistent"}


@pytest.mark.thorough
def test_no_variable_of_libpqs_changes_a_connection() -> None:
    odd = {"PGSSLMODE": "verify-full", "PGPORT": "1", "PGCHANNELBINDING": "require"}
    theirs = {
        option.envvar.decode(): odd.get(option.envvar.decode(), "require")
        for option in psycopg.pq.Conninfo.get_defaults()
        if option.envvar
    }
    plain = {"PATH": "/bin", "POSTGRES_PASSWORD": "secret"}
    assert parameters({**plain, **theirs}) == parameters(plain)


@pytest.mark.thorough
def test_no_file_in_a_home_directory_changes_a_connection(tmp_path: Path) -> None:
    (tmp_path / ".pg_service.conf").write_text("[x]\nhostaddr=127.0.0.9\nsslmode=verify-full\n")
    (tmp_path / ".pgpass").write_text("*:*:*:*:of somebody else\n")
    (tmp_path / ".pgpass").chmod(0o600)
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql/root.crt").write_text("no certificate")
    plain = {"PATH": "/bin"}
    theirs = {**plain, "HOME": str(tmp_path), "PGSERVICE": "x", "PGSYSCONFDIR": str(tmp_path)}
    assert parameters(theirs) == parameters(plain)
