"""Whether the API server can be reached, and what it has not answered."""

import time

import pytest

from sidecar import contract
from sidecar.action import TakeLease
from sidecar.kube.client import ConflictError, RetryLaterError
from sidecar.kube.lease import LeaseKeeper
from sidecar.settings import Settings
from tests.cluster.kube_adapters.member import Detour, Member, renew_with, stored
from tests.cluster.kube_adapters.site import PATIENT, ROOM, Site
from tests.support.clock import Clock
from tests.support.waiting import is_quick, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube")]


def test_what_was_heard_last_has_a_time(members: tuple[Member, Member]) -> None:
    one, other = members
    heard = []
    one.clock.advance(1)
    one.keeper.take(TakeLease(expired=False))
    heard.append(one.view().heard_at)
    one.clock.advance(1)
    one.renew()
    heard.append(one.view().heard_at)
    other.catch_up_with(one)
    other.clock.advance(5)
    with other.told():
        one.renew()
    heard.append(other.view().heard_at)
    assert heard == [1001.0, 1002.0, 1005.0]


def test_a_look_of_ones_own_shows_what_the_watch_does_not_tell(
    members: tuple[Member, Member],
) -> None:
    one, other = members
    other.line.slow_watch.clear()
    one.keeper.take(TakeLease(expired=False))
    other.clock.advance(3)
    answered = other.keeper.refresh(PATIENT)
    view = other.view()
    assert (answered, other.holder()) == (True, one.me.name)
    assert (view.heard_at, view.changed_at) == (1003.0, 1003.0)


def test_a_look_that_nobody_answers_in_time_says_so(
    members: tuple[Member, Member], site: Site, detour: Detour
) -> None:
    one, _ = members
    keeper = LeaseKeeper(
        detour.client(site), site.name, Settings(set_name="any"), one.me,
        clock=Clock(), on_change=lambda: None,
    )  # fmt: skip
    detour.passes_requests.clear()

    def look() -> None:
        assert not keeper.refresh(0.3)

    assert is_quick(look, 0.3 + ROOM)


def test_a_lease_that_is_not_there_is_an_answer_too(members: tuple[Member, Member]) -> None:
    one, _ = members
    one.clock.advance(3)
    assert one.keeper.refresh(PATIENT)
    assert (one.view().record, one.view().heard_at) == (None, 1003.0)


def test_a_conflict_is_an_answer(members: tuple[Member, Member]) -> None:
    one, other = members
    other.line.closed = True  # its watch tells nothing any more
    one.keeper.take(TakeLease(expired=False))
    other.clock.advance(3)
    with pytest.raises(ConflictError):
        other.keeper.take(TakeLease(expired=False))
    assert other.view().heard_at == 1003.0


def test_an_excuse_lasts_until_the_lease_is_taken_or_left(members: tuple[Member, Member]) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    seen = [one.view().excused_at]
    one.keeper.excuse(1007.5)
    seen.append(one.view().excused_at)
    one.renew()
    seen.append(one.view().excused_at)
    one.keeper.release()
    seen.append(one.view().excused_at)
    one.keeper.excuse(1009.0)
    one.keeper.look()
    one.keeper.take(TakeLease(expired=False))
    seen.append(one.view().excused_at)
    assert seen == [None, 1007.5, 1007.5, None, None]


def test_a_renewal_without_an_answer_may_have_recorded_its_members_until_something_is_heard(
    members: tuple[Member, Member], site: Site, detour: Detour
) -> None:
    """It was done, and the answer was lost; the watch, which is slow here, tells of it later."""
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    renew_with(one, "a-0", "a-1")
    one.line.writes_by = detour.client(site)
    before = one.version()
    detour.loses_answers = True
    one.line.slow_watch.clear()
    one.clock.advance(2)
    with pytest.raises(RetryLaterError):
        renew_with(one, "a-0", "a-2")
    view = one.view()
    assert (view.possible_members, view.renewed_at) == (("a-0", "a-2"), 1000.0)
    assert one.version() == before
    one.line.slow_watch.set()
    wait_until(lambda: one.version() != before, "the watch")
    assert (one.view().possible_members, one.record().members) == ((), ("a-0", "a-2"))


def test_a_renewal_that_was_given_up_can_still_be_done_later(
    members: tuple[Member, Member], site: Site, detour: Detour
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    renew_with(one, "a-0", "a-1")
    one.line.writes_by = detour.client(site)
    detour.passes_requests.clear()
    with pytest.raises(RetryLaterError):
        renew_with(one, "a-0", "a-2")
    with pytest.raises(RetryLaterError):
        renew_with(one, "a-0", "a-3")
    assert one.keeper.refresh(PATIENT), "reading goes another way, and shows the old record"
    assert (one.record().members, one.view().possible_members) == (
        ("a-0", "a-1"),
        ("a-0", "a-2", "a-3"),
    )
    with one.told():
        detour.passes_requests.set()
    landed = one.record().members
    assert landed in (("a-0", "a-2"), ("a-0", "a-3"))
    assert one.view().possible_members == ()


def test_a_renewal_that_another_change_has_overtaken_cannot_have_been_done(
    members: tuple[Member, Member], site: Site, detour: Detour, name: str
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    renew_with(one, "a-0", "a-1")
    one.line.writes_by = detour.client(site)
    detour.passes_requests.clear()
    with pytest.raises(RetryLaterError):
        renew_with(one, "a-0", "a-2")
    with one.told():
        site.annotate("lease", f"pgset-{name}", "shop.example/note=hello")
    assert one.view().possible_members == ()
    detour.passes_requests.set()
    time.sleep(1)
    assert stored(site, name)["metadata"]["annotations"][contract.MEMBERS] == "a-0,a-1"


@pytest.mark.parametrize("there_is_one", [False, True], ids=["no Lease yet", "a released one"])
def test_a_take_without_an_answer_is_uncertain_until_something_is_heard(
    members: tuple[Member, Member], site: Site, detour: Detour, there_is_one: bool
) -> None:
    one, _ = members
    if there_is_one:
        one.keeper.take(TakeLease(expired=False))
        one.keeper.release()
    one.line.writes_by = detour.client(site)
    one.keeper.look()
    detour.passes_requests.clear()
    with pytest.raises(RetryLaterError):
        one.keeper.take(TakeLease(expired=False))
    meanwhile = one.view()
    with one.told():
        detour.passes_requests.set()
    view = one.view()
    assert (meanwhile.uncertain_take, view.uncertain_take) == (True, False)
    assert one.record().holder == str(one.me)
    # What the watch tells proves the take, which counts from when it was sent.
    assert view.renewed_at is not None
