"""The commands that the pages show are those that the plugin has."""

import re
import shlex
from pathlib import Path

import pytest

from cli.__main__ import carry_out, split
from cli.arguments import commands, parser
from cli.text import Paint
from tests.cli.objects import lease, statefulset
from tests.cli.stand import Stand
from tests.cli.test_member import annotated, new

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
    ours, _ = split(shlex.split(re.split(r" [|>] ", shown)[0]))
    assert parser().parse_args(ours).command == ours[0]


RIGHTS = {
    "patch the Lease": ("switchover orders",),
    "the StatefulSet": ("pause orders", "resume orders", "restart orders"),
    "the pod": ("fence orders-1", "unfence orders-2", "reinit orders-1"),
    "delete the pod": ("restart orders orders-1",),
}
CHANGED = {
    "patch the Lease": "annotate lease",
    "the StatefulSet": "(annotate|rollout restart) statefulset",
    "the pod": "annotate pod",
    "delete the pod": "delete pod",
}


@pytest.mark.parametrize(("right", "words"), [(it, w) for it in RIGHTS for w in RIGHTS[it]])
def test_a_command_needs_the_right_that_the_page_says(right: str, words: str) -> None:
    fenced = annotated(new(2, "replica"), fenced="true")
    kubectl = Stand(statefulset(), new(0, "primary"), new(1, "replica"), fenced, lease())
    chosen = parser().parse_args(words.split())
    carry_out(chosen.command)(kubectl, chosen, Paint(False))
    (done,) = kubectl.done
    assert re.match(CHANGED[right], done)
    name = words.partition(" ")[0]
    page = (ROOT / "docs/operate.md").read_text()
    assert re.search(rf"{right}\s\([^)]*`{name}", page)


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
