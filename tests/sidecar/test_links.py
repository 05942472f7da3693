"""Links in the data directory lead the sidecar nowhere: it has files that PostgreSQL has not."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.bootstrap import Bootstrap
from tests.sidecar.test_odd_files import made

TOKEN = "the-token-of-the-sidecar"


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """In the sidecar's container alone."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN} 7 7 7\n{TOKEN}\n")
    return path


@pytest.fixture
def bootstrap(tmp_path: Path) -> Bootstrap:
    return made(tmp_path)


def look(bootstrap: Bootstrap) -> object:
    return bootstrap.observe(1.0)


def write_settings(bootstrap: Bootstrap) -> None:
    bootstrap.write_settings({"hot_standby": "on"}, {"max_connections": "100"})


def keep_secrets(bootstrap: Bootstrap) -> object:
    return bootstrap.keep_secrets(lambda kept: ["uid-0", *kept])


@pytest.mark.parametrize(
    ("name", "do"),
    [
        (".pgset-heartbeat", look),
        ("postgresql.auto.conf", write_settings),
        (".pgset-password/pgsql_tmp.secrets", keep_secrets),
    ],
)
def test_what_a_link_leads_to_is_neither_told_nor_copied(
    bootstrap: Bootstrap,
    tmp_path: Path,
    token: Path,
    name: str,
    do: Callable[[Bootstrap], object],
) -> None:
    """A superuser of the database can make it, and read all that is in the data directory."""
    link = tmp_path / "data" / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(token)
    try:
        told = str(do(bootstrap))
    except OSError as error:
        told = str(error)
    assert TOKEN not in told
    files = [it for it in (tmp_path / "data").rglob("*") if it.is_file() and not it.is_symlink()]
    assert not [it for it in files if TOKEN in it.read_text()]


@pytest.mark.parametrize(
    ("name", "do"), [(".pgset-heartbeat.new", look), ("postgresql.auto.conf.new", write_settings)]
)
def test_nothing_is_written_through_a_link(
    bootstrap: Bootstrap,
    tmp_path: Path,
    token: Path,
    name: str,
    do: Callable[[Bootstrap], object],
) -> None:
    """Such as over the orders to bootstrap, which may run as root."""
    before = token.read_text()
    (tmp_path / "data" / name).symlink_to(token)
    with contextlib.suppress(OSError):
        do(bootstrap)
    assert token.read_text() == before
