"""Who holds the Lease: takes it, loses it, gives it back."""

import threading

import pytest

from sidecar import contract
from sidecar.action import RenewLease, TakeLease
from sidecar.kube.client import ConflictError
from tests.cluster.kube_adapters.member import Member, stored
from tests.cluster.kube_adapters.site import Site, lease

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube")]


def test_the_first_to_take_makes_the_lease(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    other.wait(one.me.name)
    made = stored(site, name)
    assert made["metadata"]["labels"] == {**contract.LABELS, contract.SET_LABEL: name}
    spec = {key: value for key, value in made["spec"].items() if not key.endswith("Time")}
    assert spec == {
        "holderIdentity": f"{name}-0_uid-0",
        "leaseDurationSeconds": 12,
        "leaseTransitions": 1,
    }


@pytest.mark.parametrize("there_is_one", [False, True], ids=["no Lease yet", "a released one"])
def test_of_two_that_take_at_once_exactly_one_holds(
    members: tuple[Member, Member], there_is_one: bool
) -> None:
    one, other = members
    if there_is_one:
        one.keeper.take(TakeLease(expired=False))
        one.keeper.release()
    expected = "" if there_is_one else None
    one.wait(expected)
    other.wait(expected)
    start, results = threading.Barrier(2), dict[str, str]()

    def take(member: Member) -> None:
        start.wait()
        try:
            member.keeper.take(TakeLease(expired=False))
            results[member.me.name] = "holds"
        except ConflictError:
            results[member.me.name] = "conflict"

    threads = [threading.Thread(target=take, args=[member]) for member in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results.values()) == ["conflict", "holds"]
    winner = next(name for name, result in results.items() if result == "holds")
    one.wait(winner)
    other.wait(winner)


@pytest.mark.parametrize("there_is_one", [False, True], ids=["no Lease yet", "a released one"])
def test_who_decided_on_a_free_lease_does_not_take_it_from_who_was_faster(
    members: tuple[Member, Member], there_is_one: bool
) -> None:
    """Between a look and the deed on it peers are asked for up to 0.8 s; the watch tells of the
    winner in that time."""
    one, other = members
    if there_is_one:
        one.keeper.take(TakeLease(expired=False))
        one.keeper.release()
    for member in members:
        member.wait("" if there_is_one else None)
    with other.told():
        one.keeper.take(TakeLease(expired=False))
    with pytest.raises(ConflictError):
        other.keeper.take(TakeLease(expired=False))
    other.wait(one.me.name)


def test_who_took_an_expired_lease_knows_so(members: tuple[Member, Member]) -> None:
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    other.wait(one.me.name)
    other.take_expired()
    one.wait(other.me.name)
    views = [member.keeper.look() for member in members]
    assert [view.taken_expired for view in views if view is not None] == [False, True]


def test_a_lease_that_is_held_and_not_expired_is_not_taken(
    members: tuple[Member, Member],
) -> None:
    """Whatever was decided on: the last look before the deed counts."""
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    other.wait(one.me.name)
    other.clock.advance(12)
    with pytest.raises(ConflictError, match=r"is held by .*-0, and has not expired"):
        other.keeper.take(TakeLease(expired=True))
    one.wait(one.me.name)


def test_who_takes_over_keeps_the_promise_and_the_wish_and_ends_the_hand_over(
    members: tuple[Member, Member],
) -> None:
    """Voters and position decide who may lead the next time, too, should this one die at once."""
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    one.keeper.look()
    one.keeper.renew(
        RenewLease("111", 1, ("a-0", "a-1"), 5, ("a-0", "a-1"), copies=2, switchover_to="a-1")
    )
    one.keeper.release("a-1")
    other.wait("")
    released = other.record()
    other.keeper.take(TakeLease(expired=False, voters=("a-0", "a-1"), copies=2))
    taken = other.record()
    assert (released.heir, taken.heir) == ("a-1", None)
    kept = (5, ("a-0", "a-1"), 2, "a-1")
    for record in (released, taken):
        assert (record.position, record.voters, record.copies, record.switchover_to) == kept


def test_a_release_empties_the_holder_and_keeps_what_is_known_of_the_set(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    """Right after a renewal, too, as when the sidecar leaves: nobody has looked between them."""
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    one.renew()
    before = stored(site, name)
    one.keeper.release()
    other.wait("")
    after = stored(site, name)
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    view = one.keeper.look()
    assert view is not None
    assert view.renewed_at is None


def test_a_lease_that_another_holds_cannot_be_released(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    other.wait(one.me.name)
    before = stored(site, name)
    other.keeper.release()
    assert stored(site, name) == before


def test_a_deleted_lease_is_seen_as_none_and_can_be_taken_anew(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    one.renew()
    with one.told():
        site.delete("lease", f"pgset-{name}")
    one.wait(None)
    one.keeper.take(TakeLease(expired=False))
    one.wait(one.me.name)


def test_an_empty_lease_is_one_that_nobody_holds(site: Site, name: str) -> None:
    empty = lease(f"pgset-{name}")
    del empty["spec"]
    line = site.line()
    line.create(site.leases, empty)
    member = Member(site, name, 0)
    before = member.holder()
    member.keeper.take(TakeLease(expired=False))
    assert (before, member.holder()) == ("", f"{name}-0")


def test_a_view_from_another_thread_does_not_change_what_is_acted_on(
    members: tuple[Member, Member],
) -> None:
    one, other = members
    other.keeper.look()
    with other.told():
        one.keeper.take(TakeLease(expired=False))
    newest = other.keeper.peek()
    assert newest is not None
    assert newest.record is not None
    assert newest.record.holder == str(one.me)
    with pytest.raises(ConflictError, match="already exists"):
        other.keeper.take(TakeLease(expired=False))
