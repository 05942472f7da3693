"""An operator fences a pod: its PostgreSQL is stopped and stays so, and it never leads."""

import signal
from dataclasses import replace
from typing import Any

import pytest

from sidecar.action import (
    Checkpoint,
    DeleteOwnPod,
    ReleaseLease,
    RenewLease,
    SetRole,
    StopPostgres,
)
from sidecar.deadlines import SHORT_TICK, UNSETTLED_TICK
from sidecar.decide import decide
from sidecar.memory.status import describe
from sidecar.observation import BootstrapView, DataState, Observation, Pod
from tests.sidecar.rules.observations import (
    DOWN,
    EMPTY,
    LEADER,
    LEADER_PODS,
    NOW,
    RECORD,
    REPLICA,
    RUNNING,
    SETTINGS,
    STREAMING,
    VACANT,
    WRITABLE,
    lease,
    peer,
    situation_and_actions,
    wished,
)

JUST_NOW = NOW - 1
LONG_AGO = NOW - 60
SERVED = replace(WRITABLE, checkpointed_at=NOW - 0.5)
STOPPED = replace(DOWN, since=NOW - 30)
ALONE = replace(LEADER, lease=lease(replace(RECORD, members=("orders-0",))), wanted=1)


def fenced(
    observation: Observation, *ordinals: int, since: float = LONG_AGO, **changes: Any
) -> Observation:
    """The same, where these pods are fenced; this member's is orders-0."""
    pods = tuple(
        replace(pod, fenced_since=since) if number in (ordinals or (0,)) else pod
        for number, pod in enumerate(observation.pods or ())
    )
    return replace(observation, pods=pods, **changes)


# ── the fenced member ─────────────────────────────────────────────────────────────────────


def test_a_replica_stops_and_gives_its_label_away() -> None:
    assert situation_and_actions(fenced(REPLICA, since=NOW)) == (
        "StoppingFenced",
        (StopPostgres(signal.SIGINT), SetRole("orders-0", "uid-0", None)),
    )


def test_it_is_stopped_harder_where_that_hangs() -> None:
    hangs = replace(DOWN, alive=True, since=NOW - 4)
    assert StopPostgres(signal.SIGQUIT) in situation_and_actions(fenced(REPLICA, postgres=hangs))[1]


def test_it_is_stopped_whenever_the_kubelet_has_started_it_again() -> None:
    starts = replace(STOPPED, alive=True)
    assert decide(fenced(REPLICA, postgres=starts), SETTINGS).situation == "StoppingFenced"


@pytest.mark.parametrize("down_for", [1.0, 3600.0])
def test_its_pod_stays_however_long_it_is_stopped(down_for: float) -> None:
    backs_off = replace(LEADER_PODS[0], backs_off=True, role=None)
    stopped = replace(
        REPLICA,
        pods=(backs_off, *LEADER_PODS[1:]),
        postgres=replace(DOWN, since=NOW - down_for),
        peers=peer(1, writable=True),
    )
    assert situation_and_actions(fenced(stopped)) == ("Fenced", ())
    assert decide(fenced(stopped), SETTINGS).look_in > UNSETTLED_TICK
    assert not decide(fenced(replace(stopped, peers=None)), SETTINGS).asks_peers


def test_it_is_not_started_where_it_was_not_yet() -> None:
    for bootstrap in (BootstrapView(data=DataState.PRESENT, running=True), EMPTY):
        seen = fenced(REPLICA, bootstrap=bootstrap, postgres=DOWN)
        assert situation_and_actions(seen) == (
            "FencedBeforeStart",
            (SetRole("orders-0", "uid-0", None),),
        )


def test_it_takes_no_lease() -> None:
    assert decide(replace(VACANT, peers={}), SETTINGS).situation == "TakingLease"
    free = fenced(VACANT, peers={})
    assert decide(free, SETTINGS).situation == "StoppingFenced"
    assert decide(replace(free, postgres=STOPPED), SETTINGS).situation == "Fenced"
    has_just_ended = replace(free.postgres, alive=False)
    seen = replace(free, postgres=has_just_ended)
    assert decide(seen, SETTINGS).situation == "StoppingFenced"


def test_a_primary_hands_over_first() -> None:
    leads = fenced(LEADER, since=JUST_NOW, peers=peer(1) | peer(2))
    situation, actions = situation_and_actions(leads)
    assert (situation, actions[-1]) == ("PreparingToStop", Checkpoint())
    decision = decide(replace(leads, postgres=SERVED), SETTINGS)
    assert decision.situation == "Stopping"
    assert decision.sentence.endswith("to hand over to orders-1: this pod is fenced")
    stopped = fenced(LEADER, postgres=DOWN, peers=peer(1), complete_peers=frozenset({"orders-1"}))
    situation, actions = situation_and_actions(stopped)
    assert (situation, actions[0]) == ("HandingOver", ReleaseLease("orders-1"))


def test_it_asks_who_could_follow() -> None:
    assert decide(fenced(LEADER), SETTINGS).asks_peers


def test_a_checkpoint_that_does_not_end_delays_it_no_longer_than_the_search_for_an_heir() -> None:
    assert decide(fenced(LEADER, peers=peer(1)), SETTINGS).situation == "Stopping"


@pytest.mark.parametrize("changes", [{"peers": {}}, {"peers": peer(1), "paused": True}])
def test_a_primary_without_an_heir_stops_after_a_while(changes: dict[str, Any]) -> None:
    soon = fenced(LEADER, since=JUST_NOW, **changes)
    assert decide(soon, SETTINGS).situation == "Leading"
    situation, actions = situation_and_actions(fenced(LEADER, **changes))
    assert (situation, actions[0]) == ("StoppingFenced", StopPostgres(signal.SIGINT))


def test_a_restarted_sidecar_looks_for_an_heir_too() -> None:
    """It does not know yet when it has renewed last."""
    unknown = lease(RECORD, renewed_at=None)
    leads = fenced(LEADER, since=NOW, lease=unknown, started_at=NOW - 0.5)
    assert decide(leads, SETTINGS).situation != "StoppingFenced"


def test_a_stopped_primary_gives_its_lease_up_to_whoever_may_lead() -> None:
    stopped = fenced(LEADER, postgres=replace(DOWN, since=NOW - 5), peers={})
    assert decide(stopped, SETTINGS).situation == "Fenced"
    situation, actions = situation_and_actions(
        replace(stopped, postgres=replace(DOWN, since=NOW - 11))
    )
    assert (situation, actions[-1]) == ("GivingUp", ReleaseLease())


def test_the_only_member_keeps_its_lease() -> None:
    stopped = fenced(ALONE, postgres=STOPPED, peers={})
    old = replace(stopped, lease=lease(replace(RECORD, members=("orders-0",)), renewed_at=NOW - 3))
    situation, actions = situation_and_actions(old)
    assert (situation, type(actions[0])) == ("Fenced", RenewLease)
    assert decide(stopped, SETTINGS).look_in > SHORT_TICK


def test_it_tells_the_others_of_whatever_version_that_it_may_not_lead() -> None:
    assert describe(REPLICA, SETTINGS)["well"] is True
    assert describe(fenced(REPLICA), SETTINGS)["well"] is False


# ── the others ────────────────────────────────────────────────────────────────────────────


def test_nobody_hands_over_to_it() -> None:
    deleted = (replace(LEADER_PODS[0], deleting=True), *LEADER_PODS[1:])
    goes = replace(LEADER, pods=deleted, leaving_since=NOW - 0.2, peers=peer(1) | peer(2))
    assert "over to orders-1" in decide(goes, SETTINGS).sentence
    assert "over to orders-2" in decide(fenced(goes, 1), SETTINGS).sentence


def test_a_switchover_to_it_is_refused() -> None:
    decision = decide(fenced(wished("orders-1"), 1), SETTINGS)
    assert decision.situation == "RefusingSwitchover"
    assert "it is fenced" in decision.actions[-1].sentence  # type: ignore[union-attr]


def test_nobody_waits_for_it_to_lead() -> None:
    ahead = replace(VACANT, peers=peer(1, position=9000))
    assert decide(ahead, SETTINGS).situation == "YieldingToPeer"
    assert decide(fenced(ahead, 1), SETTINGS).situation == "TakingLease"


# ── unfenced ──────────────────────────────────────────────────────────────────────────────


def unfenced(
    *, backs_off: bool = True, at: float = NOW - 1, since: float = NOW - 30
) -> Observation:
    mine = Pod("orders-0", "uid-0", None, None, backs_off=backs_off)
    return replace(
        REPLICA,
        pods=(mine, *(REPLICA.pods or ())[1:]),
        postgres=replace(DOWN, since=since),
        unfenced_at=at,
    )


def test_it_comes_back_although_the_kubelet_waits() -> None:
    assert situation_and_actions(unfenced()) == ("Unfenced", (DeleteOwnPod(reclone=False),))


@pytest.mark.parametrize(
    "seen",
    [
        unfenced(backs_off=False),
        unfenced(since=NOW - 0.5),
        replace(unfenced(), unfenced_at=None),
        replace(unfenced(), postgres=STREAMING),
    ],
    ids=["the kubelet starts it", "it has come up since", "it never was", "it runs"],
)
def test_otherwise_its_pod_stays(seen: Observation) -> None:
    assert DeleteOwnPod(reclone=False) not in decide(seen, SETTINGS).actions


def test_a_lone_primary_comes_back_as_well() -> None:
    backs_off = (replace(LEADER_PODS[0], backs_off=True),)
    stopped = replace(ALONE, pods=backs_off, postgres=STOPPED, unfenced_at=NOW - 1)
    situation, actions = situation_and_actions(replace(stopped, bootstrap=RUNNING))
    assert (situation, actions[-1]) == ("Unfenced", DeleteOwnPod(reclone=False))
