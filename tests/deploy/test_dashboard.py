"""What Grafana needs to draw the dashboard so that a person can read it."""

import json
import re
from itertools import combinations
from typing import Any

import pytest

from tests.deploy.manifests import DEPLOY

PANELS: list[dict[str, Any]] = json.loads((DEPLOY / "monitoring/dashboard.json").read_text())[
    "panels"
]
GRAPHS = [it for it in PANELS if it["type"] != "row"]
COLUMNS = 24

UNIT_OF = {"_bytes": "bytes", "_seconds": "s"}
"""Metrics that end so are shown in this unit, unless they are counted over time."""

OVER_TIME = re.compile(r"(rate|deriv)\(")


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    at = panel["gridPos"]
    columns, lines = range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
    return {(x, y) for x in columns for y in lines}


def test_panels_lie_beside_each_other_in_the_order_in_which_they_are_read() -> None:
    assert all(x < COLUMNS for panel in PANELS for x, _ in cells(panel))
    assert not [
        (one["title"], other["title"])
        for one, other in combinations(PANELS, 2)
        if cells(one) & cells(other)
    ]
    places = [(it["gridPos"]["y"], it["gridPos"]["x"]) for it in PANELS]
    assert places == sorted(places)


def test_titles_and_numbers_are_there_once() -> None:
    for key in ("id", "title"):
        values = [it[key] for it in PANELS]
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("panel", GRAPHS, ids=lambda it: it["title"])
def test_a_graph_has_a_unit_and_a_legend_for_each_line(panel: dict[str, Any]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    queries = [it["expr"] for it in panel["targets"]]
    expected = {
        it
        for ending, it in UNIT_OF.items()
        for query in queries
        if f"{ending}{{" in query.partition(" and ")[0] and not OVER_TIME.search(query)
    }
    assert expected <= {unit}
    assert all(it["legendFormat"] for it in panel["targets"])
    assert len({it["refId"] for it in panel["targets"]}) == len(queries)
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
