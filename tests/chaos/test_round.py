"""What a round does where a busy machine is in its way."""

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.chaos import round as rounds
from tests.chaos.link import LinkError, Row
from tests.chaos.record import PodSeen
from tests.chaos.round import Runner
from tests.chaos.strikes import Strike, _ready_when_it_went


class Asked(Runner):
    """One whose primary does not answer at first."""

    def __init__(self, failures: int) -> None:
        super().__init__(cast(Any, None), cast(Any, None), Path())
        self.failures = failures
        self.statements: list[str] = []

    def ask(self, statement: str, member: str | None = None) -> list[Row]:
        self.statements.append(statement)
        if self.failures and statement == "b":
            self.failures -= 1
            raise LinkError("timed out")
        return [(statement, member)]


def test_statements_that_are_not_answered_are_asked_from_the_first_on_again() -> None:
    runner = Asked(failures=2)
    assert runner.insist("a", "b") == [("b", None)]
    assert runner.statements == ["a", "b"] * 3


def test_a_primary_that_never_answers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_ANSWER_SECONDS", 0.0)
    with pytest.raises(LinkError, match="timed out"):
        Asked(failures=1000).insist("b")


def pod(at: float, name: str, *, ready: bool = True, terminating: bool = False) -> PodSeen:
    return PodSeen(at, name, "uid", "", ready, terminating, "", "")


def test_who_is_ready_when_another_is_evicted_is_not_judged_by_what_comes_after() -> None:
    seen = [
        pod(1, "a", terminating=True),
        pod(2, "a"),
        pod(2, "b"),
        pod(2, "c", ready=False),
        pod(11, "a", terminating=True),
        pod(12, "b", ready=False),
        pod(12, "c"),
    ]
    sampler = cast(Any, SimpleNamespace(pods=seen))
    strike = Strike(cast(Any, None), sampler, "a", ExitStack(), 0)
    assert _ready_when_it_went(strike, "a", began=10.0) == {"a", "b"}
