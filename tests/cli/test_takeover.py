"""What a new primary tells on its StatefulSet, once, doctor tells as long as that is there."""

import ast
import shlex
from pathlib import Path

import pytest

from cli import takeover
from tests.cli.objects import causes, command, event, healthy

ROOT = Path(__file__).parents[2]

SHOWN_OTHERWISE = {
    "LeftAlone": "the pod is no member",
    "ChoosingDatabase": "the other pods are no members",
    "FailingOver": "somebody has asked for it, and it is done",
}


def told(reason: str, at: str = "2026-11-29T12:00:05Z"):
    return event("StatefulSet", "orders", reason, "the slots a", lastTimestamp=at)


def test_every_reason_of_the_sidecars_events_on_the_set_is_known() -> None:
    reasons = {
        ast.literal_eval(node.args[0])
        for module in (ROOT / "sidecar/table").glob("*.py")
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "TellSet"
    }
    assert reasons == {*takeover.STATEMENTS, *SHOWN_OTHERWISE}


@pytest.mark.parametrize("reason", takeover.STATEMENTS)
def test_it_is_told_with_its_time_and_a_command_on_the_primary(reason) -> None:
    (only,) = causes(*healthy(), told(reason))
    assert only.sentence == "told at 12:00 UTC, as orders-0 began to lead: the slots a"
    words = shlex.split(command(*healthy(), told(reason)))
    assert words[:7] == ["exec", "orders-0", "-c", "postgres", "--", "sh", "-c"]
    for statement in takeover.STATEMENTS[reason]:
        assert statement in shlex.split(words[7])


@pytest.mark.parametrize("reason", takeover.STATEMENTS)
def test_of_an_earlier_takeover_nothing_is_told(reason) -> None:
    assert causes(*healthy(), told(reason, at="2026-11-29T11:50:00Z")) == ()
