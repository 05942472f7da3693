"""Which pods are told of that get no further."""

from dataclasses import replace

import pytest

from tests.webhook import objects
from tests.webhook.caretaker.made import member, there, workload
from webhook.caretaker import stuck
from webhook.caretaker.facts import Member

NOW = 1_800_000_000.0
AT = "2027-01-15T08:00:00Z"
"""The same."""
LONG, SHORT = NOW - 61, NOW - 59


def told(*workloads, **said):
    return list(stuck.steps(there(*workloads, now=NOW, **said)))


def reasons(*workloads, **said):
    return [(it.kind, it.name, it.reason) for it in told(*workloads, **said)]


def pod(*, waiting=None, running=None, ready=None, annotations=None):
    """As the API server has it."""
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {"startedAt": running}}
    sidecar = {"name": "pgset-sidecar", "image": "registry.example/pgset:1", "state": state}
    conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": AT}] if ready else []
    return {
        "metadata": {"name": "orders-0", "uid": "u", "annotations": annotations},
        "spec": {"initContainers": [{"name": "pgset-sidecar"}]},
        "status": {
            "initContainerStatuses": [{"name": "wait", "state": {}}, sidecar],
            "conditions": conditions,
        },
    }


# ── the image ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_an_image_that_cannot_be_pulled_is_read_of_the_status(reason):
    assert Member.from_json(pod(waiting=reason)).image_refused == "registry.example/pgset:1"
    for other in (pod(waiting="PodInitializing"), pod(running=AT), {**pod(), "status": {}}):
        assert Member.from_json(other).image_refused == ""


@pytest.mark.parametrize(
    ("account", "named"), [("pg", "pg"), ("default", "default"), ("orders-pgset", "default")]
)
def test_it_is_told_with_the_service_account_whose_secrets_the_pods_get(account, named):
    pods = (member(image_refused="registry.example/pgset:1", service_account=account),)
    (it,) = told(workload(service_account=account), members=pods)
    assert (it.kind, it.name, it.reason) == ("StatefulSet", "orders", "SidecarImageNotPulled")
    assert 'of pod "orders-0", registry.example/pgset:1, cannot be pulled' in it.sentence
    assert f"kubectl -n shop patch serviceaccount {named} -p" in it.sentence


# ── the network ───────────────────────────────────────────────────────────────────────────


def test_a_sidecar_is_unheard_as_long_as_it_has_written_no_status():
    assert Member.from_json(pod(running=AT)).unheard_since == NOW
    spoke = pod(running=AT, annotations={"pgset.dev/status": "primary"})
    for other in (spoke, pod(waiting="PodInitializing"), {**pod(), "status": {}}):
        assert Member.from_json(other).unheard_since is None


def test_a_sidecar_that_runs_for_a_minute_and_says_nothing_is_told():
    (it,) = told(workload(), members=(member(unheard_since=NOW - 61),))
    assert (it.kind, it.name, it.reason) == ("StatefulSet", "orders", "SidecarNotHeard")
    assert "a NetworkPolicy or a firewall keeps it from the API server" in it.sentence
    assert it.sentence.endswith("kubectl -n shop logs orders-0 -c pgset-sidecar")
    assert told(workload(), members=(member(unheard_since=NOW - 59),)) == []


@pytest.mark.parametrize(
    "reason", ["CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError"]
)
def test_a_sidecar_that_does_not_get_to_run_is_told_with_why(reason):
    made = pod(waiting=reason)
    made["status"]["startTime"] = AT
    read = Member.from_json(made)
    assert (read.unheard_since, read.does_not_run) == (NOW, reason)
    (it,) = told(workload(), members=(member(unheard_since=NOW - 61, does_not_run=reason),))
    assert (it.kind, it.name, it.reason) == ("StatefulSet", "orders", "SidecarNotHeard")
    assert f'the sidecar of pod "orders-0" does not run ({reason})' in it.sentence
    assert it.sentence.endswith("kubectl -n shop logs orders-0 -c pgset-sidecar --previous")
    made["metadata"]["annotations"] = {"pgset.dev/status": "primary"}
    assert Member.from_json(made).unheard_since is None


# ── a mesh ────────────────────────────────────────────────────────────────────────────────

ISTIO = "traffic.sidecar.istio.io"
ISTIO_PORTS = {
    f"{ISTIO}/excludeInboundPorts": "5433,8008",
    f"{ISTIO}/excludeOutboundPorts": "443,5433,8008",
}


def meshed(proxy, *, native=False, **annotations):
    """A pod of a set whose namespace has the proxy injected."""
    made = objects.golden("article", "pod.admitted")
    made["metadata"].update(uid="u", annotations={**made["metadata"]["annotations"], **annotations})
    made["spec"]["containers"][0]["args"] = ["postgres", "-p", "5433"]
    made["spec"]["initContainers" if native else "containers"].append({"name": proxy})
    return Member.from_json(made)


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(
    ("proxy", "mesh"),
    [
        ("istio-proxy", "Istio"),
        ("linkerd-proxy", "Linkerd"),
        ("kuma-sidecar", "Kuma"),
        ("consul-dataplane", "Consul"),
        ("nginx-mesh-sidecar", "NGINX Service Mesh"),
    ],
)
def test_a_proxy_that_its_namespace_has_injected_is_seen_in_the_pod(proxy, mesh, native):
    found = meshed(proxy, native=native).proxy_in_the_way
    assert found.startswith(f"{mesh}: ")
    assert '"5433,8008"' in found
    assert '"443,5433,8008"' in found


@pytest.mark.parametrize(
    ("proxy", "annotations"),
    [
        ("pooler", {}),
        ("istio-proxy", ISTIO_PORTS),
        ("istio-proxy", {"sidecar.istio.io/interceptionMode": "NONE"}),
        ("istio-proxy", {f"{ISTIO}/includeOutboundIPRanges": "10.96.0.0/12"}),
    ],
)
def test_one_that_may_let_the_members_pass_is_in_nobodys_way(proxy, annotations):
    assert meshed(proxy, **annotations).proxy_in_the_way == ""


def test_a_pod_with_a_proxy_in_its_way_is_told_once_it_has_not_got_ready_for_a_minute():
    proxied = meshed("istio-proxy").proxy_in_the_way
    late = member(proxy_in_the_way=proxied, unready_since=LONG, unheard_since=LONG)
    (it,) = told(workload(), members=(late,))
    assert (it.kind, it.name, it.reason) == ("StatefulSet", "orders", "MeshInTheWay")
    assert it.sentence.endswith(f"lets them pass, of {proxied}")
    for since in (SHORT, None):
        assert (
            told(workload(), members=(replace(late, unready_since=since, unheard_since=None),))
            == []
        )


# ── the template ──────────────────────────────────────────────────────────────────────────


def test_a_pod_is_unready_since_its_condition_says_so():
    assert Member.from_json(pod(ready="False")).unready_since == NOW
    assert Member.from_json(pod(ready="True")).unready_since is None


def test_one_that_no_node_has_taken_is_unready_since_it_was_made():
    for never in (pod(), {**pod(), "status": {}}):
        never["metadata"]["creationTimestamp"] = AT
        assert Member.from_json(never).unready_since == NOW


OLD = {"controller-revision-hash": "orders-1"}


def test_a_pod_that_never_got_ready_keeps_its_template_after_an_opt_out_and_is_told():
    (it,) = told(members=(member(unready_since=LONG),))
    assert (it.kind, it.name, it.reason) == ("Pod", "orders-0", "NotReplaced")
    assert "only when it is ready (with OrderedReady) or deleted (with OnDelete): if" in it.sentence
    assert it.sentence.endswith("delete it: kubectl -n shop delete pod orders-0")


def test_a_pod_of_an_earlier_template_is_told_where_pods_are_made_in_order():
    rolled = workload(ordered=True, revision="orders-2")
    pods = (member(unready_since=LONG, labels=OLD),)
    assert reasons(rolled, members=pods) == [("Pod", "orders-0", "NotReplaced")]


@pytest.mark.parametrize(
    ("said", "of_pod"),
    [
        ({"ordered": False}, {}),
        ({"held_back": True}, {}),
        ({"revision": "orders-1"}, {}),
        ({"revision": ""}, {}),
        ({}, {"unready_since": SHORT}),
        ({}, {"unready_since": None}),
        ({}, {"leaving": True}),
        ({}, {"has_sidecar": False}),
        ({}, {"labels": {}}),
    ],
)
def test_none_is_told_that_will_be_replaced_or_need_not_be(said, of_pod):
    rolled = workload(**{"ordered": True, "revision": "orders-2", **said})
    pods = (member(**{"unready_since": LONG, "labels": OLD, **of_pod}),)
    assert told(rolled, members=pods) == []


@pytest.mark.parametrize(
    "of_pod",
    [{"unready_since": SHORT}, {"leaving": True}, {"has_sidecar": False}, {"owner": ""}],
)
def test_after_an_opt_out_none_is_told_that_will_be_replaced_or_need_not_be(of_pod):
    assert told(members=(member(**{"unready_since": LONG, **of_pod}),)) == []
