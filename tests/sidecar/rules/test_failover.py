"""An operator wants a member to lead where nobody may by the rules."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.action import Action, AnswerFailover, Attention, Detach, Promote, TakeLease, TellSet
from sidecar.decide import decide
from sidecar.observation import BootstrapView, DataState, Leadership, LeaseRecord, Observation
from tests.sidecar.rules.observations import (
    DOWN,
    EMPTY,
    FREE,
    LEADER,
    ME,
    NOW,
    OTHERS,
    QUORUM,
    REPLICA,
    RUNNING,
    SETTINGS,
    STREAMING,
    SYNC,
    VACANT,
    lease,
    peer,
)

LONG_AGO = NOW - 60
STOPPED = replace(DOWN, since=NOW - 30)
GONE = replace(
    OTHERS,
    holder="orders-1_gone",
    position=5000,
    history=(Leadership(1, "orders-1", "2026-01-01T00:00:00Z"),),
)
"""The primary's pod is not there any more, and it had not released the Lease."""
IN_SYNC = replace(GONE, voters=("orders-0", "orders-1", "orders-2"), copies=2)
NOT_IN_SYNC = replace(GONE, voters=("orders-1", "orders-2"), copies=2)


def asked(
    record: LeaseRecord | None = GONE, value: str | None = "7", **changes: Any
) -> Observation:
    """A replica of a primary that is gone, and that is to lead on this version of the Lease."""
    mine, *others = VACANT.pods or ()
    pods = (replace(mine, failover=value, **changes.pop("mine", {})), *others)
    view = lease(record, renewed_at=None, changed_at=changes.pop("changed_at", LONG_AGO))
    return replace(VACANT, lease=view, **({"pods": pods, "peers": {}} | changes))


def refusal(observation: Observation) -> Action | None:
    actions = decide(observation, SETTINGS).actions
    assert not any(isinstance(it, TakeLease) for it in actions)
    return actions[-1] if actions and isinstance(actions[-1], AnswerFailover) else None


def takes(observation: Observation, **settings: Any) -> bool:
    actions = decide(observation, replace(SETTINGS, **settings)).actions
    return any(isinstance(it, TakeLease) for it in actions)


FAR_BEHIND = replace(STREAMING, position=100)
DETACHED = replace(STREAMING, detached=True)
WAIVED = {
    "others may have commits": (asked(IN_SYNC, postgres=DETACHED), "MissingCommits"),
    "it is not in sync": (asked(NOT_IN_SYNC), "NotEligible"),
    "it is too far behind": (
        asked(replace(GONE, position=2**30), postgres=FAR_BEHIND),
        "TooFarBehind",
    ),
    "another was asked before, and died before it led": (
        asked(replace(GONE, voters=("orders-1",), copies=1)),
        "NotEligible",
    ),
    "another has more": (asked(peers=peer(2, position=2**30)), "YieldingToPeer"),
}


@pytest.mark.parametrize("name", WAIVED)
def test_it_leads_whatever_rows_others_have(name: str) -> None:
    seen, otherwise = WAIVED[name]
    mine, *others = seen.pods or ()
    unasked = replace(seen, pods=(replace(mine, failover=None), *others))
    assert decide(unasked, SETTINGS).situation == otherwise
    decision = decide(seen, SETTINGS)
    assert (decision.situation, decision.attention) == ("FailingOver", Attention.WARNING)
    take, tell = decision.actions
    assert take == TakeLease(expired=True)
    assert isinstance(tell, TellSet)
    assert "orders-0" in tell.sentence


@pytest.mark.parametrize("settings", [SYNC, QUORUM], ids=["sync", "quorum"])
def test_what_is_promised_from_then_on_is_what_it_has_itself(settings: Any) -> None:
    """And it is promoted only when it is set what commits wait for."""
    actions = decide(asked(NOT_IN_SYNC), settings).actions
    assert actions[0] == TakeLease(expired=True, voters=("orders-0",), copies=1)
    assert not any(isinstance(it, Promote) for it in actions)


def test_the_next_look_promotes_it() -> None:
    taken = replace(NOT_IN_SYNC, holder=str(ME), voters=("orders-0",), copies=1)
    mine = asked()
    holder = replace(mine, lease=lease(replace(taken, resource_version="8")))
    decision = decide(holder, SYNC)
    assert decision.situation == "Promoting"
    assert any(isinstance(it, Promote) for it in decision.actions)
    assert decision.actions[-1] == AnswerFailover("7", None)


def test_who_may_lead_by_the_rules_comes_first() -> None:
    """Nothing would have been lost by that; the ttl is 10 s."""
    lags = {"record": IN_SYNC, "postgres": DETACHED}
    assert decide(asked(**lags, changed_at=NOW - 39), SETTINGS).situation == "MissingCommits"
    assert decide(asked(**lags, changed_at=NOW - 41), SETTINGS).situation == "FailingOver"


def test_voters_detach_before_one_of_them_leads() -> None:
    decision = decide(asked(IN_SYNC), SETTINGS)
    assert decision.actions == (Detach(),)


NEVER: dict[str, Observation] = {
    "the Lease is held": asked(changed_at=NOW - 1),
    "it has pledged to wait": asked(pledged_until=NOW + 1),
    "another is writable": asked(peers=peer(2, writable=True)),
    "its former life may let the holder stay": asked(
        replace(NOT_IN_SYNC, holder="orders-1_uid-1", lives=("orders-0_old", "orders-1_uid-1"))
    ),
    "the Lease has gone back": replace(
        asked(),
        lease=lease(GONE, renewed_at=None, changed_at=LONG_AGO, went_back=True),
    ),
    "it is being deleted": asked(NOT_IN_SYNC, mine={"deleting": True}),
    "its pod was replaced": asked(NOT_IN_SYNC, mine={"uid": "uid-new"}),
    "it cannot be stopped": asked(NOT_IN_SYNC, postgres=replace(STREAMING, may_signal=False)),
    "PostgreSQL does not run": asked(NOT_IN_SYNC, postgres=STOPPED),
    "a newer Lease was looked at than is known here": asked(NOT_IN_SYNC, value="8"),
}


@pytest.mark.parametrize("name", NEVER)
def test_what_keeps_two_members_from_being_writable_stays(name: str) -> None:
    """Nor is that refused: most of it passes."""
    assert not takes(NEVER[name])
    assert refusal(NEVER[name]) is None


def with_data(state: DataState) -> BootstrapView:
    return BootstrapView(data=state, running=True, system_identifier="111")


REFUSED: dict[str, tuple[Observation, str]] = {
    "an old wish": (asked(NOT_IN_SYNC, value="6"), "the Lease was written since"),
    "no version": (
        asked(NOT_IN_SYNC, value="yes"),
        "the annotation's value is not the Lease's resourceVersion",
    ),
    "a number that no version is": (
        asked(NOT_IN_SYNC, value="9" * 5000),
        "the annotation's value is not the Lease's resourceVersion",
    ),
    "no Lease": (asked(None), "no Lease says which database is the set's"),
    "no database yet": (
        asked(replace(FREE, system_identifier=None)),
        "no Lease says which database is the set's",
    ),
    "not a member": (
        asked(replace(GONE, members=("orders-1", "orders-2"))),
        "it is not recorded as a member",
    ),
    "paused": (asked(NOT_IN_SYNC, paused=True), "the set is paused or opted out"),
    "opted out": (asked(NOT_IN_SYNC, opted_out=True), "the set is paused or opted out"),
    "fenced": (asked(NOT_IN_SYNC, mine={"fenced_since": NOW - 60}), "it is fenced"),
    "left to others": (
        asked(NOT_IN_SYNC, mine={"nofailover": True}),
        "its pod has annotation pgset.dev/nofailover",
    ),
    "empty": (asked(bootstrap=EMPTY, postgres=STOPPED), "it has no data"),
    "marked to be cloned again": (
        asked(bootstrap=with_data(DataState.BROKEN), postgres=STOPPED),
        "its data cannot be started as it is",
    ),
    "another set's": (
        asked(postgres=replace(STREAMING, system_identifier="999")),
        "its data belongs to another set",
    ),
    "an older timeline": (
        asked(replace(GONE, timeline=2)),
        "its data is not on the recorded timeline",
    ),
    "a timeline of its own": (
        asked(replace(GONE, timeline=2), bootstrap=replace(RUNNING, promoting_from=1)),
        "its data is not on the recorded timeline",
    ),
    "a newer timeline that nobody has recorded": (
        asked(NOT_IN_SYNC, peers=peer(2, timeline=2)),
        "orders-2 is on a newer timeline",
    ),
    "left alone": (
        asked(bootstrap=BootstrapView(data=DataState.PRESENT, running=False, left_alone=True)),
        "its database is none of the set's",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_otherwise_it_is_told_why_not_once(name: str) -> None:
    seen, why = REFUSED[name]
    answer = refusal(seen)
    assert isinstance(answer, AnswerFailover)
    assert answer.value == (seen.pods or ())[0].failover
    assert f"this member does not lead by annotation: {why}" in str(answer.refusal)


def test_the_last_primary_may_be_asked_of_a_paused_set() -> None:
    assert takes(asked(replace(NOT_IN_SYNC, history=FREE.history), paused=True))


def test_a_primary_that_is_there_is_not_touched() -> None:
    live = replace(REPLICA, pods=asked().pods, peers=peer(1, writable=True))
    assert decide(live, SETTINGS).situation == "Following"
    assert refusal(live) is None
    renewed = lease(replace(OTHERS, resource_version="8"), renewed_at=None)
    assert refusal(replace(live, lease=renewed)) is not None


def test_it_is_not_answered_while_renewals_fail() -> None:
    """The request would come before what has to be done in time."""
    leads = replace(LEADER, pods=asked().pods)
    assert refusal(leads) == AnswerFailover("7", None)
    assert refusal(replace(leads, renewal_failed_at=NOW - 0.1)) is None


def test_a_newer_timeline_of_another_set_says_nothing() -> None:
    assert takes(asked(NOT_IN_SYNC, peers=peer(2, timeline=2, system_identifier="999")))


def test_its_timeline_counts_when_it_is_known() -> None:
    """PostgreSQL may still start."""
    unknown = replace(STOPPED, timeline=None)
    assert refusal(asked(replace(GONE, timeline=2), postgres=unknown)) is None
