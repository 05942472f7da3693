"""What the API server refuses for a moment only is asked of it again."""

from pathlib import Path

import pytest

from deploy.demo import stage as stages
from deploy.demo.stage import Stage, StepFailedError

TOOK_LONG = 'Internal error occurred: failed calling webhook "pods.pgset.dev": deadline exceeded'
THERE = 'Error from server (AlreadyExists): namespaces "pgset-system" already exists'
DENIED = 'admission webhook "pods.pgset.dev" denied the request: no'


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(stages, "_POLL_SECONDS", 0.0)
    return Stage(tmp_path / "kubectl", None, None, None, str(tmp_path), tmp_path)


def refuses_once(stage: Stage, sentence: str) -> Path:
    """Let kubectl fail so the first time; return where it notes each time."""
    asked = stage.workspace / "asked"
    stage.kubectl.write_text(
        f"#!/bin/sh\necho \"$@\" >> {asked}\n[ $(wc -l < {asked}) -gt 1 ] || {{ echo '{sentence}'; "
        "exit 1; }\necho done\n"
    )
    stage.kubectl.chmod(0o755)
    return asked


def test_a_webhook_that_did_not_answer_in_time_is_asked_again(stage: Stage) -> None:
    asked = refuses_once(stage, TOOK_LONG)
    assert stage.ask("scale") == "done\n"
    assert asked.read_text() == "scale\n" * 2


def test_what_is_denied_is_not_asked_again(stage: Stage) -> None:
    asked = refuses_once(stage, DENIED)
    with pytest.raises(StepFailedError, match="denied the request"):
        stage.ask("scale")
    assert asked.read_text() == "scale\n"


def test_what_another_has_made_meanwhile_is_applied_again(stage: Stage) -> None:
    refuses_once(stage, THERE)
    assert stage.apply_folder(stage.workspace) == "done\n"


def test_a_question_that_failed_is_asked_again(stage: Stage) -> None:
    refuses_once(stage, "connection refused")
    stage.wait(lambda: stage.ask("get") == "done\n", "an answer")
