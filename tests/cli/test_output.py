"""Views as a terminal and as programs get them."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli import arguments, as_json, text, view
from cli.__main__ import carry_out
from sidecar import contract
from tests.cli.objects import AT, NOW, event, healthy, lease, pod, statefulset, there
from tests.cli.stand import Stand
from tests.cli.test_member import annotated


def schema_of(command: str) -> dict[str, Any]:
    return json.loads((Path(__file__).parents[2] / f"cli/{command}.schema.json").read_text())


SCHEMA = schema_of("status")
PLAIN, COLOURED = text.Paint(on=False), text.Paint(on=True)


def views(*items) -> tuple[view.SetView, ...]:
    return view.sets(there(*items), NOW)


def test_status_as_text() -> None:
    assert text.status(views(*healthy()), PLAIN).splitlines() == [
        "shop/orders: primary orders-0, 2 of 2 members, timeline 3",
        "MEMBER    ROLE     STATE  TL  LAG  SYNC  FOR  SAYS",
        "orders-0  primary  ready  3   -    -     30s  primary",
        "orders-1  replica  ready  -   -    -     30s  replica of orders-0",
        "Durability: async; acknowledged commits are on the primary alone",
        "Lease: held by orders-0, renewed 2s ago (by this machine's clock), valid for 10s",
        "Service orders-primary: leads to the primary (orders-0)",
        "Takeover: 2026-11-29T12:00:00Z orders-0 on timeline 3",
        "Takeover: 2026-11-29T12:00:00Z orders-1 on timeline 2",
    ]


def test_wide_has_slots_versions_and_nodes() -> None:
    shown = text.status(views(*healthy()), PLAIN, wide=True)
    assert "pgset_orders_1  -     0.2.0    0         node-1  postgres:15" in shown


def test_what_a_member_says_is_at_the_end_since_it_is_long() -> None:
    for wide in (False, True):
        _, head, _, second, *_ = text.status(views(*healthy()), PLAIN, wide=wide).splitlines()
        assert head.endswith("FOR  SAYS")
        assert second.endswith("30s  replica of orders-0")


def test_tags_are_shown_where_somebody_has_set_some() -> None:
    marked = views(
        statefulset(), pod(0, "primary"), annotated(pod(1, "replica"), nofailover="true"), lease()
    )
    assert "pgset_orders_1  nofailover  0.2.0" in text.status(marked, PLAIN, wide=True)
    assert [it["tags"] for it in json.loads(as_json.status(marked))["items"][0]["members"]] == [
        {},
        {"nofailover": True},
    ]


def test_a_priority_is_a_tag_and_one_that_is_none_is_not() -> None:
    first, second = pod(0, "primary"), pod(1, "replica")
    # Longer than the sidecar reads.
    first["metadata"]["annotations"][contract.FAILOVER_PRIORITY] = "0" * 10 + "5"
    second["metadata"]["annotations"][contract.FAILOVER_PRIORITY] = "5"
    shown = views(statefulset(), first, second, lease())
    assert "pgset_orders_0  -  " in text.status(shown, PLAIN, wide=True)
    assert "pgset_orders_1  failover_priority=5  " in text.status(shown, PLAIN, wide=True)
    second["metadata"]["annotations"][contract.FAILOVER_PRIORITY] = "0"
    (found,) = views(statefulset(), first, second, lease())
    assert found.members[1].tags == {"nofailover": True, "failover_priority": 0}


def test_an_overview_has_a_line_for_each_set() -> None:
    shown = text.overview(views(statefulset(), pod(0, "replica"), lease()), PLAIN).splitlines()
    assert shown[1].split()[:6] == ["shop", "orders", "NONE", "1/2", "-", "async"]
    assert "no member is primary; orders-0 holds the Lease" in shown[1]


def test_colour_is_there_only_where_it_was_asked_for() -> None:
    missing = views(statefulset(), pod(0, "primary"), lease())
    for show in (text.status, text.overview):
        assert "\033[" not in show(missing, PLAIN)
        assert "\033[" in show(missing, COLOURED)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (200_000, "2d")]
)
def test_durations_are_as_kubectl_writes_them(seconds, words) -> None:
    assert text.duration(seconds) == words


def test_sizes_have_postgresqls_units() -> None:
    assert [text.size(it) for it in (0, 2**10, 3 * 2**20)] == ["0 B", "1.0 kB", "3.0 MB"]


@pytest.mark.parametrize(
    "items",
    [
        healthy(),
        [statefulset()],
        [statefulset(durability="quorum"), pod(1, "replica"), lease(in_sync="a,b", copies="2")],
        [],
    ],
)
def test_status_as_json_keeps_to_the_schema(items) -> None:
    check(json.loads(as_json.status(views(*items))), SCHEMA)


def test_the_schema_refuses_what_it_does_not_know() -> None:
    document = json.loads(as_json.status(views(*healthy())))
    document["items"][0]["members"][0]["more"] = 1
    with pytest.raises(AssertionError, match="more"):
        check(document, SCHEMA)


def stand() -> Stand:
    """One that shows a healthy set of which something was said, and may not read Services."""
    said = event("Pod", "orders-1", "Following", "follows", type="Normal", source={})
    return Stand(*healthy(), said, forbidden=("services",))


@pytest.mark.parametrize("command", ["status", "history", "events", "doctor"])
def test_each_command_with_json_keeps_to_its_schema(command, capsys) -> None:
    chosen = arguments.parser().parse_args([command, "orders", "-o", "json"])
    carry_out(command)(stand(), chosen, PLAIN)
    document = json.loads(capsys.readouterr().out)
    schema = schema_of(command)
    check(document, schema)
    assert schema["title"] == f"kubectl pgset {command} -o json"
    assert document["items"], "an empty list keeps to any schema"
    document["items"][0]["more"] = 1
    with pytest.raises(AssertionError, match="more"):
        check(document, schema)


def test_json_of_history_events_and_doctor(capsys) -> None:
    parse = arguments.parser().parse_args
    found = {}
    for command in ("history", "events", "doctor"):
        carry_out(command)(stand(), parse([command, "orders", "-o", "json"]), PLAIN)
        found[command] = json.loads(capsys.readouterr().out)
    assert [it["pod"] for it in found["history"]["items"]] == ["orders-1", "orders-0"]
    assert found["events"]["items"] == [
        {
            "time": AT,
            "kind": "Pod",
            "name": "orders-1",
            "reason": "Following",
            "message": "follows",
            "warning": False,
            "component": None,
        }
    ]
    first = found["doctor"]["items"][0]
    assert (first["where"], first["command"]) == (
        "pgset",
        "kubectl -n pgset-system get deployments",
    )
    assert found["doctor"]["notLookedAt"] == [
        {"what": "services", "why": "kubectl: services is forbidden"}
    ]


TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def check(value: Any, schema: dict[str, Any]) -> None:
    """JSON Schema, as much of it as ours uses; AssertionError where the value does not keep it."""
    known = {"$schema", "$defs", "$ref", "title", "description", "type", "properties", "required"}
    assert set(schema) <= known | {"additionalProperties", "items", "enum", "const", "anyOf"}
    if "$ref" in schema:
        check(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        check(value, schema["anyOf"][0 if value is None else 1])
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert any(isinstance(value, TYPES[it]) for it in names), (value, names)
        assert not isinstance(value, bool) or "boolean" in names
    assert value in schema.get("enum", [value])
    assert value == schema.get("const", value)
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema["required"]) <= set(value) <= set(schema["properties"])
        for name, it in value.items():
            check(it, schema["properties"][name])
    for it in value if isinstance(value, list) and "items" in schema else ():
        check(it, schema["items"])
