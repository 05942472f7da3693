"""A leader whose pod is not ready, though its PostgreSQL is well: its Services lead nowhere."""

import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.action import Checkpoint, StopPostgres
from sidecar.deadlines import UNSETTLED_TICK
from sidecar.decide import decide
from sidecar.failsafe import UNREADY_PATIENCE, should_give_way
from sidecar.kube.client import ApiClient, Json
from sidecar.kube.pods import Pods, is_taken_out, is_unready
from sidecar.observation import Identity, LeaseRecord, LeaseView, Observation, Peer, Pod
from tests.sidecar.rules.observations import (
    LEADER,
    LEADER_PODS,
    NOW,
    RUNNING,
    SETTINGS,
    WRITABLE,
    peer,
    situation_and_actions,
)
from tests.support.clock import Clock
from tests.support.waiting import wait_until

LONG = NOW - 60.0


def leader(*taken_out: int, since: float = LONG, **changes: Any) -> Observation:
    """A primary, of whose set these ordinals' pods are taken out."""
    pods = tuple(
        replace(pod, taken_out_since=since, unready_since=since) if number in taken_out else pod
        for number, pod in enumerate(LEADER_PODS)
    )
    return replace(LEADER, pods=pods, peers=peer(1) | peer(2), **changes)


SERVED = replace(WRITABLE, checkpointed_at=NOW - 0.5)


# ── handing over ──────────────────────────────────────────────────────────────────────────


def test_a_leader_that_new_clients_do_not_reach_hands_over() -> None:
    situation, actions = situation_and_actions(leader(0))
    assert (situation, actions[-1]) == ("PreparingToStop", Checkpoint())
    decision = decide(leader(0, postgres=SERVED), SETTINGS)
    assert (decision.situation, decision.actions[0]) == ("Stopping", StopPostgres(signal.SIGINT))
    assert decision.sentence == (
        "stopping PostgreSQL to hand over to orders-1: Kubernetes does not hear from this pod's "
        "node and sends it no new clients"
    )


def test_after_an_outage_of_the_api_server_the_nodes_have_time_to_be_heard_again() -> None:
    assert decide(leader(0, api_failed_at=NOW - 29), SETTINGS).situation == "Leading"
    assert decide(leader(0, api_failed_at=NOW - 31), SETTINGS).situation == "PreparingToStop"


def test_it_gives_the_controller_time_to_take_out_the_others_too() -> None:
    early = leader(0, since=NOW - 1.9)
    assert decide(early, SETTINGS).situation == "Leading"
    assert decide(early, SETTINGS).look_in == pytest.approx(0.1)
    assert decide(leader(0, since=NOW - 2.0), SETTINGS).situation == "PreparingToStop"


def test_where_the_control_plane_hears_no_node_nobody_moves_and_nobody_is_in_a_hurry() -> None:
    alike = leader(0, 1, 2)
    assert decide(alike, SETTINGS).situation == "Leading"
    assert decide(alike, SETTINGS).look_in > UNSETTLED_TICK


def test_it_hands_over_to_who_is_in_service_although_another_would_be_better() -> None:
    assert decide(leader(0, 1), SETTINGS).sentence.startswith(
        "primary, about to hand over to orders-2"
    )


@pytest.mark.parametrize(
    "peers", [{}, peer(1, reaches_api=False) | peer(2, well=False), peer(1, running=False)]
)
def test_without_a_fit_successor_it_stays(peers: dict[str, Peer]) -> None:
    assert decide(replace(leader(0), peers=peers), SETTINGS).situation == "Leading"


def test_it_asks_who_could_follow() -> None:
    assert decide(replace(leader(0), peers=None), SETTINGS).asks_peers
    assert not decide(replace(leader(1), peers=None), SETTINGS).asks_peers


def test_a_paused_set_stays_as_it_is() -> None:
    assert decide(leader(0, paused=True), SETTINGS).situation == "Leading"


def test_a_deleted_leader_hands_over_even_to_who_is_taken_out() -> None:
    pods = leader(1, 2).pods or ()
    deleted = replace(
        leader(), pods=(replace(pods[0], deleting=True), *pods[1:]), leaving_since=NOW - 0.2
    )
    assert decide(deleted, SETTINGS).situation == "PreparingToStop"


def unready(since: float = LONG, others_since: float | None = None, **changes: Any) -> Observation:
    """A primary whose pod is not ready, for the sake of another container of it."""
    first, *others = (replace(pod, unready_since=others_since) for pod in LEADER_PODS)
    return replace(leader(**changes), pods=(replace(first, unready_since=since), *others))


def test_a_leader_hands_over_that_is_not_ready_for_whatever_reason() -> None:
    """An exporter beside it is not, say; or its kubelet ended while a probe had just failed."""
    decision = decide(unready(postgres=replace(SERVED, since=LONG - 400)), SETTINGS)
    assert decision.situation == "Stopping"
    assert decision.sentence == (
        "stopping PostgreSQL to hand over to orders-1: this pod is not ready, so no new clients "
        "reach it, although its PostgreSQL is well"
    )


@pytest.mark.parametrize(
    "recently",
    [
        {"since": NOW - 9},
        {"postgres": replace(SERVED, since=NOW - 9)},
        {"postgres": replace(SERVED, unwell_since=NOW - 1)},
        {"bootstrap": replace(RUNNING, slow_ago=9.0)},
    ],
    ids=["unready", "up again", "unwell", "its volume was slow"],
)
def test_not_while_the_database_itself_may_be_why(recently: dict[str, Any]) -> None:
    assert decide(unready(**recently), SETTINGS).situation == "Leading"


def test_what_is_unready_only_beside_a_primary_moves_it_seldom() -> None:
    soon = unready(postgres=replace(SERVED, since=LONG - 290))
    assert decide(soon, SETTINGS).situation == "Leading"
    long = unready(since=NOW - 301, postgres=replace(SERVED, since=NOW - 400))
    assert decide(long, SETTINGS).situation == "Stopping"


def test_nor_to_who_is_not_ready_either() -> None:
    assert decide(unready(others_since=NOW - 1), SETTINGS).situation == "Leading"


# ── what Kubernetes says ──────────────────────────────────────────────────────────────────


def pod(ready: str | None, containers: str, *, gate: str | None = None) -> Json:
    conditions = [{"type": "ContainersReady", "status": containers}]
    if ready is not None:
        conditions.append({"type": "Ready", "status": ready})
    if gate is not None:
        conditions.append({"type": "example.com/gate", "status": gate})
    gates = [] if gate is None else [{"conditionType": "example.com/gate"}]
    return {"spec": {"readinessGates": gates}, "status": {"conditions": conditions}}


@pytest.mark.parametrize("containers", ["True", "False"])
def test_who_is_not_ready_is_unready_for_whatever_reason(containers: str) -> None:
    assert is_unready(pod("False", containers))
    assert not is_unready(pod("True", containers))
    assert not is_unready(pod(None, containers))
    assert not is_unready(pod("False", "True", gate="False"))


def test_who_is_unready_though_its_containers_are_not_was_taken_out_for_its_node() -> None:
    assert is_taken_out(pod("False", "True"))
    assert is_taken_out(pod("False", "True", gate="True"))


@pytest.mark.parametrize(
    "told",
    [
        pod("True", "True"),
        pod("False", "False"),
        pod(None, "True"),
        pod("False", "True", gate="False"),
        {"spec": {}, "status": {}},
        {"spec": {}},
    ],
    ids=["ready", "its probe fails", "new", "its gate is shut", "no conditions", "no status"],
)
def test_nobody_else_was(told: Json) -> None:
    assert not is_taken_out(told)


class Told(ApiClient):
    """Lists one pod, and answers each write with what a test says the pod is by now."""

    def __init__(self, pod: Json, folder: Path) -> None:
        super().__init__("http://127.0.0.1:9", folder, folder)
        self.pod = pod

    def get(self, path: str, *_: Any, **__: Any) -> Json:
        listed = [self.pod] if path.endswith("/pods") else []
        return {"metadata": {"resourceVersion": "5"}, "items": listed}

    def watch(self, *_: Any, **__: Any) -> Iterator[Json]:
        threading.Event().wait()
        yield {}

    def merge(self, *_: Any) -> Json:
        return self.pod


def test_it_is_known_since_when_and_other_news_of_a_status_wake_nobody(tmp_path: Path) -> None:
    def now(version: int, ready: str, **status: Any) -> Json:
        told = pod(ready, "True")
        told["metadata"] = {"name": "orders-0", "uid": "uid-0", "resourceVersion": str(version)}
        told["status"].update(status)
        return told

    clock, woken = Clock(), list[None]()
    client = Told(now(1, "True"), tmp_path)
    pods = Pods(client, "shop", SETTINGS, clock=clock, on_change=lambda: woken.append(None))
    pods.start()
    wait_until(lambda: bool(pods.observe()) and bool(woken), "the list")

    def learn(told: Json) -> tuple[float | None, bool]:
        client.pod = told
        before = len(woken)
        pods.tell(Identity("orders-0", "uid-0"), "a sentence")
        (shown,) = pods.observe() or ()
        assert shown.taken_out_since == shown.unready_since
        return shown.taken_out_since, len(woken) > before

    assert learn(now(6, "False")) == (began := clock(), True)
    clock.now += 5
    assert learn(now(7, "False", startTime="later")) == (began, False)
    assert learn(now(8, "True")) == (None, True)
    clock.now += 5
    assert learn(now(9, "False")) == (clock(), True)


# ── the question whether a holder that doesn't hear the API server may stay ─────────────────

ME = Identity("orders-1", "uid-1")
HOLDER = Pod("orders-0", "uid-0", "10.0.0.1", "primary")
MINE = Pod("orders-1", "uid-1", "10.0.0.2", "replica")
RECORD = LeaseRecord("orders-0_uid-0", 10, "100", members=("orders-0", "orders-1"))
HEARD = LeaseView(RECORD, changed_at=0.0, heard_at=NOW - 2)
DELETED = replace(HOLDER, deleting=True)
LOST = replace(HOLDER, unready_since=NOW - UNREADY_PATIENCE)


def answer(holder: Pod, mine: Pod = MINE, lease: LeaseView | None = HEARD) -> str | None:
    return should_give_way(
        "orders-0_uid-0", 10, ME, lease, (holder, mine), now=NOW, primary="primary"
    )


def test_a_holder_whose_pod_is_being_deleted_gives_way() -> None:
    assert answer(DELETED) == "the holder's pod is being deleted, which it may not have heard"


def test_a_holder_whose_pod_is_not_ready_for_long_gives_way() -> None:
    assert answer(LOST) == "the holder's pod is not ready, so new clients don't reach it"
    assert answer(replace(LOST, unready_since=NOW - 1)) is None
    assert answer(HOLDER) is None


@pytest.mark.parametrize("role", [None, "replica"])
def test_a_holder_that_has_not_got_its_label_in_time_gives_way(role: str | None) -> None:
    unlabelled = replace(HOLDER, role=role)
    assert answer(unlabelled) == (
        "the holder's pod does not have the primary's label, so new clients don't reach it"
    )
    assert answer(unlabelled, lease=replace(HEARD, changed_at=NOW - 4)) is None


@pytest.mark.parametrize("holder", [DELETED, LOST, replace(HOLDER, role=None)])
def test_it_stays_where_who_is_asked_could_not_take_over_or_is_no_better_off(holder: Pod) -> None:
    assert answer(holder, replace(MINE, unready_since=NOW - 1)) is None
    assert answer(holder, replace(MINE, deleting=True)) is None
    assert answer(holder, replace(MINE, role=None)) is None
    assert answer(holder, lease=replace(HEARD, heard_at=NOW - 6)) is None
    assert answer(holder, lease=None) is None
    no_voter = replace(RECORD, voters=("orders-0",), copies=1)
    assert answer(holder, lease=replace(HEARD, record=no_voter)) is None
    no_member = replace(RECORD, members=("orders-0",))
    assert answer(holder, lease=replace(HEARD, record=no_member)) is None


def test_another_life_of_the_holders_pod_is_not_judged() -> None:
    assert answer(replace(DELETED, uid="uid-old")) is None
