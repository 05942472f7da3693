"""The table of docs/security.md, as data."""

from dataclasses import dataclass
from typing import Any

from tests.deploy.manifests import DEPLOY

DOCUMENT = DEPLOY.parent / "docs/security.md"
EVERYWHERE, OF_A_SET = "everywhere", "a set's"

Right = tuple[str, str, str]
"""Resource with its group, name or "", verb."""


@dataclass(frozen=True)
class Row:
    process: str
    where: str
    rights: frozenset[Right]


def rows() -> list[Row]:
    lines = DOCUMENT.read_text().splitlines()
    start = lines.index("| process | where | resource | named | verbs |") + 2
    end = lines.index("", start)
    return [_row(*(cell.strip() for cell in line.split("|")[1:-1])) for line in lines[start:end]]


def _row(process: str, where: str, resource: str, named: str, verbs: str) -> Row:
    return Row(
        process,
        where,
        frozenset(
            (resource, name, verb) for name in named.split(", ") for verb in verbs.split(", ")
        ),
    )


def told(process: str, where: str) -> set[Right]:
    """What the table says of a process in one kind of place."""
    return {
        it for row in rows() if (row.process, row.where) == (process, where) for it in row.rights
    }


def of_rules(rules: list[dict[str, Any]]) -> set[Right]:
    """The same, of the rules of a role or a review."""
    return {
        (f"{resource}.{group}".rstrip("."), name, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames") or [""]
        for verb in rule["verbs"]
    }
