"""Rules for a member that somebody promotes, while another one leads."""

import signal
from dataclasses import replace

import pytest

from sidecar.action import (
    DeleteOwnPod,
    NotePromotedByHand,
    Reclone,
    Rewind,
    SetRole,
    StopPostgres,
    TakeLease,
)
from sidecar.decide import decide
from sidecar.memory.status import describe, read_peer
from sidecar.observation import Leadership, LeaseRecord, Observation
from tests.sidecar.rules.observations import (
    DOWN,
    FREE,
    NEWER,
    NOW,
    OTHERS,
    REPLICA,
    RETURNED,
    RUNNING,
    SETTINGS,
    STREAMING,
    UNRECORDED,
    VACANT,
    WRITABLE,
    lease,
    peer,
    promising,
    situation_and_actions,
)

PROMOTED = replace(
    REPLICA,
    lease=lease(OTHERS, renewed_at=None),
    postgres=replace(WRITABLE, timeline=2, promoted_from=1, has_written=True),
    started_at=NOW - 60,
)
NOTED = replace(RUNNING, promoting_from=1, promoted_by_hand_at=4000)
FENCED = replace(
    PROMOTED,
    postgres=replace(STREAMING, timeline=2, streaming=False, position=5100),
    bootstrap=NOTED,
    peers=peer(1, writable=True),
)
BACK = replace(
    FENCED,
    postgres=DOWN,
    bootstrap=replace(RETURNED, timeline=2, promoting_from=1, promoted_by_hand_at=4000),
)


def test_it_is_stopped_and_the_volume_keeps_a_note_of_where_it_left_the_set() -> None:
    situation, actions = situation_and_actions(PROMOTED)
    assert situation == "PromotedByHand"
    assert actions == (
        StopPostgres(signal.SIGKILL),
        NotePromotedByHand(from_timeline=1, timeline=2),
        SetRole("orders-0", "uid-0", None),
    )
    assert "was made writable by hand" in decide(PROMOTED, SETTINGS).sentence


def led_by(*pods: str) -> LeaseRecord:
    """The record, by who has begun each timeline."""
    history = tuple(Leadership(number, pod, "t") for number, pod in enumerate(pods, start=1))
    return replace(OTHERS, timeline=len(pods), history=history)


STARTED = replace(
    PROMOTED,
    lease=lease(led_by("orders-0", "orders-1"), renewed_at=None),
    postgres=replace(WRITABLE, timeline=2, has_written=True),
)


@pytest.mark.parametrize(
    "seen",
    [
        STARTED,
        replace(STARTED, lease=lease(led_by("orders-0", "orders-1", "orders-2"), renewed_at=None)),
        replace(
            STARTED,
            lease=lease(
                replace(led_by("orders-0", "orders-1"), holder=""), renewed_at=None, changed_at=NOW
            ),
            started_at=NOW - 0.1,
        ),
    ],
    ids=["beside its primary", "once another has led", "after the sidecar was restarted, too"],
)
def test_one_that_is_started_without_standby_signal_is_stopped_and_has_a_timeline_of_its_own(
    seen: Observation,
) -> None:
    """By the timeline's number, nothing tells what it has written from what the primary has."""
    situation, actions = situation_and_actions(seen)
    assert (situation, actions[1]) == ("PromotedByHand", NotePromotedByHand(2, 2))
    assert isinstance(actions[0], StopPostgres)
    noted = replace(seen, bootstrap=UNRECORDED)
    vacant = replace(seen.lease, record=replace(led_by("orders-0", "orders-1"), holder=""))
    stopped = replace(noted, postgres=replace(STREAMING, timeline=2), lease=vacant)
    assert decide(stopped, SETTINGS).situation == "NotEligible"
    comes_back = replace(stopped, lease=STARTED.lease)
    assert decide(comes_back, SETTINGS).actions[-1] == DeleteOwnPod(reclone=True)


def test_a_primary_that_another_takes_over_from_has_its_timeline_from_the_set() -> None:
    led = lease(led_by("orders-1", "orders-0"), renewed_at=None)
    situation, actions = situation_and_actions(replace(STARTED, lease=led))
    assert situation == "Fencing"
    assert not any(isinstance(action, NotePromotedByHand) for action in actions)


def test_the_only_member_that_was_started_writable_keeps_what_it_wrote() -> None:
    """Rule 1 lets it go on on the timeline that a member has begun which is gone; then the Lease is
    emptied, or an older one is restored: others do not have what it has written since."""
    emptied = lease(replace(led_by("orders-0", "orders-1"), holder=""))
    went_back = lease(led_by("orders-0", "orders-1"), went_back=True)
    for view in (emptied, went_back):
        situation, actions = situation_and_actions(replace(STARTED, lease=view))
        assert situation == "Reclaiming"
        assert [type(action) for action in actions] == [TakeLease]
    # The API server was away for long before the older Lease was there.
    away = replace(went_back, renewed_at=NOW - 300)
    _, actions = situation_and_actions(replace(STARTED, lease=away))
    assert not any(isinstance(action, NotePromotedByHand) for action in actions)


def test_a_promotion_of_our_own_is_not_noted_as_by_hand() -> None:
    """It was asked for under the Lease, and is not on record, whoever leads now."""
    ours = replace(PROMOTED, bootstrap=UNRECORDED)
    situation, actions = situation_and_actions(ours)
    assert situation == "Fencing"
    assert not any(isinstance(action, NotePromotedByHand) for action in actions)


def test_it_goes_back_through_bootstrap_where_the_holder_leads() -> None:
    situation, actions = situation_and_actions(FENCED)
    assert (situation, actions[-1]) == ("ReturningToSet", DeleteOwnPod(reclone=False))
    assert "was promoted by hand" in decide(FENCED, SETTINGS).sentence
    cannot = replace(FENCED, bootstrap=replace(NOTED, can_rewind=False))
    assert decide(cannot, SETTINGS).actions[-1] == DeleteOwnPod(reclone=True)
    in_vain = replace(FENCED, bootstrap=replace(NOTED, rewound=True))
    assert decide(in_vain, SETTINGS).actions[-1] == DeleteOwnPod(reclone=True)


@pytest.mark.parametrize(
    "changed",
    [
        replace(FENCED, peers=peer(1)),
        replace(FENCED, peers={}),
        replace(FENCED, peers=peer(1, writable=True, timeline=2)),
        replace(FENCED, lease=lease(FREE, renewed_at=None)),
        replace(FENCED, lease=lease(OTHERS, renewed_at=None, changed_at=NOW - 60)),
        replace(FENCED, lease=lease(OTHERS, renewed_at=None, went_back=True)),
        replace(FENCED, lease=lease(replace(OTHERS, timeline=0), renewed_at=None)),
        replace(FENCED, bootstrap=UNRECORDED),
        replace(FENCED, bootstrap=RUNNING),
        replace(FENCED, paused=True),
    ],
    ids=[
        "the holder does not lead yet",
        "the holder does not answer",
        "the holder has just begun a timeline, maybe of the same number",
        "nobody holds the Lease",
        "the Lease has run out",
        "the Lease has gone back",
        "the record is older than what it followed",
        "its promotion was ours, and is not on record",
        "it has followed a promotion that is not on record",
        "the set is paused",
    ],
)
def test_otherwise_it_stays_as_it_is(changed: Observation) -> None:
    """Its data may be all that is left of the set, or somebody is at work."""
    actions = decide(changed, SETTINGS).actions
    assert not any(isinstance(action, DeleteOwnPod) for action in actions)


def test_bootstrap_rewinds_it_or_else_clones_it_and_keeps_what_there_was() -> None:
    assert Rewind("111") in decide(BACK, SETTINGS).actions
    failed = replace(BACK, bootstrap=replace(BACK.bootstrap, rewind_failed=True))
    assert Reclone("111") in decide(failed, SETTINGS).actions


@pytest.mark.parametrize(
    "changed",
    [
        replace(BACK, lease=lease(OTHERS, renewed_at=None, went_back=True)),
        replace(BACK, lease=lease(replace(OTHERS, timeline=0), renewed_at=None)),
        replace(BACK, lease=lease(FREE, renewed_at=None)),
        replace(BACK, bootstrap=replace(BACK.bootstrap, promoted_by_hand_at=None)),
    ],
    ids=["went back", "older record", "nobody leads", "our own promotion"],
)
def test_bootstrap_starts_it_read_only_where_it_may_have_what_nobody_else_has(
    changed: Observation,
) -> None:
    assert decide(changed, SETTINGS).situation == "Starting"


def test_once_another_has_begun_a_timeline_it_is_cloned_again() -> None:
    """The two can have the same number, and pg_rewind would take them for one."""
    later = replace(BACK, lease=lease(NEWER, renewed_at=None))
    assert Reclone("111") in decide(later, SETTINGS).actions


def test_it_counts_for_what_it_has_of_the_set() -> None:
    """By its own timeline it would be ahead of those who have what was acknowledged since."""
    told = read_peer("orders-0", describe(FENCED, SETTINGS))
    assert (told.timeline, told.position) == (1, 4000)
    vacant = replace(VACANT, postgres=FENCED.postgres, bootstrap=NOTED, peers=peer(1) | peer(2))
    assert decide(vacant, SETTINGS).situation == "YieldingToPeer"
    promise = replace(promising(0, 1, 2, copies=2), holder="")
    quorum = replace(vacant, lease=lease(promise, renewed_at=None), peers=peer(1))
    assert not any(isinstance(it, TakeLease) for it in decide(quorum, SETTINGS).actions)
    others_have_less = peer(1, position=3000) | peer(2, position=4000)
    alone = replace(vacant, lease=lease(promise, renewed_at=None), peers=others_have_less)
    assert any(isinstance(it, TakeLease) for it in decide(alone, SETTINGS).actions)


def test_what_it_has_counts_once_it_has_led_with_it() -> None:
    """Version 0.2.0 leads without a change of the note, and never deletes it."""
    recorded = promising(0, 1, 2, copies=2)
    led = replace(recorded, holder="", timeline=2, history=(Leadership(2, "orders-0", "t"),))
    leads_again = replace(
        VACANT,
        lease=lease(led, renewed_at=None),
        postgres=FENCED.postgres,
        bootstrap=NOTED,
        peers=peer(1, timeline=2, position=4900),
    )
    told = read_peer("orders-0", describe(leads_again, SETTINGS))
    assert (told.timeline, told.position) == (2, 5100)
    assert any(isinstance(it, TakeLease) for it in decide(leads_again, SETTINGS).actions)
