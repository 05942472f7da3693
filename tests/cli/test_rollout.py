"""A new template whose pods can't start is taken back."""

import pytest

from tests.cli.objects import causes, command, pod, said, waiting, waits, with_replica

UNDO = "rollout undo statefulset orders"


def rolled(replica, *more, **spec):
    """A set whose newest revision has got as far as this pod."""
    replica["metadata"]["labels"]["controller-revision-hash"] = "new"
    items = with_replica(replica, *more)
    items[0]["spec"] |= {"podManagementPolicy": "Parallel", **spec}
    items[0]["status"] = {"updateRevision": "new", "currentRevision": "old"}
    return items


def unschedulable():
    found = pod(1, "", ready=False)
    found["metadata"]["annotations"].pop("pgset.dev/status")
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    found["status"]["conditions"] = [{**condition, "message": "0/3 nodes are available"}]
    return found


@pytest.mark.parametrize(
    "reason", ["ImagePullBackOff", "CrashLoopBackOff", "CreateContainerConfigError"]
)
@pytest.mark.parametrize("container", ["postgres", "prepare", "pgset-bootstrap"])
def test_a_container_that_cannot_start(reason, container) -> None:
    assert command(*rolled(waiting(waits(), container, reason))) == UNDO


def test_a_pod_that_no_node_takes() -> None:
    (only,) = causes(*rolled(unschedulable()))
    assert "0/3 nodes are available" in only.sentence
    assert only.command.endswith(UNDO)


@pytest.mark.parametrize(
    "reason", ["CannotBootstrap", "SettingsRefused", "StartFailed", "NotComingUp"]
)
def test_a_postgresql_that_cannot_be_started(reason) -> None:
    assert command(*rolled(waits(), said(reason))) == UNDO


@pytest.mark.parametrize(
    "spec", [{"podManagementPolicy": "OrderedReady"}, {"updateStrategy": {"type": "OnDelete"}}]
)
def test_a_pod_that_kubernetes_does_not_replace_is_deleted(spec) -> None:
    failing = waiting(waits(), "postgres", "CrashLoopBackOff")
    deletes = f"{UNDO} && kubectl -n shop delete pod orders-1"
    assert command(*rolled(failing, **spec)) == deletes


def test_a_template_that_is_the_only_one_is_kept() -> None:
    items = rolled(waiting(waits(), "postgres", "CrashLoopBackOff"))
    items[0]["status"]["currentRevision"] = "new"
    assert "undo" not in command(*items)


def test_the_pods_of_the_template_before_are_not_its_fault() -> None:
    items = rolled(waiting(waits(), "postgres", "CrashLoopBackOff"))
    items[2]["metadata"]["labels"]["controller-revision-hash"] = "old"
    assert "undo" not in command(*items)


def test_the_sidecars_variables_are_the_templates_and_its_image_is_not() -> None:
    lacking = waiting(waits(), "pgset-sidecar", "CreateContainerConfigError")
    assert command(*rolled(lacking)) == UNDO
    failing = waiting(waits(), "pgset-sidecar", "ImagePullBackOff", "pgset:typo")
    assert command(*rolled(failing)) == "delete pod orders-1"


def test_what_passes_is_waited_for() -> None:
    assert "undo" not in command(*rolled(waiting(waits(), "postgres", "ContainerCreating")))
    assert "undo" not in command(*rolled(waits()))
