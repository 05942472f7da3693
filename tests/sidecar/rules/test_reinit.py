"""An operator wants a replica to be cloned again."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.action import Action, DeleteOwnPod, MarkForReclone, RefuseReinit, SetRole
from sidecar.decide import decide
from sidecar.observation import BootstrapView, DataState, Observation
from tests.sidecar.rules.observations import (
    DOWN,
    EMPTY,
    LEADER,
    NOW,
    REPLICA,
    SETTINGS,
    VACANT,
    peer,
    situation_and_actions,
)

PRIMARY = peer(1, writable=True)
STOPPED = replace(DOWN, since=NOW - 30)
IN_BOOTSTRAP = BootstrapView(data=DataState.PRESENT, running=True)
LEFT_ALONE = BootstrapView(data=DataState.PRESENT, running=False, left_alone=True)


def asked(observation: Observation = REPLICA, **changes: Any) -> Observation:
    """The same, whose own pod, orders-0, is to be cloned again."""
    mine, *others = observation.pods or ()
    pods = (replace(mine, reinit="now", **changes.pop("mine", {})), *others)
    return replace(observation, **({"pods": pods, "peers": PRIMARY} | changes))


def refusal(observation: Observation) -> Action | None:
    actions = decide(observation, SETTINGS).actions
    assert not any(isinstance(it, DeleteOwnPod) for it in actions)
    return actions[-1] if actions and isinstance(actions[-1], RefuseReinit) else None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"postgres": STOPPED},
        {"postgres": STOPPED, "bootstrap": IN_BOOTSTRAP},
        {"postgres": STOPPED, "bootstrap": replace(IN_BOOTSTRAP, system_identifier="999")},
    ],
    ids=["it follows", "it is down", "it is not started yet", "its data is another set's"],
)
def test_a_replica_goes_back_to_be_cloned_again(changes: dict[str, Any]) -> None:
    assert situation_and_actions(asked(**changes)) == (
        "Reinitializing",
        (SetRole("orders-0", "uid-0", None), DeleteOwnPod(reclone=True, wish="now")),
    )


def test_the_primary_is_asked_first_whether_it_leads() -> None:
    assert not decide(REPLICA, SETTINGS).asks_peers
    assert decide(asked(peers=None), SETTINGS).asks_peers


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (asked(LEADER), "it leads: let another member lead first"),
        (asked(VACANT), "there is no primary to clone it from"),
        (asked(peers={}), "there is no primary to clone it from"),
        (asked(peers=peer(1)), "there is no primary to clone it from"),
        (asked(mine={"fenced_since": NOW - 5}), "it is fenced"),
        (asked(opted_out=True), "the set is opted out"),
        (asked(bootstrap=EMPTY, postgres=DOWN), "it has no data yet"),
        (asked(bootstrap=LEFT_ALONE, peers=None), "its database is none of the set's"),
    ],
    ids=[
        "leads",
        "vacant",
        "silent primary",
        "read-only primary",
        "fenced",
        "opted out",
        "empty",
        "left alone",
    ],
)
def test_otherwise_it_is_told_why_not(seen: Observation, why: str) -> None:
    assert refusal(seen) == RefuseReinit("now", f"this member is not cloned again: {why}")


def test_a_primary_leads_on() -> None:
    assert decide(asked(LEADER), SETTINGS).situation == "Leading"


def test_it_is_not_answered_while_renewals_fail() -> None:
    """The request would come before what has to be done in time."""
    assert refusal(asked(LEADER, renewal_failed_at=NOW - 0.1)) is None


def test_bootstrap_is_let_finish() -> None:
    busy = replace(IN_BOOTSTRAP, busy="rewind")
    seen = asked(bootstrap=busy, postgres=STOPPED)
    assert decide(seen, SETTINGS).situation == "Bootstrapping"
    assert refusal(seen) is None


def test_it_is_not_answered_before_bootstrap_has_reported() -> None:
    """Nobody was asked who leads, so what is not known would pass for an answer."""
    unknown = replace(IN_BOOTSTRAP, data=None)
    seen = asked(bootstrap=unknown, postgres=STOPPED, peers=None)
    assert decide(seen, SETTINGS).situation == "WaitingForBootstrap"
    assert refusal(seen) is None


def test_nothing_is_marked_in_a_directory_in_which_another_pod_is_at_work() -> None:
    used = replace(IN_BOOTSTRAP, other_writer="uid-old")
    seen = asked(bootstrap=used, postgres=STOPPED)
    assert decide(seen, SETTINGS).situation == "DirectoryInUse"


def test_in_a_pod_that_goes_the_wish_is_not_lost() -> None:
    """Its own request may have deleted it, without an answer to tell."""
    goes = asked(mine={"deleting": True})
    assert decide(goes, SETTINGS).actions[-1] == MarkForReclone("now")
    stopped = replace(goes, postgres=STOPPED)
    assert decide(stopped, SETTINGS).actions[-1] == MarkForReclone("now")
    assert decide(asked(peers=None, mine={"deleting": True}), SETTINGS).asks_peers


@pytest.mark.parametrize(
    "changes",
    [{"peers": {}}, {"bootstrap": replace(IN_BOOTSTRAP, busy="rewind"), "postgres": STOPPED}],
    ids=["nobody leads", "bootstrap is at work"],
)
def test_a_pod_that_goes_and_cannot_be_cloned_again_is_left_to_go(changes: dict[str, Any]) -> None:
    actions = decide(asked(mine={"deleting": True}, **changes), SETTINGS).actions
    assert not any(isinstance(it, MarkForReclone | RefuseReinit) for it in actions)
