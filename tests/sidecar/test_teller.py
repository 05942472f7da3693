"""What is told of a new primary, on its pod and on its StatefulSet, and of what keeps failing."""

from dataclasses import replace
from typing import Any

from sidecar import contract
from sidecar.decide import decide
from sidecar.observation import LeaseRecord, Observation
from sidecar.teller import Teller
from tests.sidecar.rules.observations import (
    FREE,
    LEADER,
    ME,
    NOW,
    REPLICA,
    SETTINGS,
    STREAMING,
    lease,
    peer,
)
from tests.support.waiting import wait_until

STATEFULSET = {"kind": "StatefulSet", "name": "orders"}


class Api:
    """Takes what is written; `about`: what an Event of the set involves."""

    def __init__(self, about: dict[str, str] | None = STATEFULSET) -> None:
        self.about = about
        self.told: list[tuple[str, str, Any]] = []

    def statefulset(self) -> dict[str, str] | None:
        return self.about

    def tell(self, *_: Any) -> None:
        pass

    def record(self, reason: str, sentence: str, _: Any, about: Any = None) -> None:
        self.told.append((reason, sentence, about))


def told(api: Api, *looks: Observation) -> list[str]:
    """Return the sentences of the Events about the set."""
    teller = Teller(ME, api, api)  # type: ignore[arg-type]
    for seen in looks:
        teller.tell(decide(seen, SETTINGS), None, NOW)
    last = looks[-1]
    teller._put("TheLast", "", decide(last, SETTINGS).attention.NORMAL)
    teller.start()
    wait_until(lambda: api.told[-1:] == [("TheLast", "", None)], "all to be written")
    return [sentence for _, sentence, about in api.told if about is STATEFULSET]


def vacant(record: LeaseRecord = FREE) -> Observation:
    return replace(REPLICA, lease=lease(record, renewed_at=None), peers=peer(2, position=4000))


PROMOTING = replace(LEADER, postgres=replace(STREAMING, streaming=False))


def test_a_new_primary_is_told_on_the_set_once_and_why_it_is_one() -> None:
    assert told(Api(), REPLICA, vacant(), PROMOTING, LEADER, PROMOTING, LEADER) == [
        "orders-0 is primary now (TakingLease: nobody leads: taking the Lease)"
    ]
    heir = replace(FREE, heir="orders-0", history=())
    (sentence,) = told(Api(), vacant(heir), LEADER)
    assert "(Succeeding: " in sentence
    assert "handed the Lease to this member" in sentence


def test_the_pods_own_events_stay_as_they_are() -> None:
    api = Api()
    told(api, vacant(), LEADER)
    on_pod = [reason for reason, _, about in api.told if about is None]
    assert on_pod == ["Leading", "TheLast"]


def test_a_primary_whose_sidecar_restarts_is_no_new_one() -> None:
    assert told(Api(), PROMOTING, LEADER) == []


def test_a_set_that_was_not_read_is_told_nothing() -> None:
    assert told(Api(None), vacant(), LEADER) == []


def problems(*seen: tuple[float, str | None]) -> list[tuple[str, str]]:
    """Return the Events about problems; `seen`: seconds, and what the loop has to tell then."""
    api = Api()
    teller = Teller(ME, api, api)  # type: ignore[arg-type]
    for at, problem in seen:
        teller.tell(decide(LEADER, SETTINGS), problem, at)
    teller._put("TheLast", "", decide(LEADER, SETTINGS).attention.NORMAL)
    teller.start()
    wait_until(lambda: api.told[-1:] == [("TheLast", "", None)], "all to be written")
    return [(reason, sentence) for reason, sentence, _ in api.told if "Problem" in reason]


WARNED = ("LeadingProblem", "it lets nobody in")
BAD = [(0.0, "it lets nobody in"), (10.0, "it lets nobody in")]


def test_a_problem_that_was_warned_of_is_told_when_it_is_over() -> None:
    over = (contract.PROBLEM_OVER, "this is over: it lets nobody in")
    assert problems(*BAD, (11.0, None), (21.0, None), (40.0, None)) == [WARNED, over]


def test_a_problem_that_comes_and_goes_is_not_over() -> None:
    comes_again = [*BAD, (11.0, None), (20.0, "it lets nobody in"), (29.0, None), (38.0, None)]
    assert problems(*comes_again) == [WARNED]


def test_a_problem_that_nobody_was_warned_of_has_no_end() -> None:
    assert problems((0.0, "it starts"), (5.0, "it starts"), (6.0, None), (30.0, None)) == []
