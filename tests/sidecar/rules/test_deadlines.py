"""When a member looks again, and until when it may act."""

from dataclasses import replace

import pytest

from sidecar.decide import decide
from sidecar.observation import Peer
from tests.sidecar.rules.observations import (
    DOWN,
    LEADER,
    NOW,
    OTHERS,
    RECORD,
    REPLICA,
    SETTINGS,
    STREAMING,
    WRITABLE,
    lease,
    peer,
)


@pytest.mark.parametrize(("ago", "left"), [(1.0, 6.0), (6.5, 0.5), (9.0, 0.0)])
def test_a_writable_holder_looks_again_before_its_deadline(ago: float, left: float) -> None:
    late = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - ago))
    assert decide(late, SETTINGS).fence_in == left


def test_a_replica_has_no_deadline() -> None:
    assert decide(REPLICA, SETTINGS).fence_in is None


def test_a_member_looks_when_the_lease_runs_out_and_not_before() -> None:
    late = replace(REPLICA, lease=lease(OTHERS, renewed_at=None, changed_at=NOW - 9.75))
    assert decide(late, SETTINGS).look_in == pytest.approx(0.25)
    assert decide(REPLICA, SETTINGS).look_in == 2.0
    wary = replace(REPLICA, lease=lease(OTHERS, renewed_at=None, heard_at=NOW - 2.5))
    assert decide(wary, SETTINGS).look_in == 1.0


def test_the_holder_looks_when_the_next_renewal_is_due() -> None:
    soon = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - 1.5))
    assert decide(soon, SETTINGS).look_in == 0.5
    just_now = replace(LEADER, lease=lease(RECORD, renewed_at=NOW))
    assert decide(just_now, SETTINGS).look_in == 2.0
    not_made = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - 2.0))
    assert decide(not_made, SETTINGS).look_in == pytest.approx(0.2)


def test_the_holder_looks_more_often_while_new_connections_cannot_write() -> None:
    unwell = replace(LEADER, postgres=replace(WRITABLE, unwell_since=NOW - 1))
    assert decide(unwell, SETTINGS).look_in == pytest.approx(0.2)
    assert decide(replace(LEADER, postgres=DOWN), SETTINGS).look_in == 0.03
    assert decide(replace(REPLICA, postgres=DOWN), SETTINGS).look_in == 0.1


def test_a_holder_in_recovery_has_a_right_that_ends() -> None:
    taken = replace(LEADER, postgres=STREAMING, lease=lease(RECORD, renewed_at=NOW - 4))
    assert decide(taken, SETTINGS).authority_for == pytest.approx(3.0)
    assert decide(REPLICA, SETTINGS).authority_for is None


class TestAPrimaryThatShouldHandOver:
    """It asks all members at each look, so it looks often only while that can come to something."""

    UNWELL = replace(LEADER, postgres=replace(WRITABLE, unwell_since=NOW - 10))

    def test_asks_the_peers_first(self) -> None:
        assert decide(self.UNWELL, SETTINGS).asks_peers
        assert not decide(replace(self.UNWELL, peers=peer(1)), SETTINGS).asks_peers
        assert not decide(LEADER, SETTINGS).asks_peers

    def test_looks_often_while_another_member_can_take_over(self) -> None:
        assert decide(replace(self.UNWELL, peers=peer(1)), SETTINGS).look_in == 0.1

    @pytest.mark.parametrize("peers", [{}, peer(1, well=False), peer(1, reaches_api=False)])
    def test_looks_once_a_second_while_no_other_member_can(self, peers: dict[str, Peer]) -> None:
        alone = replace(self.UNWELL, peers=peers, lease=lease(RECORD, renewed_at=NOW))
        assert (decide(alone, SETTINGS).situation, decide(alone, SETTINGS).look_in) == (
            "Leading",
            1.0,
        )

    def test_looks_at_once_where_a_switchover_was_just_recorded(self) -> None:
        accepted = replace(LEADER, lease=lease(replace(RECORD, heir="orders-2")))
        assert decide(accepted, SETTINGS).look_in == 0.1

    def test_looks_most_often_while_its_server_stops(self) -> None:
        stopping = replace(DOWN, alive=True, has_written=True, unwell_since=NOW - 10)
        assert decide(replace(LEADER, postgres=stopping), SETTINGS).look_in == 0.03
