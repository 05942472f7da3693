"""What a StatefulSet's annotations say to its sidecars."""

import pytest

from sidecar.action import Attention
from sidecar.contract import ENABLED, FAILOVER_PRIORITY, FENCED, INJECTED, NOFAILOVER, PAUSED, SIGNS
from sidecar.kube.client import ApiClient, Json
from sidecar.kube.events import Events
from sidecar.kube.pods import (
    as_involved,
    backs_off,
    failover_priority,
    has_nofailover,
    is_fenced,
    is_opted_out,
    is_paused,
    signs,
)
from sidecar.observation import Identity


def statefulset(annotations: dict[str, str] | None) -> Json:
    return {"metadata": {} if annotations is None else {"annotations": annotations}}


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({ENABLED: "true"}, False),
        ({ENABLED: "false"}, True),
        ({}, True),
        (None, True),
        # The webhook denies it, but may be away: a slip of the pen must not end a set.
        ({ENABLED: "yes"}, False),
    ],
)
def test_who_takes_the_annotation_away_or_says_no_has_opted_out(
    annotations: dict[str, str] | None, expected: bool
) -> None:
    assert is_opted_out(statefulset(annotations)) is expected


@pytest.mark.parametrize(
    ("value", "expected"), [("true", True), ("false", False), ("perhaps", False)]
)
def test_only_a_clear_yes_is_a_pause(value: str, expected: bool) -> None:
    assert is_paused(statefulset({PAUSED: value})) is expected


def test_a_statefulset_that_is_gone_or_not_yet_seen_says_neither() -> None:
    assert (is_opted_out(None), is_paused(None)) == (False, False)


class Written(ApiClient):
    """What is created by it."""

    def __init__(self) -> None:
        self.created: list[Json] = []

    def create(self, path: str, body: Json) -> Json:
        self.created.append({"path": path, **body})
        return body


def test_an_event_is_about_the_pod_or_about_the_statefulset() -> None:
    client = Written()
    events = Events(client, "shop", Identity("orders-0", "uid-0"))
    orders = {"metadata": {"namespace": "shop", "name": "orders", "uid": "uid-of-the-set"}}
    events.record("Fencing", "It stops.", Attention.WARNING)
    events.record("Fencing", "It stops.", Attention.WARNING, about=as_involved(orders))
    assert [tuple(it["involvedObject"].values()) for it in client.created] == [
        ("v1", "Pod", "shop", "orders-0", "uid-0"),
        ("apps/v1", "StatefulSet", "shop", "orders", "uid-of-the-set"),
    ]


def status(name: str, state: Json) -> Json:
    return {"name": name, "state": state, "lastState": {"terminated": {"reason": "Error"}}}


WAITS = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed"}}


@pytest.mark.parametrize(
    ("statuses", "container", "expected"),
    [
        (None, None, False),
        ([status("postgres", {"running": {}})], None, False),
        ([status("postgres", {"waiting": {"reason": "ContainerCreating"}})], None, False),
        ([status("postgres", {"terminated": {"exitCode": 1}})], None, False),
        ([status("postgres", WAITS)], None, True),
        ([status("postgres", {"running": {}}), status("exporter", WAITS)], "postgres", False),
        ([status("postgres", WAITS), status("exporter", {"running": {}})], "postgres", True),
    ],
)
def test_a_back_off_counts_where_it_is_the_database_containers(
    statuses: list[Json] | None, container: str | None, expected: bool
) -> None:
    assert backs_off({"status": {"containerStatuses": statuses}}, container) is expected


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({INJECTED: "0.2.0"}, False),
        ({INJECTED: "0.1.0", SIGNS: "crc32"}, False),
        ({INJECTED: "0.2.0", SIGNS: "scrypt"}, True),
        # It has no sidecar, and nobody is to be believed in its place.
        ({}, True),
    ],
)
def test_only_a_pod_that_an_older_version_made_need_not_sign(
    annotations: dict[str, str], expected: bool
) -> None:
    assert signs(annotations) is expected


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [({FENCED: "true"}, True), ({FENCED: "false"}, False), ({FENCED: "yes"}, False), ({}, False)],
)
def test_a_pod_is_fenced_by_true_alone_and_left_to_others_by_true_alone(
    annotations: dict[str, str], expected: bool
) -> None:
    assert is_fenced(annotations) is expected
    renamed = {name.replace(FENCED, NOFAILOVER): value for name, value in annotations.items()}
    assert has_nofailover(renamed) is expected


@pytest.mark.parametrize(
    ("value", "priority", "is_wrong"),
    [
        ("5", 5, False),
        ("0", 0, False),
        ("1000", 1000, False),
        ("1001", 1, True),
        ("-1", 1, True),
        ("high", 1, True),
        ("", 1, True),
        ("0010", 10, False),
        ("0" * 10 + "5", 1, True),
        ("9" * 5000, 1, True),
    ],
    ids=lambda it: str(it)[:5],
)
def test_a_priority_that_is_none_counts_as_the_default_and_is_told(
    value: str, priority: int, is_wrong: bool
) -> None:
    found, problem = failover_priority({FAILOVER_PRIORITY: value})
    assert (found, problem is not None) == (priority, is_wrong)
    assert has_nofailover({FAILOVER_PRIORITY: value}) is (priority == 0)
    assert problem is None or "allowed: a whole number from 0 to 1000" in problem
