"""A standby of a server outside of the set, which somebody opts in."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.action import DeleteOwnPod, LeaveAlone
from sidecar.decide import decide
from tests.sidecar.rules.observations import (
    ADOPTED,
    DOWN,
    RECORD,
    RUNNING,
    SETTINGS,
    STREAMING,
    WRITABLE,
    lease,
    peer,
    pods,
)

OUTSIDE = replace(RUNNING, running=True, follows="db.example.com")
ALONE = replace(
    ADOPTED,
    lease=lease(None, renewed_at=None, renewal_seen=False),
    bootstrap=OUTSIDE,
    postgres=DOWN,
    pods=pods(None),
    wanted=1,
)
"""A set of one that has just been opted in."""


@pytest.mark.parametrize("wanted", [1, 3])
def test_a_standby_of_a_server_outside_of_the_set_is_not_promoted(wanted: int) -> None:
    """It would miss what its primary goes on to write, whoever else has the same data."""
    others = peer(1, has_data=True) if wanted > 1 else None
    seen = replace(ALONE, wanted=wanted, pods=pods(None, None), peers=others)
    decision = decide(seen, SETTINGS)
    assert decision.situation == "LeavingAlone"
    assert decision.actions[0] == LeaveAlone()
    assert "a standby of db.example.com" in decision.sentence
    assert "promote it by hand" in decision.sentence
    led = replace(seen, lease=lease(replace(RECORD, holder="orders-1_uid-1")))
    assert LeaveAlone() not in decide(led, SETTINGS).actions


FOLLOWS = replace(
    ALONE,
    bootstrap=replace(OUTSIDE, running=False, left_alone=True),
    postgres=replace(STREAMING, system_identifier="111"),
    lease=lease(replace(RECORD, holder="orders-1_uid-1"), renewed_at=None),
    pods=pods(None, "primary"),
    wanted=2,
)


def test_it_joins_once_a_member_leads_that_has_its_data() -> None:
    decision = decide(FOLLOWS, SETTINGS)
    assert decision.situation == "LeftAlone"
    assert DeleteOwnPod(reclone=False) in decision.actions


@pytest.mark.parametrize(
    "changed",
    [
        {"lease": lease(None, renewed_at=None)},
        {"lease": lease(replace(RECORD, holder=""), renewed_at=None)},
        {"postgres": replace(STREAMING, system_identifier="222")},
        {"postgres": WRITABLE},
        {"postgres": DOWN},
        {"paused": True},
        {"bootstrap": replace(FOLLOWS.bootstrap, follows=None, objection="no")},
    ],
    ids=[
        "nobody has ever led",
        "nobody leads now",
        "it has other data",
        "somebody has promoted it",
        "it does not answer",
        "the set is paused",
        "it is left alone for another reason",
    ],
)
def test_else_it_stays_as_it_is(changed: Any) -> None:
    assert not any(
        isinstance(it, DeleteOwnPod) for it in decide(replace(FOLLOWS, **changed), SETTINGS).actions
    )


@pytest.mark.parametrize(
    "host", ["orders-1", "orders-1.orders.shop.svc", "orders", "orders-primary.shop"]
)
def test_a_standby_of_a_member_becomes_one(host: str) -> None:
    """As pods that replicated by hand do; where there is no other pod, no member can be meant."""
    own = replace(OUTSIDE, follows=host)
    several = replace(ALONE, bootstrap=own, wanted=3, pods=pods(None, None, None))
    assert LeaveAlone() not in decide(several, SETTINGS).actions
    assert decide(replace(ALONE, bootstrap=own), SETTINGS).actions[0] == LeaveAlone()


@pytest.mark.parametrize(
    "host",
    ["orders-old", "orders-1-b", "orders-old-1", "my-orders-1", "an archive (restore_command)"],
)
def test_a_name_that_only_looks_like_a_members_is_none(host: str) -> None:
    several = replace(ALONE, bootstrap=replace(OUTSIDE, follows=host), wanted=3, pods=pods(None))
    assert decide(several, SETTINGS).actions[0] == LeaveAlone()
