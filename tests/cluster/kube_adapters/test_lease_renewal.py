"""What a renewal of the Lease writes, keeps, and says to those who watch it."""

from typing import Any

import pytest

from sidecar import contract
from sidecar.action import RenewLease, TakeLease
from sidecar.kube.client import ConflictError, GoneError
from tests.cluster.kube_adapters.member import Member, stored
from tests.cluster.kube_adapters.site import Site
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube")]


def test_who_was_overtaken_while_it_decided_to_renew_has_not_renewed(
    members: tuple[Member, Member],
) -> None:
    """It must not renew in another's name, and its fencing must not be put off by that."""
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    one.wait(one.me.name)
    other.wait(one.me.name)
    one.clock.advance(9)
    with one.told():
        other.take_expired()
    with pytest.raises(ConflictError):
        one.keeper.renew(RenewLease("111", 1, ("a-0",)))
    view = one.keeper.look()
    assert view is not None
    assert view.renewed_at == 1000.0
    one.wait(other.me.name)


def test_a_renewal_keeps_what_others_wrote(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    with one.told():
        site.annotate("lease", f"pgset-{name}", "shop.example/owner=anna")
    with one.told():
        site.kubectl("-n", site.name, "label", "lease", f"pgset-{name}", "tier=gold")
    one.renew()
    metadata = stored(site, name)["metadata"]
    assert metadata["labels"] == {**contract.LABELS, contract.SET_LABEL: name, "tier": "gold"}
    history = metadata["annotations"].pop(contract.HISTORY)
    assert metadata["annotations"] == {
        "shop.example/owner": "anna",
        contract.SYSTEM_IDENTIFIER: "111",
        contract.TIMELINE: "1",
        contract.MEMBERS: "a-0,a-1",
    }
    assert history.startswith(f"1 {name}-0 20")


def test_a_renewal_can_be_seen_by_people_and_the_taking_stays_dated(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    taken = stored(site, name)["spec"]
    one.renew()
    renewed = stored(site, name)["spec"]
    assert taken["renewTime"] < renewed["renewTime"]
    assert (taken["acquireTime"], taken["leaseTransitions"]) == (
        renewed["acquireTime"],
        renewed["leaseTransitions"],
    )


def history(site: Site, name: str) -> list[tuple[str, str]]:
    text = stored(site, name)["metadata"]["annotations"].get(contract.HISTORY, "")
    return [(entry.split()[0], entry.split()[1]) for entry in text.split(",") if entry]


def test_the_history_grows_with_a_new_timeline_only(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    for timeline in (None, 1, 1, 1):
        one.renew(timeline=timeline)
    one.keeper.release()
    other.wait("")
    other.keeper.take(TakeLease(expired=False))
    for timeline in (1, 2, 2):
        other.renew(timeline=timeline)
    assert history(site, name) == [("1", f"{name}-0"), ("2", f"{name}-1")]


def test_the_history_keeps_the_last_ten(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    for timeline in range(1, 13):
        one.renew(timeline=timeline)
    assert [int(timeline) for timeline, _ in history(site, name)] == list(range(3, 13))


def test_only_a_change_of_the_record_counts_as_a_sign_of_life(
    members: tuple[Member, Member],
) -> None:
    """A list that shows the same again is none: a dead holder must not live by a lost watch."""
    one, other = members
    other.line.short_watches = True
    other.line.refusal_to_start = GoneError("too old")
    one.keeper.take(TakeLease(expired=False))
    other.wait(one.me.name)
    other.clock.advance(3)
    wait_until(lambda: other.line.lists == 2, "another list")
    listed_again = other.keeper.look()
    other.clock.advance(3)
    with other.told():
        one.renew()
    renewed = other.keeper.look()
    views = [view for view in (listed_again, renewed) if view is not None]
    assert [view.changed_at for view in views] == [1000.0, 1006.0]


def test_the_holder_was_seen_to_renew_only_once_it_did(members: tuple[Member, Member]) -> None:
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    other.wait(one.me.name)
    taken = other.keeper.look()
    with other.told():
        one.renew()
    renewed = other.keeper.look()
    views = [view for view in (taken, renewed) if view is not None]
    assert [view.renewal_seen for view in views] == [False, True]


def test_a_change_by_a_person_renews_nothing_and_is_not_overwritten(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    one.wait(one.me.name)
    one.clock.advance(3)
    with one.told():
        site.annotate("lease", f"pgset-{name}", "shop.example/note=hello")
    with pytest.raises(ConflictError):
        one.keeper.renew(RenewLease("111", 1, ("a-0",)))
    view = one.keeper.look()
    assert view is not None
    assert (view.changed_at, view.renewed_at) == (1000.0, 1000.0)


def test_a_renewal_restores_a_lease_that_was_deleted_under_the_holder(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    """The API server makes a Lease of a PUT where there is none: atomically, so nobody else can
    hold, and what was known of the set is not lost with it."""
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    one.renew()
    before = stored(site, name)
    one.wait(one.me.name)
    with one.told():
        site.delete("lease", f"pgset-{name}")
    one.keeper.renew(RenewLease("111", 1, ("a-0", "a-1")))
    after = stored(site, name)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    kept = ("annotations", "labels")
    assert [after["metadata"][key] for key in kept] == [before["metadata"][key] for key in kept]
    other.wait(one.me.name)


def test_what_a_person_spoilt_counts_as_absent(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    one.renew()
    with one.told():
        site.annotate(
            "lease",
            f"pgset-{name}",
            f"{contract.TIMELINE}=two",
            f"{contract.HISTORY}=1 a-0,x a-1 now,2 a-2 now,{'9' * 5000} a-3 now",
            f"{contract.MEMBERS}=,a-1, a-2 ,",
            f"{contract.POSITION}=0/3000060",
            f"{contract.IN_SYNC}= a-1 ,,a-2",
            f"{contract.COPIES}=-1",
            f"{contract.HEIR}=  ",
            f"{contract.SWITCHOVER_TO}= {'a' * 300}",
        )
    view = one.keeper.look()
    assert view is not None
    assert view.record is not None
    record = view.record
    assert (record.timeline, [e.pod for e in record.history], record.members) == (
        None,
        ["a-2"],
        ("a-1", "a-2"),
    )
    assert (record.position, record.voters, record.copies) == (None, ("a-1", "a-2"), 0)
    assert (record.heir, record.switchover_to) == (None, "a" * 253)


def test_all_that_is_known_of_a_set_is_written_and_read_back(
    members: tuple[Member, Member],
) -> None:
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    one.keeper.look()
    other.catch_up_with(one)
    known = RenewLease(
        "111", 3, ("a-0", "a-1", "a-2"),
        position=2**40, voters=("a-0", "a-1"), copies=2, heir="a-1", switchover_to="a-2",
    )  # fmt: skip
    with other.told():
        one.keeper.renew(known)
    record = other.record()
    read = RenewLease(
        record.system_identifier, record.timeline, record.members,
        record.position, record.voters, record.copies, record.heir, record.switchover_to,
    )  # fmt: skip
    assert read == known


def test_what_is_not_so_any_more_does_not_stay_written(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    one.keeper.look()
    one.keeper.renew(
        RenewLease("111", 1, ("a-0",), 5, ("a-0",), copies=1, heir="a-1", switchover_to="a-2")
    )
    one.keeper.look()
    one.keeper.renew(RenewLease("111", 1, ("a-0",)))
    annotations = stored(site, name)["metadata"]["annotations"]
    assert set(annotations) == {
        contract.SYSTEM_IDENTIFIER,
        contract.TIMELINE,
        contract.MEMBERS,
        contract.HISTORY,
    }


def test_a_renewal_wakes_nobody_and_moves_changed_at_as_it_comes(
    members: tuple[Member, Member],
) -> None:
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    other.wait(one.me.name)
    one.renew()
    other.catch_up_with(one)
    with other.told():
        # Once this is seen, whoever was woken by what came before has been.
        one.keeper.look()
        one.keeper.renew(RenewLease("111", 1, ("a-0", "a-1"), position=76))
    before = other.wakes
    other.clock.advance(3)
    with other.told():
        one.keeper.look()
        one.keeper.renew(RenewLease("111", 1, ("a-0", "a-1"), position=77))
    other.clock.advance(4)
    assert (other.view().changed_at, other.record().position) == (1003.0, 77)
    assert other.wakes == before


@pytest.mark.parametrize(
    "change",
    [
        {"members": ("a-0",)},
        {"heir": "a-1"},
        {"voters": ("a-0",), "copies": 1},
        {"timeline": 2},
    ],
    ids=["members", "heir", "voters", "timeline"],
)
def test_a_renewal_that_says_something_new_wakes(
    members: tuple[Member, Member], change: dict[str, Any]
) -> None:
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    one.renew()
    other.catch_up_with(one)
    before = other.wakes
    one.keeper.look()
    known: dict[str, Any] = {
        "system_identifier": "111", "timeline": 1, "members": ("a-0", "a-1")
    }  # fmt: skip
    one.keeper.renew(RenewLease(**known | change))
    wait_until(lambda: other.wakes > before, "a wake")


def test_an_operators_wish_wakes(members: tuple[Member, Member], site: Site, name: str) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    before = one.wakes
    site.annotate("lease", f"pgset-{name}", f"{contract.SWITCHOVER_TO}=a-1")
    wait_until(
        lambda: one.wakes > before and one.record().switchover_to == "a-1", "a wake, and the wish"
    )
