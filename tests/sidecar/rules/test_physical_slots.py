"""Physical replication slots that are no member's: a new primary names those that it lacks."""

from dataclasses import replace

import pytest

from sidecar.action import RenewLease, TellSet
from sidecar.decide import decide
from sidecar.kube.lease_record import read_record, with_record
from sidecar.observation import Observation
from tests.sidecar.rules.observations import LEADER, NOW, RECORD, SETTINGS, WRITABLE, lease

HAD = replace(RECORD, physical_slots=("barman", "outside"))
PROMOTED = replace(LEADER, lease=lease(HAD), postgres=replace(WRITABLE, timeline=2))


def told(observation: Observation) -> list[TellSet]:
    return [each for each in decide(observation, SETTINGS).actions if isinstance(each, TellSet)]


def recorded(observation: Observation) -> tuple[str, ...]:
    (renewal,) = (a for a in decide(observation, SETTINGS).actions if isinstance(a, RenewLease))
    return renewal.physical_slots


def test_a_new_primary_names_those_that_it_lacks_and_records_its_own() -> None:
    has_one = replace(PROMOTED, postgres=replace(PROMOTED.postgres, physical_slots=("barman",)))
    (lost,) = told(has_one)
    assert lost.reason == "PhysicalSlotsLost"
    assert "lacks physical replication slots that the former one had: outside. " in lost.sentence
    assert recorded(has_one) == ("barman",)


def test_both_kinds_may_be_lost_at_once() -> None:
    both = replace(PROMOTED, lease=lease(replace(HAD, logical_slots=("feed",))))
    assert [it.reason for it in told(both)] == ["LogicalSlotsLost", "PhysicalSlotsLost"]


@pytest.mark.parametrize(
    "at_ease",
    [
        replace(PROMOTED, lease=lease(replace(HAD, timeline=2))),
        replace(PROMOTED, lease=lease(replace(HAD, physical_slots=()))),
        replace(PROMOTED, postgres=replace(PROMOTED.postgres, physical_slots=HAD.physical_slots)),
        replace(PROMOTED, postgres=replace(PROMOTED.postgres, blind=True)),
    ],
    ids=["it was told before", "there were none", "it has them", "it cannot look"],
)
def test_else_nothing_is_told(at_ease: Observation) -> None:
    assert told(at_ease) == []


def test_a_primary_that_cannot_look_leaves_the_record_as_it_is() -> None:
    blind = replace(LEADER, lease=lease(HAD, renewed_at=NOW - 2))
    blind = replace(blind, postgres=replace(WRITABLE, blind=True))
    assert recorded(blind) == HAD.physical_slots


def test_the_lease_keeps_them() -> None:
    empty = {"metadata": {"name": "pgset-orders", "resourceVersion": "7"}}
    assert read_record(with_record(empty, HAD)).physical_slots == HAD.physical_slots
    assert read_record(with_record(empty, RECORD)).physical_slots == ()
