"""What a member remembers of the Lease; with an API server it is tested in tests/cluster."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.action import RenewLease, TakeLease
from sidecar.deadlines import promotes_until
from sidecar.memory.lease import HeldError, LeaseMemory
from sidecar.observation import Follower, LeaseRecord, LeaseView
from tests.sidecar.rules.observations import ME, OTHERS, RECORD, SETTINGS

KNOWN = RenewLease(system_identifier="111", timeline=2, members=("orders-0", "orders-9"))


def memory(record: LeaseRecord | None, now: float = 0.0) -> LeaseMemory:
    """One that has heard this, and decides on it."""
    remembers = LeaseMemory(ME, SETTINGS)
    remembers.hear(record, "first", now)
    remembers.look(now)
    return remembers


def view(remembers: LeaseMemory) -> LeaseView:
    seen = remembers.peek(0.0)
    assert seen is not None
    return seen


def version(record: LeaseRecord, number: int) -> LeaseRecord:
    return replace(record, resource_version=str(number))


def test_nothing_is_known_before_the_api_server_has_answered() -> None:
    assert LeaseMemory(ME, SETTINGS).peek(0.0) is None


def test_that_there_is_no_lease_is_known() -> None:
    assert view(memory(None)).record is None


def test_expiry_counts_from_when_each_change_was_heard() -> None:
    remembers = memory(OTHERS)
    remembers.hear(version(OTHERS, 8), "second", 9.0)
    assert (view(remembers).changed_at, view(remembers).renewal_seen) == (9.0, True)


def test_the_end_of_a_silence_of_the_api_server_is_remembered() -> None:
    remembers = memory(OTHERS)
    for now, again in ((3.0, None), (6.0, None), (10.0, 10.0), (12.0, 10.0), (17.0, 17.0)):
        seen = remembers.peek(now)
        assert seen is not None
        assert seen.heard_again_at == (again or float("-inf"))


def test_who_asks_for_a_switchover_does_not_renew_the_lease() -> None:
    """A set whose primary is dead would wait for as long as somebody asks."""
    remembers = memory(OTHERS)
    asked = replace(version(OTHERS, 8), switchover_to="orders-2")
    assert remembers.hear(asked, "first", 9.0)
    assert (view(remembers).changed_at, view(remembers).renewal_seen) == (0.0, False)


@pytest.mark.parametrize("holder", ["", "orders-2_uid-2"])
def test_a_holder_that_was_changed_by_hand_counts_from_then(holder: str) -> None:
    remembers = memory(OTHERS)
    remembers.hear(replace(version(OTHERS, 8), holder=holder), "first", 9.0)
    assert view(remembers).changed_at == 9.0


def test_what_is_heard_twice_changes_nothing() -> None:
    remembers = memory(OTHERS)
    assert not remembers.hear(OTHERS, "first", 9.0)
    assert view(remembers).changed_at == 0.0


def test_only_the_version_that_was_heard_last_needs_no_second_hearing() -> None:
    assert not LeaseMemory(ME, SETTINGS).has_heard("")
    remembers = memory(OTHERS)
    remembers.hear(version(OTHERS, 8), "second", 2.0)
    assert [number for number in ("7", "8", "9") if remembers.has_heard(number)] == ["8"]


def test_a_mere_renewal_by_another_wakes_nobody() -> None:
    remembers = memory(OTHERS)
    assert not remembers.hear(replace(version(OTHERS, 8), position=1), "second", 2.0)
    assert remembers.hear(replace(version(OTHERS, 9), heir="orders-2"), "third", 3.0)


def test_how_far_standbys_have_come_wakes_nobody() -> None:
    """While clients write, each renewal says something else of that."""
    remembers = memory(OTHERS)
    on_record = replace(version(OTHERS, 8), followers=(Follower("orders-2", 5000),))
    assert not remembers.hear(on_record, "second", 2.0)
    assert view(remembers).record == on_record


@pytest.mark.parametrize(("now", "taken"), [(10.0, False), (10.1, True)])
def test_a_lease_is_taken_once_it_has_expired_and_not_before(now: float, *, taken: bool) -> None:
    remembers = memory(OTHERS)
    if not taken:
        with pytest.raises(HeldError, match="held by orders-1"):
            remembers.to_take(TakeLease(expired=True), now)
        return
    record = remembers.to_take(TakeLease(expired=True), now)
    assert (record.holder, record.transitions) == (str(ME), OTHERS.transitions + 1)


def test_a_take_acts_on_the_record_that_was_decided_on() -> None:
    """A newer one may have a new holder; the API server refuses the older version."""
    remembers = memory(replace(RECORD, holder=""))
    remembers.hear(version(OTHERS, 8), "second", 1.0)
    assert remembers.to_take(TakeLease(expired=False), 1.0).resource_version == "7"


def test_a_new_timeline_begins_an_entry_of_the_history() -> None:
    renewed = memory(RECORD).to_renew(KNOWN, "now")
    assert renewed is not None
    assert [(it.timeline, it.pod) for it in renewed.history] == [(1, "orders-0"), (2, "orders-0")]


def test_a_lease_of_another_is_not_renewed() -> None:
    with pytest.raises(HeldError, match="held by orders-1"):
        memory(OTHERS).to_renew(KNOWN, "now")


def test_fencing_counts_from_when_a_renewal_was_sent() -> None:
    remembers = memory(RECORD)
    remembers.landed(3.0)
    assert view(remembers).renewed_at == 3.0
    assert promotes_until(view(remembers), 10) == 10.0
    assert promotes_until(None, 10) is None


def test_who_renews_after_its_time_was_over_may_have_missed_another_holder() -> None:
    remembers = memory(RECORD)
    remembers.landed(3.0)
    assert view(remembers).lapsed, "its sidecar was started anew"
    for at, is_late in ((5.0, False), (15.1, True), (17.0, False)):
        assert remembers.to_renew(KNOWN, "now") is not None
        remembers.landed(at)
        assert view(remembers).lapsed is is_late


def test_who_takes_the_lease_has_missed_nobody() -> None:
    remembers = memory(OTHERS)
    remembers.to_take(TakeLease(expired=True), 20.0)
    remembers.landed(20.0)
    assert not view(remembers).lapsed


def test_what_a_renewal_without_an_answer_may_have_recorded_counts_until_the_lease_changes() -> (
    None
):
    remembers = memory(RECORD)
    remembers.renewal_unanswered(RECORD, KNOWN)
    assert view(remembers).possible_members == ("orders-0", "orders-9")
    remembers.hear(version(RECORD, 8), "another's", 1.0)
    assert view(remembers).possible_members == ()


def test_a_renewal_without_an_answer_counts_once_it_is_seen_to_have_landed() -> None:
    remembers = memory(RECORD)
    remembers.sending(RECORD, "mine", 1.0)
    assert remembers.hear(version(RECORD, 8), "mine", 4.0)
    assert view(remembers).renewed_at == 1.0


@pytest.mark.parametrize(
    ("record", "proof"),
    [(version(RECORD, 8), "another's"), (version(OTHERS, 8), "mine")],
    ids=["another write", "another holder"],
)
def test_nothing_else_proves_that_it_landed(record: LeaseRecord, proof: str) -> None:
    remembers = memory(RECORD)
    remembers.sending(RECORD, "mine", 1.0)
    remembers.hear(record, proof, 4.0)
    assert view(remembers).renewed_at is None


def test_a_take_without_an_answer_is_uncertain_until_the_lease_changes() -> None:
    free = replace(RECORD, holder="")
    remembers = memory(free)
    remembers.take_unanswered(free)
    assert view(remembers).uncertain_take
    remembers.hear(version(OTHERS, 8), "another's", 1.0)
    assert not view(remembers).uncertain_take


def test_a_take_that_lands_late_is_known_and_can_be_given_up_once() -> None:
    """Who was let go first, and does not take the Lease, must not block the set for ever."""

    def take(remembers: LeaseMemory, number: int, *, answered: bool) -> LeaseMemory:
        free = version(replace(RECORD, holder=""), number)
        remembers.hear(free, "another's", 1.0)
        remembers.look(1.0)
        remembers.sending(free, number, 2.0)
        if answered:
            remembers.landed(2.0)
        else:
            remembers.take_unanswered(free)
        remembers.hear(version(RECORD, number + 1), number, 6.0)
        return remembers

    assert not view(take(memory(OTHERS), 20, answered=True)).taken_late
    late = take(memory(OTHERS), 20, answered=False)
    assert view(late).taken_late
    late.landed(7.0)
    assert view(late).taken_late
    assert not view(take(late, 30, answered=False)).taken_late
    late.hear(version(OTHERS, 40), "another's", 8.0)
    assert view(take(late, 50, answered=False)).taken_late


def test_who_has_begun_to_release_the_lease_is_its_holder_only_after_a_renewal() -> None:
    """The release may land at any moment, with or without an answer."""
    remembers = memory(RECORD)
    remembers.landed(0.5)
    remembers.to_release("orders-2")
    assert view(remembers).renewed_at is None
    remembers.landed(1.0)
    assert view(remembers).renewed_at == 1.0


def test_only_its_holder_creates_a_lease_again_that_was_deleted() -> None:
    assert memory(RECORD).may_recreate(RECORD)
    assert not memory(OTHERS).may_recreate(OTHERS)
    assert not memory(RECORD).may_recreate(replace(RECORD, holder=""))


def test_a_released_lease_names_the_heir_and_no_holder() -> None:
    released = memory(RECORD).to_release("orders-2")
    assert released is not None
    assert (released.holder, released.heir) == ("", "orders-2")
    assert memory(OTHERS).to_release("orders-2") is None


def test_a_released_lease_says_which_pod_the_heir_is_or_that_any_will_do() -> None:
    knew = replace(RECORD, lives=("orders-2_former",))
    for lives in ((), ("orders-2_later",)):
        released = memory(knew).to_release("orders-2", lives)
        assert released is not None
        assert released.lives == lives


HANDED_OVER = replace(version(OTHERS, 8), holder="", heir="orders-0")


@pytest.mark.parametrize(
    ("heard", "by"),
    [
        ((OTHERS, HANDED_OVER), OTHERS.holder),
        ((OTHERS, replace(HANDED_OVER, heir="orders-2")), None),
        ((HANDED_OVER,), None),
    ],
    ids=["to this member", "to another", "before this process began"],
)
def test_who_has_handed_over_is_known_by_its_pod(
    heard: tuple[LeaseRecord, ...], by: str | None
) -> None:
    remembers = LeaseMemory(ME, SETTINGS)
    for record in heard:
        remembers.hear(record, record.resource_version, 0.0)
    assert view(remembers).handed_over_by == by
    remembers.look(0.0)
    remembers.to_take(TakeLease(expired=False), 0.0)
    remembers.hear(replace(version(OTHERS, 9), holder=str(ME)), "9", 0.0)
    assert view(remembers).handed_over_by == by


LATER = replace(OTHERS, resource_version="20", timeline=2, transitions=3)


@pytest.mark.parametrize(
    "older",
    [
        version(LATER, 19),
        replace(LATER, resource_version="21", timeline=1),
        replace(LATER, resource_version="21", transitions=2),
    ],
    ids=["version", "timeline", "transitions"],
)
def test_a_lease_that_goes_back_is_told_from_one_that_goes_on(older: LeaseRecord) -> None:
    remembers = memory(LATER)
    assert remembers.hear(older, "second", 1.0)
    assert view(remembers).went_back


ALONE = replace(LATER, holder=str(ME), members=(ME.name,))


def test_who_is_alone_on_both_records_has_lost_nothing_by_it() -> None:
    """Nobody but the holder adds members: none can have taken it in between."""
    remembers = memory(ALONE)
    remembers.hear(version(ALONE, 10), "second", 1.0)
    assert not view(remembers).went_back


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (ALONE, {"members": ("orders-0", "orders-1")}),
        (ALONE, {"holder": "orders-0_former"}),
        (replace(ALONE, members=("orders-0", "orders-1")), {"members": ("orders-0",)}),
    ],
    ids=["the older one lists more", "the older one is another pod's", "the newer one lists more"],
)
def test_who_may_have_a_rival_by_either_record_is_not_alone(
    newer: LeaseRecord, older: dict[str, Any]
) -> None:
    remembers = memory(newer)
    remembers.hear(replace(newer, resource_version="10", **older), "second", 1.0)
    assert view(remembers).went_back


def test_who_may_have_recorded_another_member_is_not_alone() -> None:
    remembers = memory(ALONE)
    known = RenewLease(system_identifier="1", timeline=2, members=("orders-0", "orders-1"))
    remembers.renewal_unanswered(ALONE, known)
    remembers.hear(version(ALONE, 10), "second", 1.0)
    assert view(remembers).went_back


def test_it_stays_so_until_somebody_takes_it_or_leads() -> None:
    for changes, stays in (({}, True), ({"transitions": 4}, False), ({"timeline": 3}, False)):
        remembers = memory(LATER)
        remembers.hear(version(LATER, 10), "second", 1.0)
        remembers.hear(replace(LATER, resource_version="11", **changes), "third", 2.0)
        assert view(remembers).went_back is stays


def test_who_claims_it_then_counts_on_from_the_most_that_was_seen() -> None:
    remembers = memory(replace(LATER, holder=str(ME)))
    older = replace(LATER, resource_version="10", timeline=1, transitions=1)
    remembers.hear(older, "second", 1.0)
    remembers.look(1.0)
    taken = remembers.to_take(TakeLease(expired=False), 1.0)
    assert (taken.holder, taken.transitions, taken.resource_version) == (str(ME), 4, "10")


def test_one_from_which_somebody_takes_what_asks_for_lost_data_has_not_gone_back() -> None:
    """As docs/limits.md says to do where the only volume with the newest timeline is lost."""
    remembers = memory(LATER)
    cleared = replace(LATER, resource_version="21", timeline=None, voters=(), copies=0, members=())
    remembers.hear(cleared, "second", 1.0)
    assert not view(remembers).went_back


def test_one_that_was_deleted_has_not_gone_back() -> None:
    remembers = memory(LATER)
    remembers.hear(None, None, 1.0)
    remembers.hear(replace(LATER, resource_version="21", transitions=1), "third", 2.0)
    assert not view(remembers).went_back


def test_one_that_was_claimed_before_anything_was_heard_has_not_gone_back() -> None:
    remembers = memory(LATER)
    remembers.hear(replace(LATER, resource_version="10", transitions=4), "second", 1.0)
    assert not view(remembers).went_back


@pytest.mark.parametrize(("now", "believed"), [(11.0, False), (11.1, True)])
def test_a_holder_that_renews_it_for_a_ttl_is_believed(now: float, *, believed: bool) -> None:
    remembers = memory(LATER)
    remembers.hear(version(LATER, 10), "second", 1.0)
    remembers.hear(version(LATER, 11), "third", now)
    assert view(remembers).went_back is not believed


def test_who_releases_a_lease_that_has_gone_back_is_known() -> None:
    """A pledge to that holder is over then, whatever the versions say."""
    remembers = memory(LATER)
    remembers.hear(replace(LATER, resource_version="21", holder=""), "second", 1.0)
    assert view(remembers).released_after_fall is None
    remembers.hear(version(LATER, 10), "third", 2.0)
    assert view(remembers).released_after_fall is None
    remembers.hear(replace(LATER, resource_version="11", holder=""), "third", 3.0)
    assert view(remembers).released_after_fall == (2.0, LATER.holder)
    remembers.hear(version(LATER, 5), "third", 4.0)
    assert view(remembers).released_after_fall is None
