"""A pipe, a directory or gigabytes in the place of a file: whoever may write to the volume can put
them there, and the sidecar neither waits for what never comes nor runs out of memory."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.bootstrap import Bootstrap
from sidecar.postgres import credentials
from sidecar.postgres.wal import end_of_wal, has_wal_beyond
from tests.sidecar.test_odd_files import made

SECONDS = 30.0

READ_AT_EACH_LOOK = (
    ".pgset-heartbeat",
    ".pgset-returns",
    ".pgset-promoting",
    ".pgset-found",
    "postmaster.pid",
)


def in_time(do: Callable[[], object]) -> None:
    """Fail where it does not end: whatever it raises, it has to be told."""

    def end() -> None:
        try:
            do()
        except (OSError, ValueError) as error:
            ended.append(str(error))
        else:
            ended.append("")

    ended = list[str]()
    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert ended, f"it has not ended within {SECONDS:g} s"


@pytest.mark.parametrize("name", [*READ_AT_EACH_LOOK, ".pgset-heartbeat.new"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "directory"])
def test_a_look_ends(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    bootstrap = made(tmp_path)
    make(tmp_path / "data" / name)
    told = list[object]()
    in_time(lambda: told.append(bootstrap.observe(1.0).write_failure))
    assert "has not answered" not in str(told)


def write_settings(bootstrap: Bootstrap) -> None:
    bootstrap.write_settings({"hot_standby": "on"})


def keep_password(bootstrap: Bootstrap) -> None:
    bootstrap.keep_password("secret")


def keep_secrets(bootstrap: Bootstrap) -> None:
    bootstrap.keep_secrets(lambda kept: kept)


def note_promotion(bootstrap: Bootstrap) -> None:
    bootstrap.note_promotion(1, restores=True)


@pytest.mark.parametrize(
    ("name", "do"),
    [
        ("postgresql.auto.conf", write_settings),
        ("postgresql.auto.conf.new", write_settings),
        (".pgset-password/pgsql_tmp.replication.new", keep_password),
        (".pgset-password/pgsql_tmp.secrets", keep_secrets),
        (".pgset-password/pgsql_tmp.secrets.new", keep_secrets),
        (".pgset-promoting.new", note_promotion),
        ("recovery.signal", Bootstrap.remove_standby_signal),
        ("standby.signal", Bootstrap.put_standby_signal),
    ],
)
def test_a_change_ends(tmp_path: Path, name: str, do: Callable[[Bootstrap], object]) -> None:
    bootstrap = made(tmp_path)
    path = tmp_path / "data" / name
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    in_time(lambda: do(bootstrap))
    in_time(lambda: do(bootstrap))


@pytest.mark.parametrize("odd", [os.mkfifo, os.mkdir, Path.touch], ids=["pipe", "folder", "empty"])
def test_what_is_no_wal_file_is_told_and_not_waited_for(
    tmp_path: Path, odd: Callable[[Path], None]
) -> None:
    """A turn of the loop and a thread of its own read them."""
    (tmp_path / "pg_wal").mkdir()
    odd(tmp_path / "pg_wal" / f"{1:08X}{0:08X}{1:08X}")
    for look in (
        lambda: has_wal_beyond(tmp_path, 1, 2**24),
        lambda: end_of_wal(tmp_path, 1, 2**24 + 8, None),
    ):
        told = list[str]()

        def tell(look: Callable[[], object] = look, told: list[str] = told) -> None:
            try:
                look()
            except OSError as error:
                told.append(str(error))
                raise

        in_time(tell)
        assert "no WAL file" in str(told)


def test_settings_of_gigabytes_are_not_read_and_stay(tmp_path: Path) -> None:
    bootstrap = made(tmp_path)
    auto_conf = tmp_path / "data/postgresql.auto.conf"
    auto_conf.touch()
    os.truncate(auto_conf, 2**33)
    with pytest.raises(OSError, match="more than"):
        write_settings(bootstrap)
    assert auto_conf.stat().st_size == 2**33


def test_a_pipe_or_gigabytes_are_no_password(tmp_path: Path) -> None:
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    large.touch()
    os.truncate(large, 2**33)
    in_time(lambda: credentials.from_environment({"POSTGRES_PASSWORD_FILE": str(pipe)}))
    with pytest.raises(OSError, match="more than"):
        credentials.from_environment({"POSTGRES_PASSWORD_FILE": str(large)})


def test_nobody_waits_for_a_heartbeat_for_longer_than_for_that_of_any_pod(tmp_path: Path) -> None:
    bootstrap = made(tmp_path)
    (tmp_path / "data/.pgset-heartbeat").write_text(f"uid-9 7 1 {'9' * 4000}\n")
    assert bootstrap.observe(1.0).other_writer == "uid-9"
    assert bootstrap.observe(1000.0).other_writer is None
