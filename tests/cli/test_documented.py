"""The commands that the pages show are those that the plugin has."""

import re
import shlex
from pathlib import Path

import pytest

from cli.__main__ import split
from cli.arguments import commands, parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
SHOWN = sorted(
    {
        shown
        for page in PAGES
        for line in re.findall(
            r"^ *kubectl pgset (.+)$|`kubectl pgset ([^`]+)`", page.read_text(), re.M
        )
        for shown in line
        if shown
    }
)
TABLE = re.findall(
    r"^\| (`.+`) \| ", (ROOT / "docs/operate.md").read_text().partition("| command |")[2], re.M
)


@pytest.mark.parametrize("shown", SHOWN)
def test_a_page_shows_no_command_that_is_not_understood(shown: str) -> None:
    ours, _ = split(shlex.split(shown.partition(" | ")[0]))
    assert parser().parse_args(ours).command == ours[0]


def test_the_table_has_every_command_with_options_that_it_has() -> None:
    told = dict(it.split(maxsplit=1) for row in TABLE for it in re.findall(r"`([^`]+)`", row))
    # What shells ask for stands below the table.
    assert sorted(told) == sorted({*commands()} - {"completion"})
    (of_command,) = (it.choices for it in parser()._actions if isinstance(it.choices, dict))
    unknown = {
        f"{name} {option}"
        for name, words in told.items()
        for option in re.findall(r"(?<!\S)\[?(--?[a-z][a-z-]*)", words)
        if option not in of_command[name]._option_string_actions
    }
    assert unknown == set()
