"""Each command of a page is run by a test, or it is written down why not, and what tries it."""

import re
from pathlib import Path

from tests.support.commands import (
    CHECKOUT,
    LIKE_IT,
    NEVER_RUN,
    NOT_RUN,
    PAGES,
    RUN,
    commands,
    run_of,
    shown_of,
)

SHOWN = {command: page.name for page in PAGES for command in shown_of(page)}


def test_every_command_that_is_not_run_has_its_reason_and_stands_in_a_page() -> None:
    assert set(NOT_RUN) <= set(commands())


def test_no_other_page_has_commands_that_are_run() -> None:
    others = {*PAGES} - {CHECKOUT / page for page in RUN}
    assert [page.name for page in sorted(others) if run_of(page)] == []


def test_every_command_that_is_only_shown_is_run_elsewhere_or_has_its_reason() -> None:
    assert len(SHOWN) > 20
    known = {*commands(), *LIKE_IT, *NEVER_RUN}
    assert {command: page for command, page in SHOWN.items() if command not in known} == {}


def test_what_is_written_down_of_commands_is_needed() -> None:
    assert ({*LIKE_IT, *NEVER_RUN} - SHOWN.keys(), {*LIKE_IT} & {*NEVER_RUN}) == (set(), set())


def test_the_tests_that_try_what_is_shown_are_there() -> None:
    for named in LIKE_IT.values():
        file, _, test = named.partition("::")
        assert re.search(rf"^def {test}\(", (CHECKOUT / file).read_text(), re.M), named


def test_each_target_of_make_that_a_page_names_is_one() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.M))
    for page in (it for it in PAGES if it.name != "CHANGELOG.md"):
        assert set(re.findall(r"`make ([a-z-]+)", page.read_text())) <= targets, page.name


def test_a_command_of_several_lines_is_one(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("One:\n\n    kubectl a \\\n        b   # why\n\n1. list\n    of words\n")
    assert shown_of(page) == ["kubectl a b"]
