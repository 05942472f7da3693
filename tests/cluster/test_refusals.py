"""What must not be overwritten or let in: the pod says so in an Event and in /status."""

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo import manifests
from deploy.demo.stage import NAMESPACE, Stage, StepFailedError
from deploy.demo.steps import install, is_ready, roles

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="demo-1")]

SET = "refused"
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "pgset", "namespace": NAMESPACE},
    "stringData": {"password": "change-me"},
}
ACCOUNT = {
    "apiVersion": "v1",
    "kind": "ServiceAccount",
    "metadata": {"name": "pgset-sa", "namespace": NAMESPACE},
}

Change = dict[str, Any]


@pytest.fixture(scope="module")
def namespace(stage: Stage) -> Stage:
    install(stage)
    stage.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            SECRET,
            ACCOUNT,
        ]
    )
    stage.ask("apply", "-k", str(manifests.grant(stage)))
    return stage


@pytest.fixture
def database(namespace: Stage) -> Iterator[Stage]:
    """A single-node database `refused`, running and opted in."""
    apply(namespace)
    namespace.wait(lambda: roles(namespace, SET) == {f"{SET}-0": "primary"}, "the primary")
    yield namespace
    remove(namespace)


def statefulset(stage: Stage, **annotations: str) -> dict[str, Any]:
    *_, made = manifests.legacy(stage, name=SET)
    made["metadata"]["annotations"] = {
        f"pgset.dev/{key.replace('_', '-')}": value
        for key, value in ({"enabled": "true"} | annotations).items()
    }
    return made


def apply(stage: Stage, made: dict[str, Any] | None = None) -> None:
    *others, _ = manifests.legacy(stage, name=SET)
    stage.apply([*others, made or statefulset(stage)])


def remove(stage: Stage) -> None:
    stage.ask("-n", NAMESPACE, "delete", "statefulset", SET, "--ignore-not-found")
    stage.wait(lambda: not stage.get("pods", "-l", f"app={SET}")["items"], "no pod")
    stage.ask("-n", NAMESPACE, "delete", "pvc", "-l", f"app={SET}")
    stage.ask("-n", NAMESPACE, "delete", "lease", f"pgset-{SET}", "--ignore-not-found")
    for ordinal in range(3):
        stage.ask("delete", "pv", f"{NAMESPACE}-{SET}-{ordinal}", "--ignore-not-found")
    shutil.rmtree(f"{stage.folder}/{NAMESPACE}-{SET}-0", ignore_errors=True)


def status(stage: Stage, pod: str = f"{SET}-0") -> dict[str, Any]:
    """Return what the pod's sidecar says of itself under /status, whatever the code."""
    script = (
        "import urllib.request, urllib.error, sys\n"
        "try: body = urllib.request.urlopen('http://127.0.0.1:8008/status').read()\n"
        "except urllib.error.HTTPError as error: body = error.read()\n"
        "sys.stdout.buffer.write(body)"
    )
    words = ("exec", pod, "-c", "pgset-sidecar", "--", "python", "-c", script)
    answer: dict[str, Any] = json.loads(stage.ask("-n", NAMESPACE, *words))["pgset"]
    return answer


def events(stage: Stage, pod: str, reason: str) -> list[str]:
    selector = f"involvedObject.name={pod},reason={reason}"
    found = stage.get("events", "--field-selector", selector)["items"]
    return [event["message"] for event in found]


def wait_for_event(stage: Stage, reason: str, part: str) -> None:
    def is_told() -> bool:
        return any(part in message for message in events(stage, f"{SET}-0", reason))

    stage.wait(is_told, f"an Event {reason} with “{part}”")


def test_a_wrong_uid_is_told_and_nothing_is_written(namespace: Stage) -> None:
    try:
        apply(namespace, statefulset(namespace, uid="70"))
        advice = 'set the annotation pgset.dev/uid to "999"'
        wait_for_event(namespace, "CannotBootstrap", advice)
        namespace.wait(lambda: advice in status(namespace)["sentence"], "the same under /status")
        # It may not look, so nobody is told that the directory is empty.
        assert status(namespace)["data"] is None
        assert not is_ready(namespace, f"{SET}-0")
    finally:
        remove(namespace)


def test_a_wrong_password_is_told_and_takes_nobody_down(database: Stage) -> None:
    """The server asks for one even on loopback; the new Secret has another."""
    lines = "local all all trust\\nhost all all all scram-sha-256\\n"
    in_database = ("exec", f"{SET}-0", "-c", "postgres", "--")
    database.ask(
        "-n", NAMESPACE, *in_database,
        "sh", "-c", f"printf '{lines}' > $PGDATA/pg_hba.conf; chown postgres $PGDATA/pg_hba.conf",
    )  # fmt: skip
    other = {"name": "POSTGRES_PASSWORD", "value": "forgotten"}
    made = statefulset(database)
    made["spec"]["template"]["spec"]["containers"][0]["env"][0] = other
    apply(database, made)
    wait_for_event(database, "LeadingProblem", "password authentication failed")
    told = "password authentication failed"
    database.wait(lambda: told in (status(database)["problem"] or ""), "the same under /status")
    # It answers, and so it goes on: what it was told without a connection is to lead.
    database.wait(lambda: roles(database, SET) == {f"{SET}-0": "primary"}, "the primary")


def test_data_of_another_set_is_refused_and_left_as_it_was(database: Stage) -> None:
    """As when a claim is bound to the wrong volume: the Lease knows another system identifier."""
    database.ask("-n", NAMESPACE, "delete", "statefulset", SET)
    database.wait(lambda: not database.get("pods", "-l", f"app={SET}")["items"], "no pod")
    mine = database.get("lease", f"pgset-{SET}")["metadata"]["annotations"]
    identifier = mine["pgset.dev/system-identifier"]
    database.ask(
        "-n", NAMESPACE, "annotate", "lease", f"pgset-{SET}", "--overwrite",
        "pgset.dev/system-identifier=7000000000000000001",
    )  # fmt: skip
    apply(database)
    wait_for_event(database, "DataOfAnotherSet", identifier)
    told = "this set's is 7000000000000000001"
    database.wait(lambda: told in status(database)["sentence"], "the same under /status")
    assert status(database)["system_identifier"] == identifier
    assert not is_ready(database, f"{SET}-0")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"annotations": {"pgset.dev/ttl": "soon"}}, 'annotation pgset.dev/ttl: "soon"'),
        ({"annotations": {"pgset.dev/tll": "10s"}}, "pgset.dev/tll"),
        ({"annotations": {"pgset.dev/container": "db"}}, '"db"'),
        ({"selector": {"pgset.dev/role": "primary"}}, "pgset.dev/role"),
    ],
    ids=["bad value", "unknown key", "no such container", "role in the selector"],
)
def test_bad_input_is_denied(namespace: Stage, change: Change, sentence: str) -> None:
    made = statefulset(namespace)
    made["metadata"]["name"] = "denied"
    made["metadata"]["annotations"] |= change.get("annotations", {})
    made["spec"]["selector"]["matchLabels"] |= change.get("selector", {})
    made["spec"]["template"]["metadata"]["labels"] |= change.get("selector", {})
    with pytest.raises(StepFailedError) as denied:
        namespace.apply(made)
    assert sentence in str(denied.value)
    assert "denied the request" in str(denied.value)
    assert namespace.get("statefulsets", "--field-selector", "metadata.name=denied")["items"] == []


def test_a_pod_without_an_ordinal_is_denied(namespace: Stage) -> None:
    pod = manifests.plain_pod(namespace)
    pod["metadata"]["labels"]["pgset.dev/set"] = SET
    with pytest.raises(StepFailedError, match="ordinal"):
        namespace.apply(pod)
