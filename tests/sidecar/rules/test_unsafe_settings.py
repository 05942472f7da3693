"""A primary whose settings let a crash damage its data: the operator is told, once."""

from dataclasses import replace

from sidecar.action import TellSet
from sidecar.decide import decide
from sidecar.observation import Observation
from tests.sidecar.rules.observations import LEADER, RECORD, SETTINGS, WRITABLE, lease

NEW = replace(
    LEADER,
    lease=lease(replace(RECORD, timeline=None, history=())),
    postgres=replace(WRITABLE, timeline=1, unsafe=("fsync", "full_page_writes")),
)


def told(observation: Observation) -> list[str]:
    actions = decide(observation, SETTINGS).actions
    return [it.sentence for it in actions if isinstance(it, TellSet)]


def test_a_database_without_fsync_is_told_of_as_it_begins_to_lead() -> None:
    (sentence,) = told(NEW)
    assert sentence.startswith("this primary runs with fsync and full_page_writes off: after a")
    assert told(replace(NEW, postgres=replace(NEW.postgres, unsafe=()))) == []


def test_it_is_not_told_of_again_while_it_leads() -> None:
    assert told(replace(NEW, lease=lease(RECORD))) == []


def test_standbys_of_the_operators_that_commits_wait_for_are_told_of() -> None:
    """The set's own members have other names."""
    named = replace(NEW, postgres=replace(NEW.postgres, unsafe=("synchronous_standby_names",)))
    (sentence,) = told(named)
    assert "every commit hangs" in sentence
    assert told(replace(named, lease=lease(RECORD))) == []
    waits = replace(SETTINGS, durability="sync")
    assert not any(isinstance(it, TellSet) for it in decide(named, waits).actions)
