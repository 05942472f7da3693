"""The superuser is read as the official image reads it; the replication password comes of it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.postgres.credentials import Credentials, from_environment


def test_user_and_password_are_those_of_the_database_container() -> None:
    environment = {"POSTGRES_USER": "admin", "POSTGRES_PASSWORD": "secret"}
    assert from_environment(environment) == Credentials("admin", "secret")


@pytest.mark.parametrize("environment", [{}, {"POSTGRES_USER": ""}], ids=["unset", "empty"])
def test_the_user_is_postgres_where_none_is_named(environment: dict[str, str]) -> None:
    assert from_environment(environment) == Credentials("postgres", "")


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


def test_a_file_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    """An empty password instead would show as a refused login, far from its cause."""
    missing = tmp_path / "password"
    with pytest.raises(FileNotFoundError) as error:
        from_environment({"POSTGRES_PASSWORD_FILE": str(missing)})
    assert error.value.filename == str(missing)


passwords, sets = st.text(min_size=1), st.from_regex(r"[a-z]{1,10}", fullmatch=True)


@given(passwords, sets)
def test_every_member_comes_to_the_same_replication_password(password: str, name: str) -> None:
    """Whatever the superuser is called."""
    one, other = Credentials("postgres", password), Credentials("admin", password)
    assert one.replication_password(name) == other.replication_password(name)


def test_the_replication_password_stays_the_same_from_version_to_version() -> None:
    """Members of two versions replicate from each other during an update."""
    expected = "5a9663ca8e83ae75c0f9ed42490777b4c632f347c38b666c9357911a372049fa"
    assert Credentials("postgres", "secret").replication_password("orders") == expected


def test_another_set_or_another_password_gives_another_replication_password() -> None:
    given = {
        Credentials("postgres", password).replication_password(name)
        for password in ("secret", "other")
        for name in ("orders", "billing")
    }
    assert len(given) == 4


def test_no_replication_password_comes_of_none() -> None:
    """Anybody can compute what is made from nothing."""
    assert Credentials("postgres", "").replication_password("orders") is None
