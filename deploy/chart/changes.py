"""What a list of charts shows of a version's changes, made from the changelog."""

import re
from collections.abc import Iterator
from typing import Final

import yaml

MARK: Final = "  # The rest is made from CHANGELOG.md by `python -m deploy.chart`.\n"


def with_changes(chart: str, changelog: str) -> str:
    """Return Chart.yaml with the changes of its version, as Artifact Hub's annotations.

    `chart`: its text; what is above `MARK` stays as it is.
    """
    by_hand, _, _ = chart.partition(MARK)
    changes = [*_changes(changelog, yaml.safe_load(by_hand)["version"])]
    is_security = any(it["kind"] == "security" for it in changes)
    listed = yaml.safe_dump(changes, sort_keys=False, width=4096)
    lines = [
        f'  artifacthub.io/containsSecurityUpdates: "{str(is_security).lower()}"',
        "  artifacthub.io/changes: |",
        *(f"    {line}" for line in listed.splitlines()),
    ]
    return by_hand + MARK + "\n".join(lines) + "\n"


def _changes(changelog: str, version: str) -> Iterator[dict[str, str]]:
    """Yield kind and first sentence of each change of a version."""
    _, _, rest = changelog.partition(f"\n## [{version}]\n")
    section = re.split(r"^## ", rest, maxsplit=1, flags=re.M)[0]
    for part in section.split("\n### ")[1:]:
        kind, _, text = part.partition("\n")
        for change in re.findall(r"^- (.*(?:\n  .*)*)", text, re.M):
            plain = re.sub(r"\[([^]]+)\]\([^)]*\)|\*\*|`", r"\1", re.sub(r"\s+", " ", change))
            sentence = re.split(r"(?<=\.) (?=[A-Z/<])", plain, maxsplit=1)[0]
            yield {"kind": kind.lower(), "description": sentence.removesuffix(".")}
