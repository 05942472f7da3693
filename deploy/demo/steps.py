"""The steps of the walk-through, in their order; each shows something and checks it."""

import re
import time
from collections.abc import Callable
from typing import Any, Final

from deploy.demo import manifests
from deploy.demo.stage import NAMESPACE, SYSTEM, Stage, StepFailedError

ROWS: Final = 1_000_000
LEGACY: Final = "legacy"
WEBHOOK_REPLICAS: Final = 2


def install(stage: Stage) -> None:
    """kubectl apply -k deploy: two webhook replicas that make their own certificates"""
    began = time.monotonic()
    folder = manifests.install(stage)
    output = stage.apply_folder(folder)
    stage.show("kubectl apply -k deploy", output)
    stage.ask("-n", SYSTEM, "rollout", "status", "deployment/pgset-webhook", "--timeout=600s")
    stage.measured("pgset installed, two webhook replicas ready", time.monotonic() - began)
    # A replica of an earlier roll-out may still answer on its old connections and count.
    stage.wait(lambda: len(webhook_pods(stage)) == WEBHOOK_REPLICAS, "old replicas to be gone")
    stage.do("get", "pods", namespace=SYSTEM)


def create_the_set(stage: Stage) -> None:
    """A stock PostgreSQL StatefulSet, plus one annotation: the article's example"""
    stage.ask("create", "namespace", NAMESPACE)
    stage.show(
        "kubectl apply -k deploy/grant", stage.ask("apply", "-k", str(manifests.grant(stage)))
    )
    example = manifests.example(stage)
    began = time.monotonic()
    stage.show("kubectl apply -k deploy/examples/pgset", stage.ask("apply", "-k", str(example)))
    stage.wait(lambda: roles(stage) == {"pgset-0": "primary", "pgset-1": "replica"}, "two members")
    stage.measured("from kubectl apply to two ready members", time.monotonic() - began)
    stage.do("get", "pods", "-L", "pgset.dev/role")
    stage.apply(manifests.client(stage))
    stage.ask("-n", NAMESPACE, "wait", "--for=condition=Ready", "pod/client", "--timeout=360s")
    for service in ("pgset-primary", "pgset-replica"):
        wait_for_service(stage, service)


def one_replica_streams(stage: Stage) -> None:
    """psql through the primary's Service shows one streaming replica"""
    stage.wait(lambda: streaming(stage, "pgset-primary") == ["pgset-1"], "pgset-1 to stream")
    output = stage.psql(
        "pgset-primary", "select application_name, state, sync_state from pg_stat_replication"
    )
    _expect(re.findall(r"(pgset-\d+) +\| streaming", output), ["pgset-1"], "streaming replicas")


def replicas_are_read_only(stage: Stage) -> None:
    """psql through the replicas' Service refuses to write"""
    output = stage.psql_refused("pgset-replica", "create table foo (id int)")
    _expect("read-only transaction" in output, True, output)


def scale_to_three(stage: Stage) -> None:
    """kubectl scale adds a third member, which clones itself and streams"""
    began = time.monotonic()
    stage.do("scale", "statefulset", "pgset", "--replicas=3")
    wanted = {"pgset-0": "primary", "pgset-1": "replica", "pgset-2": "replica"}
    stage.wait(lambda: roles(stage) == wanted, "three members")
    stage.measured("scaled from two to three ready members", time.monotonic() - began)
    both = ["pgset-1", "pgset-2"]
    stage.wait(lambda: streaming(stage, "pgset-primary") == both, "both replicas to stream")
    stage.do("get", "pods", "-L", "pgset.dev/role", "-o", "wide")


def shared_volume(stage: Stage) -> None:
    """The shared volume holds one sub-directory a member"""
    output = stage.do("exec", "client", "--", "ls", "/shared")
    _expect(output.split(), ["pgset-0", "pgset-1", "pgset-2"], "sub-directories")


def a_row_outlives_its_pod(stage: Stage) -> None:
    """A deleted replica comes back and streams; what was written before is on every replica"""
    stage.psql("pgset-primary", "create table foo (id int); insert into foo values (42)")
    before = uid(stage, "pgset-1")
    stage.do("delete", "pod", "pgset-1", "--wait=false")
    stage.wait(lambda: uid(stage, "pgset-1") not in (before, None), "a new pgset-1")
    seconds = stage.wait(
        lambda: (
            roles(stage).get("pgset-1") == "replica"
            and streaming(stage, "pgset-primary") == ["pgset-1", "pgset-2"]
        ),
        "pgset-1 to stream again",
    )
    stage.measured("a new pgset-1 streams again", seconds)
    for host in ("pgset-1.pgset", "pgset-2.pgset"):
        _wait_for_row(stage, host)
        output = stage.psql(host, "select id, pg_is_in_recovery() from foo")
        _expect(re.findall(r"42 \| t", output), ["42 | t"], f"the row on {host}")


def data_outlives_the_statefulset(stage: Stage) -> None:
    """Delete the StatefulSet, create it again: the data is there, and one member leads"""
    stage.do("delete", "statefulset", "pgset", "--wait=true")
    stage.wait(lambda: not members(stage, "pgset"), "all members to be gone")
    began = time.monotonic()
    stage.show(
        "kubectl apply -k deploy/examples/pgset",
        stage.ask("apply", "-k", str(manifests.example(stage))),
    )
    stage.wait(lambda: sorted(roles(stage).values()) == ["primary", "replica"], "two members")
    stage.measured("the re-created set is ready", time.monotonic() - began)
    for service in ("pgset-primary", "pgset-replica"):
        _wait_for_row(stage, service)
        output = stage.psql(service, "select id from foo")
        _expect(re.findall(r"\b42\b", output), ["42"], f"the row through {service}")
    lease = stage.get("lease", "pgset-pgset")
    stage.say(f"the Lease remembers: {lease['metadata']['annotations']['pgset.dev/history']}")


def others_are_left_alone(stage: Stage) -> None:
    """A StatefulSet and a Pod without the annotation never reach the webhook"""
    before = requests_to_webhook(stage)
    plain = manifests.plain_pod(stage)
    stage.apply([plain, *manifests.legacy(stage)])
    stage.wait(lambda: is_ready(stage, f"{LEGACY}-0") and is_ready(stage, "plain"), "both to run")
    after = requests_to_webhook(stage)
    stage.say(f"requests that reached the webhook before: {before:.0f}, after: {after:.0f}")
    _expect(after, before, "requests to the webhook")
    for name in ("plain", f"{LEGACY}-0"):
        pod = stage.get("pod", name)
        names = [container["name"] for container in pod["spec"]["containers"]]
        stage.say(f"{name} has containers {names} and no init container")
        _expect("initContainers" in pod["spec"], False, f"init containers of {name}")
        _expect(_ours(pod), [], f"labels and annotations of {name}")


def adopt_a_database(stage: Stage) -> None:
    """The annotation on a running database of a million rows, then kubectl scale"""
    address = pod_ip(stage, f"{LEGACY}-0")
    wait_for_service(stage, address)
    stage.psql(address, f"create table bar as select generate_series(1, {ROWS}) as id")
    began = time.monotonic()
    stage.do("annotate", "statefulset", LEGACY, "pgset.dev/enabled=true")
    stage.wait(lambda: roles(stage, LEGACY) == {f"{LEGACY}-0": "primary"}, "the adopted primary")
    stage.measured("from the annotation to a ready primary", time.monotonic() - began)
    wait_for_service(stage, f"{LEGACY}-primary")
    _expect(stage.query(f"{LEGACY}-primary", "select count(*) from bar"), str(ROWS), "rows")
    began = time.monotonic()
    stage.do("scale", "statefulset", LEGACY, "--replicas=3")
    wanted = {f"{LEGACY}-0": "primary", f"{LEGACY}-1": "replica", f"{LEGACY}-2": "replica"}
    stage.wait(lambda: roles(stage, LEGACY) == wanted, "three members")
    stage.measured("scaled the adopted database from one to three", time.monotonic() - began)
    for name in wanted:
        output = stage.psql(pod_ip(stage, name), "select count(*), pg_is_in_recovery() from bar")
        _expect(str(ROWS) in output, True, f"all rows on {name}")


def bad_input_is_refused(stage: Stage) -> None:
    """A bad annotation is denied with its value and what is allowed, and changes nothing"""
    output = stage.fail(
        "annotate", "statefulset", "pgset", "pgset.dev/ttl=10 minutes", "--overwrite"
    )
    _expect("10 minutes" in output and "9s" in output, True, output)
    annotations = stage.get("statefulset", "pgset")["metadata"]["annotations"]
    _expect("pgset.dev/ttl" in annotations, False, "the annotation on the StatefulSet")


STEPS: Final[tuple[Callable[[Stage], None], ...]] = (
    install,
    create_the_set,
    one_replica_streams,
    replicas_are_read_only,
    scale_to_three,
    shared_volume,
    a_row_outlives_its_pod,
    data_outlives_the_statefulset,
    others_are_left_alone,
    adopt_a_database,
    bad_input_is_refused,
)


def perform(stage: Stage, number: int, step: Callable[[Stage], None]) -> None:
    """Tell and do one step."""
    stage.title(number, (step.__doc__ or step.__name__).strip())
    step(stage)


# ── what is seen ──────────────────────────────────────────────────────────────────────────


def members(
    stage: Stage, set_name: str = "pgset", namespace: str = NAMESPACE
) -> list[dict[str, Any]]:
    """Return the set's pods."""
    pods = stage.get("pods", "-l", f"app={set_name}", namespace=namespace)["items"]
    return sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))


def roles(
    stage: Stage,
    set_name: str = "pgset",
    namespace: str = NAMESPACE,
    *,
    label: str = "pgset.dev/role",
) -> dict[str, str]:
    """Return the role label of every member that is Ready, by pod name."""
    return {
        pod["metadata"]["name"]: pod["metadata"]["labels"].get(label, "")
        for pod in members(stage, set_name, namespace)
        if _is_ready(pod)
    }


def streaming(stage: Stage, host: str) -> list[str]:
    """Return the members that stream from the primary."""
    names = stage.query(
        host,
        "select string_agg(application_name, ' ' order by application_name) "
        "from pg_stat_replication where state = 'streaming'",
        again=True,
    )
    return (names or "").split()


def uid(stage: Stage, pod: str) -> str | None:
    """Return a pod's UID; None where there is no such pod."""
    found = [item for item in members(stage) if item["metadata"]["name"] == pod]
    return found[0]["metadata"]["uid"] if found else None


def wait_for_service(stage: Stage, host: str) -> None:
    """Wait until a database answers there: kube-proxy follows a ready pod in a second or two."""
    stage.wait(lambda: stage.query(host, "select 1", again=True) == "1", f"{host} to answer")


def _wait_for_row(stage: Stage, host: str) -> None:
    """Wait for the walk-through's row: DNS follows a pod, and a replica its primary, later."""
    asked = "select id from foo"
    stage.wait(lambda: stage.query(host, asked, again=True) == "42", f"the row on {host}")


def pod_ip(stage: Stage, pod: str) -> str:
    """Return a pod's address."""
    return str(stage.get("pod", pod)["status"]["podIP"])


def is_ready(stage: Stage, pod: str) -> bool:
    """Tell whether a pod is Ready."""
    found = stage.get("pods", "--field-selector", f"metadata.name={pod}")["items"]
    return bool(found) and _is_ready(found[0])


def webhook_pods(stage: Stage) -> list[dict[str, Any]]:
    """Return the webhook's pods, those included that are about to go."""
    ours = "app.kubernetes.io/name=pgset,app.kubernetes.io/component=webhook"
    pods = stage.get("pods", "-l", ours, namespace=SYSTEM)
    return list(pods["items"])


def requests_to_webhook(stage: Stage) -> float:
    """Return the admission requests that all webhook replicas together have counted."""
    total = 0.0
    for pod in webhook_pods(stage):
        path = f"/api/v1/namespaces/{SYSTEM}/pods/https:{pod['metadata']['name']}:8443/proxy"
        text = stage.ask("get", "--raw", f"{path}/metrics")
        counted = re.findall(r"^pgset_admission_requests_total\S* (\S+)$", text, re.MULTILINE)
        total += sum(float(value) for value in counted)
    return total


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return "deletionTimestamp" not in pod["metadata"] and any(
        condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions
    )


def _ours(pod: dict[str, Any]) -> list[str]:
    notes = pod["metadata"].get("labels", {}) | pod["metadata"].get("annotations", {})
    return [key for key in notes if key.startswith("pgset.dev/")]


def _expect(actual: object, expected: object, what: str) -> None:
    if actual != expected:
        raise StepFailedError(f"{what}: expected {expected}, but saw {actual}")
