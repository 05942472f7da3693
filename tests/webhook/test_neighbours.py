"""Pods into which other webhooks inject as well, before or after pgset."""

import pytest

from tests.webhook import objects
from tests.webhook.changes import together, verdict_on, with_env, with_template_annotations
from webhook.errors import DeniedError
from webhook.mutate import mutate_pod, mutate_statefulset

TOKEN = {
    "name": "kube-api-access-8c8ff",
    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
}
VAULT = {"vault.hashicorp.com/agent-inject": "true"}

ISTIO = "traffic.sidecar.istio.io"
ISTIO_PORTS = {
    "traffic.sidecar.istio.io/excludeInboundPorts": "5432,8008",
    "traffic.sidecar.istio.io/excludeOutboundPorts": "443,5432,8008",
}


def labelled(**labels):
    return lambda statefulset: statefulset["spec"]["template"]["metadata"]["labels"].update(labels)


@pytest.mark.parametrize(
    ("asks", "mesh"),
    [
        (with_template_annotations(**{"sidecar.istio.io/inject": "true"}), "Istio"),
        (labelled(**{"sidecar.istio.io/inject": "true"}), "Istio"),
        (labelled(**{"istio.io/rev": "stable"}), "Istio"),
        (with_template_annotations(**{"linkerd.io/inject": "enabled"}), "Linkerd"),
        (labelled(**{"kuma.io/sidecar-injection": "enabled"}), "Kuma"),
        (with_template_annotations(**{"consul.hashicorp.com/connect-inject": "true"}), "Consul"),
        (
            with_template_annotations(**{"injector.nsm.nginx.com/auto-inject": "true"}),
            "NGINX Service Mesh",
        ),
        (
            with_template_annotations(**{"openservicemesh.io/sidecar-injection": "enabled"}),
            "Open Service Mesh",
        ),
    ],
)
def test_a_template_that_asks_for_a_proxy_is_refused_with_what_to_annotate(asks, mesh):
    with pytest.raises(DeniedError) as denial:
        verdict_on(asks)
    sentence = str(denial.value)
    assert f"the proxy of {mesh}" in sentence
    allowed = dict(
        pair.split(": ") for pair in sentence.partition("the annotations ")[2].split(" and ")
    )
    with_ports = {name: ports.strip('"') for name, ports in allowed.items()}
    assert verdict_on(
        lambda statefulset: (
            asks(statefulset),
            with_template_annotations(**with_ports)(statefulset),
        )
    ).patch


@pytest.mark.parametrize(
    "annotations",
    [
        {"sidecar.istio.io/inject": "false"},
        {"linkerd.io/inject": "disabled"},
        {"sidecar.istio.io/inject": "true", **ISTIO_PORTS},
        {
            "linkerd.io/inject": "enabled",
            "config.linkerd.io/skip-inbound-ports": "4000-6000, 8008",
            "config.linkerd.io/skip-outbound-ports": "443,5432,8000-9000",
        },
        {
            "sidecar.istio.io/inject": "true",
            f"{ISTIO}/includeInboundPorts": "",
            f"{ISTIO}/includeOutboundIPRanges": "",
        },
        {
            "sidecar.istio.io/inject": "true",
            **ISTIO_PORTS,
            f"{ISTIO}/excludeInboundPorts": "*",
        },
        {
            "sidecar.istio.io/inject": "true",
            **ISTIO_PORTS,
            f"{ISTIO}/excludeInboundPorts": "",
            f"{ISTIO}/includeInboundPorts": "9187",
        },
        {"sidecar.istio.io/inject": "true", "sidecar.istio.io/interceptionMode": "NONE"},
        {"istio.io/rev": "default", "istio.io/dataplane-mode": "ambient"},
        {
            "consul.hashicorp.com/connect-inject": "true",
            "consul.hashicorp.com/transparent-proxy": "false",
        },
        {"kuma.io/sidecar-injection": "enabled", "kuma.io/transparent-proxying": "disabled"},
    ],
)
def test_no_proxy_or_one_that_lets_the_members_pass_is_accepted(annotations):
    verdict = verdict_on(with_template_annotations(**annotations))
    assert verdict.patch
    assert "a mesh's proxy" not in " ".join(verdict.warnings)


@pytest.mark.parametrize(
    "annotations",
    [
        {"sidecar.istio.io/inject": "true", f"{ISTIO}/includeOutboundIPRanges": "10.96.0.0/12"},
        {"sidecar.istio.io/inject": "true", "inject.istio.io/templates": "grpc-agent"},
        {"linkerd.io/inject": "enabled", "config.linkerd.io/skip-subnets": "10.0.0.0/8"},
    ],
)
def test_a_proxy_of_which_it_is_not_known_what_passes_is_warned_of(annotations):
    verdict = verdict_on(with_template_annotations(**annotations))
    assert "a mesh's proxy is asked for" in " ".join(verdict.warnings)


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_a_proxy_that_was_injected_into_the_manifest_is_refused_as_one_that_is_asked_for(kind):
    """As `istioctl kube-inject` does it."""

    def injected(statefulset):
        statefulset["metadata"]["annotations"]["pgset.dev/container"] = "postgres"
        statefulset["spec"]["template"]["spec"].setdefault(kind, []).append({"name": "istio-proxy"})

    with pytest.raises(DeniedError, match="has, or asks for, the proxy of Istio"):
        verdict_on(injected)
    passing = together(injected, with_template_annotations(**ISTIO_PORTS))
    assert verdict_on(passing).patch


@pytest.mark.parametrize("name", ISTIO_PORTS)
def test_one_port_that_is_missing_is_one_too_many(name):
    annotations = {"sidecar.istio.io/inject": "true", **ISTIO_PORTS, name: "8008"}
    with pytest.raises(DeniedError, match="the proxy of Istio"):
        verdict_on(with_template_annotations(**annotations))


def admitted(pod):
    return objects.patched(
        pod, mutate_pod(objects.review_of(pod), objects.IMAGE, objects.never_led)
    )


def vault_comes_before(pod):
    pod["spec"]["initContainers"] = [{"name": "vault-agent-init", "volumeMounts": [TOKEN]}]
    pod["spec"]["containers"].append({"name": "vault-agent", "volumeMounts": [TOKEN]})


@pytest.mark.parametrize("others", [vault_comes_before, lambda _: None], ids=["before", "after"])
def test_who_logs_in_by_the_pods_token_finds_it(others):
    """Vault's injector refuses a pod in which no container has one."""
    pod = objects.article_pod()
    pod["metadata"]["annotations"].update(VAULT)
    others(pod)
    spec = admitted(pod)["spec"]
    for container in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])):
        found = {it["name"]: it for it in spec["containers"] + spec["initContainers"]}
        assert found[container["name"]]["volumeMounts"] == container["volumeMounts"]
    assert "kube-api-access" in str(spec["volumes"])
    assert "automountServiceAccountToken" not in spec


@pytest.mark.parametrize(
    "marks",
    [
        {"labels": {"kuma.io/sidecar-injection": "enabled"}},
        {"annotations": {"kuma.io/sidecar-injected": "true"}},
        {"annotations": {"consul.hashicorp.com/connect-inject": "true"}},
        {"annotations": {"consul.hashicorp.com/connect-inject-status": "injected"}},
        {"annotations": {"vault.security.banzaicloud.io/vault-role": "orders"}},
        {"annotations": {"secrets-webhook.security.bank-vaults.io/vault-role": "orders"}},
    ],
)
def test_a_proxy_that_logs_in_by_the_pods_token_finds_it_however_it_came(marks):
    pod = objects.article_pod()
    pod["spec"]["containers"].append({"name": "proxy", "volumeMounts": [TOKEN]})
    for kind, given in marks.items():
        pod["metadata"].setdefault(kind, {}).update(given)
    spec = admitted(pod)["spec"]
    assert spec["containers"][1]["volumeMounts"] == [TOKEN]
    assert "automountServiceAccountToken" not in spec


@pytest.mark.parametrize("value", ["false", ""])
def test_an_injector_that_is_switched_off_needs_no_token(value):
    pod = objects.article_pod()
    pod["metadata"]["annotations"]["vault.hashicorp.com/agent-inject"] = value
    assert admitted(pod)["spec"]["automountServiceAccountToken"] is False


def test_who_wants_no_token_in_the_pod_gets_none():
    pod = objects.article_pod()
    pod["metadata"]["annotations"].update(VAULT)
    pod["spec"]["automountServiceAccountToken"] = False
    assert "kube-api-access" not in str(admitted(pod)["spec"])


def with_a_password_from(volume, *writers):
    pod = objects.article_pod()
    spec = pod["spec"]
    mount = {"name": "secrets", "mountPath": "/secrets"}
    spec["volumes"].append({"name": "secrets", **volume})
    database = spec["containers"][0]
    database["volumeMounts"].append(mount)
    database["env"].append({"name": "POSTGRES_PASSWORD_FILE", "value": "/secrets/pw"})
    spec["initContainers"] = [
        {"name": name, "volumeMounts": [mount] if name in writers else []}
        for name in ("prepare", "fetch", "other")
    ]
    return pod


def order(pod):
    return [container["name"] for container in admitted(pod)["spec"]["initContainers"]]


@pytest.mark.parametrize(
    "volume",
    [
        {"emptyDir": {"medium": "Memory"}},
        {"ephemeral": {"volumeClaimTemplate": {}}},
        {"persistentVolumeClaim": {"claimName": "secrets-0"}},
    ],
)
def test_an_init_container_that_writes_the_password_comes_before_the_sidecar(volume):
    pod = with_a_password_from(volume, "fetch")
    assert order(pod) == ["prepare", "fetch", "pgset-sidecar", "other", "pgset-bootstrap"]
    again = admitted(pod)
    assert mutate_pod(objects.review_of(again), objects.IMAGE, objects.never_led).patch == []


def test_an_init_container_that_writes_a_file_of_variables_comes_before_the_sidecar():
    """The kubelet makes no container for as long as a file is missing that its variables are in."""
    pod = with_a_password_from({"emptyDir": {}}, "fetch")
    database = pod["spec"]["containers"][0]
    database["volumeMounts"].pop()
    database["env"][-1] = {
        "name": "POSTGRES_PASSWORD",
        "valueFrom": {"fileKeyRef": {"volumeName": "secrets", "path": "env", "key": "PASSWORD"}},
    }
    assert order(pod) == ["prepare", "fetch", "pgset-sidecar", "other", "pgset-bootstrap"]


def test_an_init_container_that_only_reads_there_comes_after_the_sidecar():
    pod = with_a_password_from({"persistentVolumeClaim": {"claimName": "a"}}, "fetch")
    pod["spec"]["initContainers"][1]["volumeMounts"] = [
        {"name": "secrets", "mountPath": "/secrets", "readOnly": True}
    ]
    assert order(pod)[0] == "pgset-sidecar"


@pytest.mark.parametrize("volume", [{"secret": {"secretName": "s"}}, {"csi": {"driver": "d"}}])
def test_the_sidecar_waits_for_nobody_where_the_password_is_there_at_once(volume):
    assert order(with_a_password_from(volume, "fetch"))[0] == "pgset-sidecar"


def test_a_set_in_a_mesh_that_was_opted_in_before_goes_on():
    plain = objects.article_statefulset()
    stamped = objects.patched(plain, mutate_statefulset(objects.review_of(plain)))
    stamped["spec"]["template"]["metadata"]["annotations"]["linkerd.io/inject"] = "enabled"
    verdict = mutate_statefulset(objects.review_of(stamped, "UPDATE", old=stamped))
    assert "the proxy of Linkerd" in " ".join(verdict.warnings)


def test_a_password_that_an_injector_brings_is_not_refused():
    def change(statefulset):
        with_template_annotations(**VAULT)(statefulset)
        with_env(POSTGRES_PASSWORD_FILE="/vault/secrets/pw")(statefulset)

    token, order_of_webhooks = verdict_on(change).warnings
    assert "logs in by the API token" in token
    assert "before pgset's webhook" in order_of_webhooks


def test_a_password_that_an_unknown_injector_may_bring_is_warned_of():
    def change(statefulset):
        with_template_annotations(**{"org.infisical.com/inject": "true"})(statefulset)
        with_env(POSTGRES_PASSWORD_FILE="/shared/pw")(statefulset)

    assert "is on no volume" in " ".join(verdict_on(change).warnings)


def test_a_password_that_nobody_brings_is_refused():
    def change(statefulset):
        with_template_annotations(**{"checksum/config": "0123"})(statefulset)
        with_env(POSTGRES_PASSWORD_FILE="/shared/pw")(statefulset)

    with pytest.raises(DeniedError, match="is on no volume of the template"):
        verdict_on(change)


@pytest.mark.parametrize(("mount", "file"), [("/run", "/var/run"), ("/var/run", "/run")])
def test_var_run_is_run(mount, file):
    def change(statefulset):
        container = statefulset["spec"]["template"]["spec"]["containers"][0]
        container["volumeMounts"].append({"name": "pw", "mountPath": f"{mount}/secrets/pg"})
        with_env(POSTGRES_PASSWORD_FILE=f"{file}/secrets/pg/pw")(statefulset)

    assert verdict_on(change).patch
