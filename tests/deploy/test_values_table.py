"""docs/install.md has each of the chart's values, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
AS_ONE = "resources."
"""Below these, what Kubernetes takes there is not listed."""


def names(values: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict) and value and above != AS_ONE:
            yield from names(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def test_the_page_has_each_value() -> None:
    _, _, rest = (ROOT / "docs" / "install.md").read_text().partition("\n## Helm\n")
    section, _, _ = rest.partition("\n## ")
    rows = re.findall(r"^\| (`.*?) \|", section, re.M)
    told = re.findall(r"`([\w.]+)`", " ".join(rows))
    values = yaml.safe_load((ROOT / "deploy/chart/pgset/values.yaml").read_text())
    assert sorted(told) == sorted(names(values))
