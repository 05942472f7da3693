"""The superuser is read as the official image reads it."""

import errno
import os
from pathlib import Path

import pytest

from sidecar import agent
from sidecar.postgres import credentials
from sidecar.postgres.credentials import Credentials, from_environment
from sidecar.report.server import listen
from sidecar.settings import Settings
from tests.support.idle_threads import ENVIRONMENT


def test_user_and_password_are_those_of_the_database_container() -> None:
    environment = {"POSTGRES_USER": "admin", "POSTGRES_PASSWORD": "secret"}
    assert from_environment(environment) == Credentials("admin", "secret")


@pytest.mark.parametrize("environment", [{}, {"POSTGRES_USER": ""}], ids=["unset", "empty"])
def test_the_user_is_postgres_where_none_is_named(environment: dict[str, str]) -> None:
    assert from_environment(environment) == Credentials("postgres", "")


@pytest.mark.parametrize(
    ("value", "password"), [("$(PG_ROOT_PASSWORD)", ""), ("$(a b)", "$(a b)"), ("$()", "$()")]
)
def test_what_the_kubelet_could_not_fill_in_is_no_password(value: str, password: str) -> None:
    environment = {"POSTGRES_PASSWORD": value}
    assert from_environment(environment) == Credentials("postgres", password)


def test_both_may_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "user").write_text("admin\n")
    (tmp_path / "password").write_text("secret\n")
    environment = {
        "POSTGRES_USER_FILE": str(tmp_path / "user"),
        "POSTGRES_PASSWORD_FILE": str(tmp_path / "password"),
    }
    assert from_environment(environment) == Credentials("admin", "secret")


@pytest.mark.parametrize(
    ("content", "password"),
    [
        ("secret", "secret"),
        ("secret\n\n", "secret"),
        (" sec ret ", " sec ret "),
        ("two\nlines\n", "two\nlines"),
        ("schlüssel\n", "schlüssel"),
        ("\n", ""),
    ],
)
def test_only_the_newlines_at_the_end_of_a_password_file_are_dropped(
    tmp_path: Path, content: str, password: str
) -> None:
    """As `$(< file)` does in the image's entrypoint."""
    file = tmp_path / "password"
    file.write_text(content, encoding="utf-8")
    assert from_environment({"POSTGRES_PASSWORD_FILE": str(file)}).password == password


def test_an_empty_file_name_is_none() -> None:
    environment = {"POSTGRES_PASSWORD_FILE": "", "POSTGRES_PASSWORD": "secret"}
    assert from_environment(environment).password == "secret"


def test_a_file_that_is_not_utf_8_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(OSError, match="it is not UTF-8") as raised:
        from_environment({"POSTGRES_PASSWORD_FILE": str(path)})
    assert raised.value.filename == str(path)


def test_a_link_to_the_sidecars_own_token_is_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a volume that the database container may write to, its user may put one there."""
    mounted, path = tmp_path / "run/secrets", tmp_path / "password"
    (mounted / "..now").mkdir(parents=True)
    (mounted / "..now/token").write_text("the token")
    (mounted / "token").symlink_to("..now/token")
    (tmp_path / "var-run").symlink_to("run")
    monkeypatch.setattr(credentials, "_TOKEN_DIRECTORY", tmp_path / "var-run/secrets")
    path.symlink_to(mounted / "token")
    with pytest.raises(OSError, match="own token"):
        from_environment({"POSTGRES_PASSWORD_FILE": str(path)})


def test_a_file_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    """An empty password instead would show as a refused login, far from its cause."""
    missing = tmp_path / "password"
    with pytest.raises(FileNotFoundError) as error:
        from_environment({"POSTGRES_PASSWORD_FILE": str(missing)})
    assert error.value.filename == str(missing)


def test_a_file_that_only_root_may_read_ends_the_sidecar_which_says_what_helps(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The image's entrypoint reads it while it is root; the sidecar never is."""

    def read(_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/run/secrets/password")

    monkeypatch.setattr(credentials, "from_environment", read)
    for name, value in (ENVIRONMENT | Settings(set_name="orders").to_environment()).items():
        monkeypatch.setenv(name, value)
    with listen(0, "127.0.0.1") as listener:
        assert agent.run(listener) != 0
    assert "'/run/secrets/password'; set fsGroup in the pod's securityContext" in caplog.text
