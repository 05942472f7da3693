"""Rules for a primary whose pod goes, or that cannot do its work: when it stops, and for whom."""

import signal
from dataclasses import replace

import pytest

from sidecar.action import Checkpoint, ReleaseLease, StopPostgres
from sidecar.decide import decide
from sidecar.observation import Identity, Observation, Pod
from tests.sidecar.rules.observations import (
    DELETED,
    DOWN,
    FREE,
    LEADER,
    LEADER_PODS,
    LEAVING,
    NOW,
    RECORD,
    SETTINGS,
    WRITABLE,
    lease,
    peer,
    situation_and_actions,
)

LAST = Identity("orders-2", "uid-2")


def test_a_deleted_primary_goes_on_until_its_server_has_stopped() -> None:
    assert decide(replace(LEAVING, postgres=WRITABLE), SETTINGS).situation == "Leading"


def test_a_deleted_primary_that_has_stopped_releases_the_lease_and_keeps_its_label() -> None:
    found = replace(LEAVING, peers=peer(1), complete_peers=frozenset({"orders-1"}))
    assert situation_and_actions(found) == ("HandingOver", (ReleaseLease("orders-1"),))
    gone = replace(LEAVING, postgres=replace(DOWN, since=NOW - 1))
    assert situation_and_actions(gone) == ("Vacating", (ReleaseLease("orders-0"),))
    shrunk = replace(gone, me=LAST, pods=(replace(LEADER_PODS[2], deleting=True),), wanted=2)
    held = lease(replace(RECORD, holder=str(LAST)))
    assert situation_and_actions(replace(shrunk, lease=held)) == ("Vacating", (ReleaseLease(None),))
    shutting_down = replace(LEAVING, postgres=replace(DOWN, alive=True))
    assert situation_and_actions(shutting_down)[0] == "Down"
    released = replace(LEAVING, lease=lease(FREE, renewed_at=None))
    assert situation_and_actions(released) == ("Leaving", ())


def test_a_pod_of_its_name_that_was_deleted_before_is_not_itself() -> None:
    before = replace(LEADER_PODS[0], uid="uid-old", deleting=True)
    assert decide(replace(LEADER, pods=(before,), postgres=DOWN), SETTINGS).situation == "Down"


def test_a_deleted_primary_checkpoints_and_goes_on_serving_for_a_second() -> None:
    assert situation_and_actions(DELETED) == ("PreparingToStop", (Checkpoint(),))


def test_a_deleted_primary_stops_to_hand_over_once_it_has_served_for_a_second() -> None:
    served = replace(WRITABLE, checkpointed_at=NOW - 0.5)
    ready = replace(DELETED, leaving_since=NOW - 1, postgres=served)
    situation, actions = situation_and_actions(ready)
    assert (situation, actions[-1]) == ("Stopping", StopPostgres(signal.SIGINT))


def test_a_shutdown_that_hangs_is_forced() -> None:
    hanging = replace(DOWN, since=NOW - 4, alive=True, has_written=True, checkpointed_at=NOW - 5)
    stuck = replace(DELETED, leaving_since=NOW - 5, postgres=hanging)
    assert decide(stuck, SETTINGS).actions[-1] == StopPostgres(signal.SIGQUIT)


def test_without_a_successor_a_deleted_primary_goes_on_until_it_is_stopped() -> None:
    assert decide(replace(DELETED, peers={}), SETTINGS).situation == "Leading"
    behind_api = peer(1, reaches_api=False) | peer(2, well=False)
    assert decide(replace(DELETED, peers=behind_api), SETTINGS).situation == "Leading"


def test_a_primary_that_crashed_hands_over_at_once_to_a_member_that_has_everything() -> None:
    crashed = replace(LEADER, postgres=DOWN, peers=peer(1, position=4900) | peer(2))
    complete = replace(crashed, complete_peers=frozenset({"orders-2"}))
    assert situation_and_actions(complete) == ("HandingOver", (ReleaseLease("orders-2"),))


def test_of_those_that_have_everything_one_takes_over_that_has_replayed_it() -> None:
    both = peer(1, to_replay=2**30) | peer(2, to_replay=100)
    complete = frozenset({"orders-1", "orders-2"})
    crashed = replace(LEADER, postgres=DOWN, peers=both, complete_peers=complete)
    assert decide(crashed, SETTINGS).actions == (ReleaseLease("orders-2"),)


def test_a_primary_that_crashed_waits_for_its_restart_where_commits_would_be_lost() -> None:
    crashed = replace(LEADER, postgres=DOWN, peers=peer(1, position=4900))
    assert situation_and_actions(crashed) == ("Down", ())


@pytest.mark.parametrize(
    ("voters", "copies", "heir"),
    [
        (("orders-0", "orders-1"), 2, "orders-1"),
        (("orders-0", "orders-1", "orders-2"), 3, "orders-2"),
        # Of three, two have every commit: the one that is further ahead of the other two.
        (("orders-0", "orders-1", "orders-2"), 2, "orders-2"),
        (("orders-0",), 1, None),
    ],
)
def test_where_commits_waited_for_standbys_one_that_they_waited_for_has_enough(
    voters: tuple[str, ...], copies: int, heir: str | None
) -> None:
    promised = replace(RECORD, voters=voters, copies=copies)
    crashed = replace(
        LEADER,
        lease=lease(promised),
        postgres=DOWN,
        peers=peer(1, position=4800) | peer(2, position=4900),
    )
    released = (ReleaseLease(heir),) if heir else ()
    settings = replace(SETTINGS, durability="sync")
    assert situation_and_actions(crashed, settings)[1] == released


def test_in_a_rolling_update_a_pod_leads_that_has_been_rolled() -> None:
    def rolled(*names: str) -> tuple[Pod, ...]:
        return tuple(
            replace(pod, revision="new" if pod.name in names else "old") for pod in LEADER_PODS
        )

    crashed = replace(
        LEADER,
        postgres=DOWN,
        peers=peer(1) | peer(2),
        complete_peers=frozenset({"orders-1", "orders-2"}),
    )
    last = replace(crashed, pods=rolled("orders-2"))
    assert decide(last, SETTINGS).actions == (ReleaseLease("orders-2"),)
    first = replace(crashed, pods=rolled())
    assert decide(first, SETTINGS).actions == (ReleaseLease("orders-1"),)


def test_a_primary_on_which_nobody_new_can_write_is_stopped_harder_and_harder() -> None:
    for seconds, sent in ((3.5, signal.SIGINT), (4.5, signal.SIGQUIT), (5.5, signal.SIGKILL)):
        hung = replace(WRITABLE, unwell_since=NOW - seconds)
        unwell = replace(LEADER, postgres=hung, peers=peer(1))
        assert decide(unwell, SETTINGS).actions[-1] == StopPostgres(sent)
    assert decide(replace(unwell, peers={}), SETTINGS).situation == "Leading"


class TestASetThatIsScaledToNothing:
    """It comes back, with as many pods as somebody wants by then: pod 0 is one of them."""

    GOING = replace(
        DELETED,
        me=LAST,
        wanted=0,
        lease=lease(replace(RECORD, holder=str(LAST))),
        pods=tuple(replace(pod, deleting=True) for pod in LEADER_PODS),
        peers=peer(0) | peer(1),
    )

    @staticmethod
    def stopped(observation: Observation, *complete: str) -> Observation:
        postgres = replace(DOWN, since=NOW - 1)
        return replace(observation, postgres=postgres, complete_peers=frozenset(complete))

    def test_the_primary_stops_at_once_while_the_others_still_get_its_wal(self) -> None:
        assert situation_and_actions(self.GOING)[0] == "Stopping"
        assert situation_and_actions(replace(self.GOING, wanted=3))[0] == "Leading"

    def test_it_hands_over_to_the_lowest_ordinal_that_has_everything(self) -> None:
        both = self.stopped(self.GOING, "orders-0", "orders-1")
        assert situation_and_actions(both) == ("HandingOver", (ReleaseLease("orders-0"),))
        behind = self.stopped(self.GOING, "orders-1")
        assert situation_and_actions(behind) == ("HandingOver", (ReleaseLease("orders-1"),))

    def test_nothing_that_would_prefer_another_counts_before_that(self) -> None:
        first, second, *others = self.GOING.pods or ()
        preferred = replace(second, failover_priority=9, revision="new")
        sooner = peer(0, to_replay=2**30) | peer(1, to_replay=0)
        going = replace(self.GOING, pods=(first, preferred, *others), peers=sooner)
        both = self.stopped(going, "orders-0", "orders-1")
        assert situation_and_actions(both) == ("HandingOver", (ReleaseLease("orders-0"),))

    def test_the_first_pod_comes_back_itself_whoever_has_everything(self) -> None:
        """With a quorum, no other could know alone that it has everything."""
        leads = replace(
            self.GOING,
            me=DELETED.me,
            lease=lease(replace(RECORD, holder=str(DELETED.me))),
            peers=peer(1) | peer(2),
        )
        both = self.stopped(leads, "orders-1", "orders-2")
        assert situation_and_actions(both) == ("Vacating", (ReleaseLease("orders-0"),))

    def test_else_it_comes_back_itself_or_nobody_knows(self) -> None:
        nobody = self.stopped(self.GOING)
        assert situation_and_actions(nobody) == ("Vacating", (ReleaseLease("orders-2"),))
