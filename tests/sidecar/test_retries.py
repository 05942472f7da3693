"""What bootstrap has failed at is tried again, but less and less often."""

from dataclasses import replace

import pytest

from sidecar.action import (
    Action,
    Attention,
    Clone,
    DeleteOwnPod,
    Reclone,
    RenewLease,
    Rewind,
    RunInitdb,
    SetRole,
    StartPostgres,
)
from sidecar.decide import decide
from sidecar.failures import Failures
from sidecar.memory.attempts import Attempts
from sidecar.observation import BootstrapView, DataState, Fork, Observation
from sidecar.situation.timing import seconds_before_retry
from tests.sidecar.rules.observations import (
    DOWN,
    EMPTY,
    FIRST_POD,
    NOW,
    OTHERS,
    RECORD,
    REPLICA,
    RUNNING,
    SETTINGS,
    STREAMING,
    lease,
    pods,
    situation_and_actions,
)

FULL = "No space left on device"
HOLDER = "orders-1_uid-1"


def failed(verb: str, number: int = 1, *, ago: float = 0.0, holder: str = HOLDER) -> Failures:
    return Failures(verb, holder, number, NOW - ago, FULL)


BEHIND = BootstrapView(
    data=DataState.PRESENT,
    running=True,
    system_identifier="111",
    timeline=1,
    position=5000,
    can_rewind=True,
)
NEXT_TIMELINE = lease(replace(OTHERS, timeline=2), renewed_at=None)
CLONING = replace(REPLICA, postgres=DOWN, bootstrap=EMPTY)
REWINDING = replace(REPLICA, postgres=DOWN, bootstrap=BEHIND, lease=NEXT_TIMELINE)
RECLONING = replace(REWINDING, bootstrap=replace(BEHIND, data=DataState.BROKEN, rewind_failed=True))
STARTING = replace(REWINDING, lease=lease(OTHERS, renewed_at=None))
INITIALIZING = replace(
    FIRST_POD, lease=lease(replace(RECORD, system_identifier=None, timeline=None, members=()))
)

CASES: list[tuple[str, Observation, type[Action]]] = [
    ("clone", CLONING, Clone),
    ("rewind", REWINDING, Rewind),
    ("reclone", RECLONING, Reclone),
    ("initdb", INITIALIZING, RunInitdb),
    ("start", STARTING, StartPostgres),
]
WITHOUT_HOLDER = ("initdb", "start")
"""Nobody is copied."""


def after(seen: Observation, failures: Failures) -> Observation:
    return replace(seen, bootstrap=replace(seen.bootstrap, failure=failures.why, failures=failures))


def orders(seen: Observation) -> list[type[Action]]:
    return [
        type(action)
        for action in decide(seen, SETTINGS).actions
        if isinstance(action, Clone | Rewind | Reclone | RunInitdb | StartPostgres)
    ]


@pytest.mark.parametrize(("verb", "seen", "order"), CASES)
def test_an_order_that_failed_is_given_again_after_a_pause_that_grows(
    verb: str, seen: Observation, order: type[Action]
) -> None:
    holder = "" if verb in WITHOUT_HOLDER else HOLDER
    assert orders(seen) == [order]
    for number, pause in [(1, 1.0), (2, 2.0), (5, 16.0), (9, 256.0), (10, 300.0), (5000, 300.0)]:
        waits = after(seen, failed(verb, number, ago=pause - 0.1, holder=holder))
        assert orders(waits) == [], number
        assert orders(after(seen, failed(verb, number, ago=pause, holder=holder))) == [order]


@pytest.mark.parametrize(("verb", "seen", "_"), CASES)
def test_a_failure_is_told_once_with_its_reason_and_when_it_is_tried_again(
    verb: str, seen: Observation, _: type[Action]
) -> None:
    holder = "" if verb in WITHOUT_HOLDER else HOLDER
    told = {
        decide(after(seen, failed(verb, 3, ago=ago, holder=holder)), SETTINGS).sentence
        for ago in (0.0, 1.7, 3.9)
    }
    assert len(told) == 1
    (sentence,) = told
    assert f"has failed 3 times in a row: {FULL}; the next try is 4 s after that" in sentence
    decision = decide(after(seen, failed(verb, 3, holder=holder)), SETTINGS)
    assert decision.attention is Attention.WARNING
    assert decision.situation == f"{verb.capitalize()}Failed"


def test_a_member_that_waits_for_its_next_try_carries_no_role() -> None:
    waits = after(replace(CLONING, pods=pods("replica", "primary")), failed("clone"))
    assert situation_and_actions(waits) == ("CloneFailed", (SetRole("orders-0", "uid-0", None),))


def test_a_holder_whose_start_fails_lets_its_lease_run_out() -> None:
    due = lease(RECORD, renewed_at=NOW - SETTINGS.renew_interval)
    first = replace(STARTING, lease=due)
    assert RenewLease in map(type, decide(first, SETTINGS).actions)
    for ago in (0.0, 5.0):
        for refused in (False, True):
            failure = replace(failed("start", 2, ago=ago, holder=""), refused=refused)
            waits = after(first, failure)
            assert RenewLease not in map(type, decide(waits, SETTINGS).actions)


def test_another_holder_or_another_order_is_tried_at_once() -> None:
    assert orders(after(CLONING, failed("clone", 9, holder="orders-2_uid-2"))) == [Clone]
    assert orders(after(RECLONING, failed("rewind", 9))) == [Reclone]


def test_nothing_is_looked_for_ten_times_a_second_while_a_pause_lasts() -> None:
    assert decide(after(CLONING, failed("clone", 9)), SETTINGS).look_in == 2.0
    due_soon = after(CLONING, failed("clone", 3, ago=3.5))
    assert decide(due_soon, SETTINGS).look_in == pytest.approx(0.5)
    assert decide(CLONING, SETTINGS).look_in == 0.1


def test_a_primary_that_refuses_is_asked_again_within_seconds() -> None:
    refused = replace(failed("clone", 50, ago=9.9), refused=True)
    assert orders(after(CLONING, refused)) == []
    assert orders(after(CLONING, replace(refused, at=NOW - 10))) == [Clone]
    assert [seconds_before_retry(number, refused=True) for number in (1, 2, 5)] == [0.1, 0.2, 1.6]


def test_a_primary_that_is_about_to_be_there_is_no_event() -> None:
    for number, situation in [(4, "Cloning"), (5, "CloneFailed")]:
        refused = after(CLONING, replace(failed("clone", number), refused=True))
        assert (decide(refused, SETTINGS).situation, orders(refused)) == (situation, [])


def test_failures_are_counted_until_something_succeeds() -> None:
    attempts = Attempts()
    assert attempts.look("s", 0, None, 1.0) is None
    for number in (1, 2):
        attempts.begun("s", number, "clone", HOLDER)
        before = attempts.look("s", number - 1, None, 10.0 * number)
        assert (before.number if before else 0) == number - 1
        assert attempts.look("s", number, FULL, 10.0 * number + 1) == Failures(
            "clone", HOLDER, number, 10.0 * number + 1, FULL
        )
    attempts.begun("s", 3, "clone", HOLDER)
    assert attempts.look("s", 3, None, 40.0) is None


def test_refusals_and_failures_are_counted_apart_and_not_with_another_holder() -> None:
    """A primary that refused for minutes, and then one copy that failed, is no reason to wait 5."""
    attempts = Attempts()
    for at in (1.0, 2.0):
        attempts.refused("clone", HOLDER, "no\n  route", at)
    assert attempts.look("s", 0, None, 3.0) == Failures(
        "clone", HOLDER, 2, 2.0, "no route", refused=True
    )
    attempts.begun("s", 1, "clone", HOLDER)
    assert attempts.look("s", 1, FULL, 4.0) == Failures("clone", HOLDER, 1, 4.0, FULL)
    attempts.refused("clone", HOLDER, "no route", 5.0)
    assert attempts.look("s", 1, FULL, 5.0) == Failures(
        "clone", HOLDER, 3, 5.0, "no route", refused=True
    )
    attempts.refused("clone", "orders-2_uid-2", "no", 6.0)
    seen = attempts.look("s", 1, FULL, 7.0)
    assert seen is not None
    assert (seen.number, seen.holder) == (1, "orders-2_uid-2")


def test_what_a_bootstrap_container_did_in_an_earlier_life_is_no_failure_of_the_next() -> None:
    attempts = Attempts()
    attempts.begun("old", 1, "clone", HOLDER)
    assert attempts.look("new", 0, None, 1.0) is None
    assert attempts.look("new", 1, FULL, 1.0) is None


DIVERGED = replace(
    REPLICA,
    lease=NEXT_TIMELINE,
    postgres=replace(STREAMING, streaming=False),
    fork=Fork(timeline=1, position=4000),
    bootstrap=replace(RUNNING, can_rewind=True, rewound=True),
)


def test_who_was_rewound_and_has_diverged_all_the_same_is_cloned_anew() -> None:
    situation, actions = situation_and_actions(DIVERGED)
    assert (situation, actions[-1]) == ("Diverged", DeleteOwnPod(reclone=True))


def test_who_has_streamed_since_its_rewind_is_rewound_when_it_diverges_again() -> None:
    followed = replace(DIVERGED.postgres, streamed_at=NOW - 600)
    _, actions = situation_and_actions(replace(DIVERGED, postgres=followed))
    assert actions[-1] == DeleteOwnPod(reclone=False)
