"""What the API server refuses for a moment only is asked of it again."""

from pathlib import Path

import pytest

from deploy.demo import stage as stages
from deploy.demo.stage import Stage, StepFailedError

NOT_BEGUN = (
    'Internal error occurred: failed calling webhook "pods.pgset.dev": deadline exceeded',
    "Unable to connect to the server: net/http: TLS handshake timeout",
    "Error from server: error dialing backend: dial tcp 10.1.1.1:10250: i/o timeout",
)
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


@pytest.mark.parametrize("sentence", NOT_BEGUN, ids=["webhook", "API server", "kubelet"])
def test_who_did_not_answer_in_time_is_asked_again(stage: Stage, sentence: str) -> None:
    asked = refuses_once(stage, sentence)
    assert stage.ask("scale") == "done\n"
    assert asked.read_text() == "scale\n" * 2


def test_an_object_is_read_beside_what_kubectl_says_of_a_slow_server(stage: Stage) -> None:
    stage.kubectl.write_text("#!/bin/sh\necho 'Waited for 2 s' >&2\necho '{\"items\": []}'\n")
    stage.kubectl.chmod(0o755)
    assert stage.get("pods") == {"items": []}


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


def test_pods_are_gone_before_their_namespace_is_deleted(stage: Stage) -> None:
    asked = stage.workspace / "asked"
    stage.kubectl.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$*\" >> {asked}\n")
    stage.kubectl.chmod(0o755)
    stage.delete_namespace("shop", seconds=9)
    assert asked.read_text().splitlines() == [
        "-n shop delete deployments,statefulsets,pods --all --timeout=9s",
        "delete namespace shop --ignore-not-found --timeout=9s",
    ]
