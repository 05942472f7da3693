"""What a shell offers for the word that is being typed."""

import pytest

from cli import completion


@pytest.mark.parametrize(
    ("before", "last", "offered"),
    [
        (["status"], "--a", ["--all-namespaces"]),
        (["switchover", "orders"], "--t", ["--timeout", "--to"]),
        (["fence"], "--y", ["--yes"]),
        (["optin"], "--d", ["--dry-run"]),
        (["status", "-o"], "", ["json", "wide"]),
        (["inject", "--image-pull-policy"], "N", ["Never"]),
        (["doctor", "--output"], "j", ["json"]),
        (["report", "-o"], "", []),
        (["status", "-n"], "-", []),
        (["dance"], "-", []),
    ],
)
def test_options_are_offered_and_what_they_may_be(before, last, offered, capsys) -> None:
    completion.complete([*before, last])
    *words, directive = capsys.readouterr().out.splitlines()
    assert (words, directive) == (offered, completion.NO_FILES)


def test_kubectls_own_options_are_not_repeated_with_each_command(capsys) -> None:
    completion.complete(["status", "--as"])
    assert capsys.readouterr().out == f"{completion.NO_FILES}\n"
