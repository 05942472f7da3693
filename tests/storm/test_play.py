"""The parts of a storm that need no cluster: what its clients note, and how faults are undone."""

import io
import json
import threading

import pytest

from tests.chaos import client
from tests.chaos.api import ApiError
from tests.chaos.client import WrongAnswerError
from tests.storm.play import Patient


def test_a_wrong_answer_is_noted_with_who_gave_it() -> None:
    log, stopping = io.StringIO(), threading.Event()

    def read(_: int) -> str | None:
        stopping.set()
        raise WrongAnswerError("10.0.0.1", "the sum is 99999, and not 100000")

    client.play("reader-primary", read, 0.0, log, stopping)
    noted = json.loads(log.getvalue())
    assert (noted["by"], noted["error"]) == ("10.0.0.1", "the sum is 99999, and not 100000")


def test_a_fault_is_taken_away_when_the_api_server_answers_again() -> None:
    undone: list[int] = []

    def undo(replicas: int) -> None:
        undone.append(replicas)
        if len(undone) < 3:
            raise ApiError("no answer")

    with Patient() as stack:
        stack.pause = 0.0
        stack.callback(undo, 3)
    assert undone == [3, 3, 3]


def test_what_cannot_be_undone_for_another_reason_is_told_at_once() -> None:
    undone: list[int] = []

    def undo() -> None:
        undone.append(1)
        raise OSError("no space left")

    stack = Patient()
    stack.callback(undo)
    with pytest.raises(OSError, match="no space left"):
        stack.close()
    assert undone == [1]
