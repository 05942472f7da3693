"""When a member looks again, and until when it may act."""

from dataclasses import replace

import pytest

from sidecar.decide import seconds_of_right, seconds_to_fence, seconds_to_look
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
)


@pytest.mark.parametrize(("ago", "left"), [(1.0, 6.0), (6.5, 0.5), (9.0, 0.0)])
def test_a_writable_holder_looks_again_before_its_deadline(ago: float, left: float) -> None:
    late = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - ago))
    assert seconds_to_fence(late, SETTINGS) == left


def test_a_replica_has_no_deadline() -> None:
    assert seconds_to_fence(REPLICA, SETTINGS) is None


def test_a_member_looks_when_the_lease_runs_out_and_not_before() -> None:
    late = replace(REPLICA, lease=lease(OTHERS, renewed_at=None, changed_at=NOW - 9.75))
    assert seconds_to_look(late, SETTINGS) == pytest.approx(0.25)
    assert seconds_to_look(REPLICA, SETTINGS) == 2.0
    wary = replace(REPLICA, lease=lease(OTHERS, renewed_at=None, heard_at=NOW - 2.5))
    assert seconds_to_look(wary, SETTINGS) == 1.0


def test_the_holder_looks_when_the_next_renewal_is_due() -> None:
    soon = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - 1.5))
    assert seconds_to_look(soon, SETTINGS) == 0.5
    just_now = replace(LEADER, lease=lease(RECORD, renewed_at=NOW))
    assert seconds_to_look(just_now, SETTINGS) == 2.0
    not_made = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - 2.0))
    assert seconds_to_look(not_made, SETTINGS) == pytest.approx(0.2)


def test_the_holder_looks_more_often_while_new_connections_cannot_write() -> None:
    unwell = replace(LEADER, postgres=replace(WRITABLE, unwell_since=NOW - 1))
    assert seconds_to_look(unwell, SETTINGS) == pytest.approx(0.2)
    assert seconds_to_look(replace(LEADER, postgres=DOWN), SETTINGS) == 0.03
    assert seconds_to_look(replace(REPLICA, postgres=DOWN), SETTINGS) == 0.1


def test_a_holder_in_recovery_has_a_right_that_ends() -> None:
    taken = replace(LEADER, postgres=STREAMING, lease=lease(RECORD, renewed_at=NOW - 4))
    assert seconds_of_right(taken, SETTINGS) == pytest.approx(3.0)
    assert seconds_of_right(REPLICA, SETTINGS) is None
