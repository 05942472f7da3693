"""Every fact, every row and every action is seen at work, or is named here with a reason."""

import functools
from dataclasses import fields
from pathlib import Path

import pytest

from tests.simulator import golden
from tests.simulator.completeness import (
    ACTIONS,
    ROWS,
    VIEWS,
    Spy,
    actions_that_were_begun,
    rows_that_decided,
)
from tests.simulator.member.parts import Parts
from tests.simulator.runner import run
from tests.simulator.seeds import from_seed
from tests.support.names_given import names_given

NEVER_SET = {
    "Leadership.since": "it is for people, and memory is given no clock of the day",
    "RefusedSetting.name": "the fakes have one setting that a standby refuses, for all of them",
    "RefusedSetting.value": "likewise, lowered to one value",
    "RefusedSetting.needed": "likewise, from one value",
    "BootstrapView.follows": "no set of the simulator is made of another server's standbys",
    "PostgresView.logical_slots": "the fakes have none: nothing is decided by them but an Event",
    "LeaseRecord.logical_slots": "likewise",
    "PostgresView.physical_slots": "likewise: the fakes have members' alone",
    "LeaseRecord.physical_slots": "likewise",
    "PostgresView.unsafe": "likewise: they keep what they have written",
    "Follower.replayed": "it is for people: nothing is decided by it",
    "Follower.seconds": "likewise",
    "Pod.problem": "it is for people: the annotation counts as if it were not there",
    "Pod.signs": "nobody decides by it: it is for who asks, and in the simulator nobody forges",
}
"""Fields of views, as Kind.field, that no schedule sets, each with a reason."""

NEVER_DECIDED: dict[str, str] = {}
"""Rows of the table that no transcript shows, each with a reason."""

NEVER_DONE: dict[str, str] = {}
"""Actions that no transcript shows, each with a reason."""

NEVER_DRAWN = {
    "LeaseView.released_after_fall": "an etcd is restored, and then a holder with a pledge leaves",
}
"""Fields that the first seeds with `world` do not set, each with a reason."""

_FACT_MISSING = (
    "{name} is never set in the simulator: set it in tests/simulator/member/ (directory_view.py "
    "for BootstrapView, views.py for PostgresView and Observation, watch.py for Pod), and record a "
    "schedule in tests/simulator/golden that has it; or name it in NEVER_SET with a reason"
)
_ROW_MISSING = (
    "no transcript in tests/simulator/golden shows the row {name}: record a schedule in which it "
    "decides, with a fault of its own in tests/simulator/faults if need be; or name it in "
    "NEVER_DECIDED with a reason"
)
_ACTION_MISSING = (
    "no transcript in tests/simulator/golden shows the action {name}: give it a function in "
    "tests/simulator/member/hands.py, and record a schedule in which it is carried out; or name it "
    "in NEVER_DONE with a reason"
)
_NOT_DRAWN = (
    "{name} is set in no seed: see that tests/simulator/member/ sets it, and that a fault which "
    "brings it about has a weight in tests/simulator/faults/registry.py; or name it in NEVER_DRAWN "
    "with a reason"
)


FACTS = [(kind, it.name) for kind in VIEWS for it in fields(kind)]

_GIVERS = ("tests/simulator", "sidecar/memory", "sidecar/postgres")
"""What makes the simulator's views: its own modules, and those of ours that it calls."""


@functools.cache
def given() -> frozenset[str]:
    """Return the names that the simulator's modules give values to."""
    root = Path(__file__).parents[2]
    sources = (
        path.read_text()
        for folder in _GIVERS
        for path in (root / folder).rglob("*.py")
        if not path.name.startswith("test_")
    )
    return frozenset(name for source in sources for name in names_given(source, VIEWS))


@pytest.fixture(scope="module")
def transcripts() -> list[str]:
    return [path.read_text() for path in golden.PATHS]


def test_each_row_of_the_table_decides_in_some_transcript(transcripts: list[str]) -> None:
    decided = set().union(*map(rows_that_decided, transcripts))
    assert _complaints(ROWS - decided, NEVER_DECIDED, _ROW_MISSING) == []


def test_each_action_is_carried_out_in_some_transcript(transcripts: list[str]) -> None:
    begun = set().union(*map(actions_that_were_begun, transcripts))
    assert _complaints(ACTIONS - begun, NEVER_DONE, _ACTION_MISSING) == []


@pytest.mark.parametrize(("kind", "field"), FACTS, ids=lambda it: getattr(it, "__name__", it))
def test_each_fact_is_given_a_value_by_the_simulator(kind: type, field: str) -> None:
    """The next test knows better, and takes seconds."""
    if (name := f"{kind.__name__}.{field}") not in NEVER_SET:
        assert field in given(), _FACT_MISSING.format(name=name)


@pytest.mark.thorough
def test_each_fact_is_set_in_some_transcript() -> None:
    assert _complaints(golden.unset(), NEVER_SET, _FACT_MISSING) == []


@pytest.mark.rarely
def test_seeds_set_each_fact_as_well() -> None:
    """What a fact needs is drawn, and not only written down for a transcript."""
    spy = Spy()
    for seed in range(120):
        run(from_seed(seed, world=True), Parts(decide=spy.decide))
    assert _complaints(spy.unset, NEVER_SET | NEVER_DRAWN, _NOT_DRAWN) == []


def test_each_view_is_looked_at() -> None:
    """The walk knows the views by their module, so a new one is walked, too."""
    assert {kind.__name__ for kind in VIEWS} >= {
        "Observation", "LeaseView", "LeaseRecord", "BootstrapView", "Failures", "PostgresView",
        "Follower", "Pod", "Peer", "Fork",
    }  # fmt: skip


def _complaints(missing: frozenset[str], excepted: dict[str, str], sentence: str) -> list[str]:
    """Return one sentence about each that is missing, and about each exception without a need."""
    return [
        *(sentence.format(name=name) for name in sorted(missing - excepted.keys())),
        *(
            f"{name} is an exception that is no longer needed: take it out of the list"
            for name in sorted(excepted.keys() - missing)
        ),
    ]
