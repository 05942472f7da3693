"""Logical replication slots are recorded, and a new primary names those that it lacks."""

from dataclasses import replace

import pytest

from sidecar.action import KeepSlots, RenewLease, TellSet
from sidecar.decide import decide
from sidecar.kube.lease_record import read_record, with_record
from sidecar.observation import Leadership, LeaseRecord, Observation
from tests.sidecar.rules.observations import (
    LEADER,
    NEWER,
    NOW,
    RECORD,
    REPLICA,
    SETTINGS,
    STREAMING,
    WRITABLE,
    lease,
)

HAD = replace(RECORD, logical_slots=("audit", "feed"))
PROMOTED = replace(LEADER, lease=lease(HAD), postgres=replace(WRITABLE, timeline=2))


def told(observation: Observation) -> list[str]:
    actions = decide(observation, SETTINGS).actions
    return [each.sentence for each in actions if isinstance(each, TellSet)]


def recorded(observation: Observation) -> tuple[str, ...]:
    (renewal,) = (a for a in decide(observation, SETTINGS).actions if isinstance(a, RenewLease))
    return renewal.logical_slots


def test_a_new_primary_names_those_that_it_lacks_and_records_its_own() -> None:
    has_one = replace(PROMOTED, postgres=replace(PROMOTED.postgres, logical_slots=("feed",)))
    (sentence,) = told(has_one)
    assert "lacks logical replication slots that the former one had: audit. " in sentence
    assert recorded(has_one) == ("feed",)
    (of_both,) = told(PROMOTED)
    assert "had: audit, feed. " in of_both


@pytest.mark.parametrize(
    "at_ease",
    [
        replace(PROMOTED, lease=lease(replace(HAD, timeline=2))),
        replace(PROMOTED, lease=lease(replace(HAD, logical_slots=()))),
        replace(PROMOTED, postgres=replace(PROMOTED.postgres, logical_slots=HAD.logical_slots)),
        replace(PROMOTED, postgres=replace(PROMOTED.postgres, blind=True)),
    ],
    ids=["it was told before", "there were none", "it has them", "it cannot look"],
)
def test_else_nothing_is_told(at_ease: Observation) -> None:
    assert told(at_ease) == []


def test_a_slot_that_somebody_drops_is_taken_off_the_record_and_not_told_of() -> None:
    due = replace(LEADER, lease=lease(HAD, renewed_at=NOW - 2))
    assert (told(due), recorded(due)) == ([], ())


def test_a_primary_that_cannot_look_leaves_the_record_as_it_is() -> None:
    blind = replace(LEADER, lease=lease(HAD, renewed_at=NOW - 2))
    blind = replace(blind, postgres=replace(WRITABLE, blind=True))
    assert recorded(blind) == HAD.logical_slots


def test_a_slot_that_comes_or_goes_is_no_reason_to_renew_at_once() -> None:
    assert decide(replace(LEADER, lease=lease(HAD)), SETTINGS).actions == ()


def test_a_former_primary_drops_only_what_its_primary_has_as_well() -> None:
    """PostgreSQL copies no slot over one of its name; one that nobody else has may be needed."""
    led = replace(
        NEWER,
        history=(*RECORD.history, Leadership(2, "orders-1", "2026-01-02T00:00:00Z")),
        logical_slots=("feed",),
    )
    former = replace(STREAMING, timeline=2, logical_slots=("audit", "feed"))
    seen = replace(REPLICA, lease=lease(led, renewed_at=None), postgres=former)
    assert decide(seen, SETTINGS).actions == (KeepSlots((), ("feed",)),)
    without = replace(seen, lease=lease(replace(led, logical_slots=()), renewed_at=None))
    assert decide(without, SETTINGS).actions == ()
    not_yet = replace(NEWER, logical_slots=("audit", "feed"))
    unrecorded = replace(seen, lease=lease(not_yet, renewed_at=None))
    assert decide(unrecorded, SETTINGS).actions == ()


def test_the_lease_keeps_them() -> None:
    empty = {"metadata": {"name": "pgset-orders", "resourceVersion": "7"}}

    def through_the_api(record: LeaseRecord) -> LeaseRecord:
        return read_record(with_record(empty, record))

    assert through_the_api(HAD).logical_slots == HAD.logical_slots
    assert through_the_api(RECORD).logical_slots == ()
