"""The Helm chart is made from the manifests, and renders as they do."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from deploy.chart.changes import with_changes
from deploy.chart.files import CHART, made
from deploy.local import programs
from sidecar import contract
from tests.deploy.manifests import DEPLOY, document
from tests.test_pages import headings

BY_HAND = {"_helpers.tpl", "NOTES.txt", "dashboard.yaml", "tests/ready.yaml"}

WITH_MONITORING = {
    name: {"enabled": True} for name in ("serviceMonitor", "prometheusRule", "dashboard")
}


# ── The chart as it is kept ───────────────────────────────────────────────────────────────


def test_the_templates_are_what_the_manifests_make():
    """Where this fails: `make chart`."""
    assert made() == {name: (CHART / name).read_text() for name in made()}
    templates = CHART / "templates"
    kept = {str(it.relative_to(templates)) for it in templates.rglob("*") if it.is_file()}
    assert kept - BY_HAND == {
        name.removeprefix("templates/") for name in made() if name.startswith("templates/")
    }


def test_the_chart_is_of_the_version_whose_image_it_runs():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == contract.VERSION


def test_the_chart_says_what_a_list_of_charts_shows():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["keywords"]
    assert chart["maintainers"]
    shown = {it for it in chart["annotations"] if it.startswith("artifacthub.io/")}
    names = ("category", "changes", "containsSecurityUpdates", "license", "operator", "prerelease")
    assert shown == {f"artifacthub.io/{it}" for it in names}
    assert chart["annotations"]["artifacthub.io/license"] == "Apache-2.0"


def test_the_changes_are_those_of_the_charts_version():
    changelog = (
        "# Changelog\n\n## [2.0.0]\n\n### Fixed\n\n- Not this one.\n\n## [1.0.0]\n\n"
        "### Security\n\n- **A hole** in `a`,\n  which [b](b.md) shows. More of it.\n\n"
        "### Added\n\n- One\n- Two: a. B\n\n## [0.1.0]\n\n### Added\n\n- Nor this.\n"
    )
    head = "version: 1.0.0\nannotations:\n"
    made = with_changes(head, changelog)
    annotations = yaml.safe_load(made)["annotations"]
    assert annotations["artifacthub.io/containsSecurityUpdates"] == "true"
    assert yaml.safe_load(annotations["artifacthub.io/changes"]) == [
        {"kind": "security", "description": "A hole in a, which b shows"},
        {"kind": "added", "description": "One"},
        {"kind": "added", "description": "Two: a"},
    ]
    assert with_changes(made, changelog) == made
    assert '"false"' in with_changes("version: 0.1.0\nannotations:\n", changelog)


def leaves(values, path=""):
    for name, value in values.items():
        yield from (leaves(value, f"{path}.{name}") if isinstance(value, dict) else ())
        yield f"{path}.{name}"


def test_every_value_is_in_the_schema():
    schema = json.loads((CHART / "values.schema.json").read_text())

    def named(part, path=""):
        part = schema["definitions"].get(part.get("$ref", "").rpartition("/")[2], part)
        for name, below in part.get("properties", {}).items():
            yield f"{path}.{name}"
            yield from named(below, f"{path}.{name}")

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    quantities = re.compile(r"(requests|limits)\.")
    asked = {name for name in leaves(values) if not quantities.search(name)}
    assert asked == set(named(schema)) - {".global", ".enabled"}


def test_what_a_template_cannot_do_without_is_required():
    """Helm drops a default for which null is given; an empty one is as good as none."""
    schema = json.loads((CHART / "values.schema.json").read_text())

    def required(part, values, path=""):
        part = schema["definitions"].get(part.get("$ref", "").rpartition("/")[2], part)
        for name, value in values.items():
            if value not in ("", [], {}):
                yield f"{path}.{name}", name in part.get("required", [])
            if (
                isinstance(value, dict)
                and "properties" in part
                and f"{path}.{name}" != ".resources"
            ):
                yield from required(part["properties"][name], value, f"{path}.{name}")

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert [name for name, it_is in required(schema, values) if not it_is] == []


# ── As Helm renders it ────────────────────────────────────────────────────────────────────


def helm(*words, chart=CHART, values=None, namespace="pgset-system"):
    """Run `helm template`, or another command on the chart; CalledProcessError if it fails."""
    command = [programs.build(programs.HELM) / "helm", *(words or ("template", "pgset"))]
    run = subprocess.run(
        [*command, str(chart), f"--namespace={namespace}", "--values=-"],
        input=json.dumps(values or {}),
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


def by_name(text):
    """The objects by kind and name, but for what is only there for `helm test`."""
    objects = [it for it in yaml.safe_load_all(text) if it]
    return {
        (it["kind"], it["metadata"]["name"]): it
        for it in objects
        if "helm.sh/hook" not in it["metadata"].get("annotations", {})
    }


def kustomized(folder):
    kubectl = programs.kubernetes() / "kubectl"
    run = subprocess.run(
        [kubectl, "kustomize", DEPLOY / folder], capture_output=True, text=True, check=True
    )
    return by_name(run.stdout)


def without_namespace(objects):
    return {key: it for key, it in objects.items() if it["kind"] != "Namespace"}


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
@pytest.mark.parametrize(
    ("folders", "values"),
    [
        (["."], {}),
        ([".", "monitoring"], WITH_MONITORING),
        (["overlays/cluster-critical"], {"priorityClassName": "system-cluster-critical"}),
        (["overlays/cert-manager"], {"certManager": {"enabled": True}}),
        (["overlays/host-network"], {"hostNetwork": True, "port": 10260, "probesPort": 10261}),
    ],
)
def test_helm_and_kustomize_render_the_same_objects(folders, values):
    expected = {}
    for folder in folders:
        expected |= without_namespace(kustomized(folder))
    rendered = by_name(helm(values=values))
    assert set(rendered) == set(expected)
    for key, manifest in expected.items():
        labels = rendered[key]["metadata"]["labels"]
        assert labels.pop("app.kubernetes.io/managed-by") == "Helm"
        assert labels.pop("helm.sh/chart") == f"pgset-{contract.VERSION}"
        assert rendered[key] == manifest


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
def test_another_namespace_is_meant_everywhere():
    comments = re.compile(r"(?m)^\s*#.*$")
    for more in ({}, {"certManager": {"enabled": True}}):
        text = helm(values=WITH_MONITORING | more, namespace="elsewhere")
        assert "pgset-system" not in comments.sub("", text)


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
def test_a_namespace_that_looks_like_a_number_is_a_name():
    service = by_name(helm(namespace="123"))["Service", "pgset-webhook"]
    assert service["metadata"]["namespace"] == "123"


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
def test_no_ca_bundle_is_rendered():
    objects = by_name(helm(values=WITH_MONITORING))
    for webhook in objects["MutatingWebhookConfiguration", "pgset"]["webhooks"]:
        assert set(webhook["clientConfig"]) == {"service"}


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
def test_values_arrive():
    rendered = by_name(
        helm(
            values={
                "image": {"repository": "registry.example.com/pgset", "tag": "1"},
                "replicas": 3,
                "failurePolicy": "Ignore",
                "excludedNamespaces": ["kube-public"],
                "resources": {"webhook": {"limits": {"memory": "1Gi"}}},
                "sidecarResources": "limits.cpu=500m",
                "imagePullSecrets": [{"name": "registry"}],
                "caretaker": {"grants": False},
                "podDisruptionBudget": {"enabled": False},
                "networkPolicy": {"enabled": False},
            }
        )
    )
    pods = [
        it["spec"]["template"]["spec"] for (kind, _), it in rendered.items() if kind == "Deployment"
    ]
    assert [it["imagePullSecrets"] for it in pods] == [[{"name": "registry"}]] * 3
    deployment = rendered["Deployment", "pgset-webhook"]["spec"]
    pod = deployment["template"]["spec"]
    assert deployment["replicas"] == 3
    assert {it["image"] for it in pod["containers"]} == {"registry.example.com/pgset:1"}
    assert pod["containers"][0]["resources"]["limits"] == {"memory": "1Gi"}
    chosen = {"name": "PGSET_SIDECAR_RESOURCES", "value": "limits.cpu=500m"}
    assert chosen in pod["containers"][0]["env"]
    for webhook in rendered["MutatingWebhookConfiguration", "pgset"]["webhooks"]:
        assert webhook["failurePolicy"] == "Ignore"
        (expression,) = webhook["namespaceSelector"]["matchExpressions"]
        assert expression["values"] == ["kube-system", "pgset-system", "kube-public"]
    (caretaker,) = rendered["Deployment", "pgset-caretaker"]["spec"]["template"]["spec"][
        "containers"
    ]
    assert caretaker["image"] == "registry.example.com/pgset:1"
    told = {it["name"]: it.get("value") for it in caretaker["env"]}
    assert told["PGSET_GRANTS"] == "false"
    assert told["PGSET_EXCLUDED_NAMESPACES"] == "kube-system,pgset-system,kube-public"
    assert not {"PodDisruptionBudget", "NetworkPolicy"} & {kind for kind, _ in rendered}


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
def test_where_pods_run_and_what_is_on_them_can_be_chosen():
    digest = f"sha256:{'0' * 64}"
    toleration = {"key": "infra", "operator": "Exists"}
    affinity = {"nodeAffinity": {}}
    spread = [{"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]
    rendered = by_name(
        helm(
            values={
                "image": {"digest": digest, "tag": "ignored"},
                "commonLabels": {"team": "data"},
                "podLabels": {"cost-centre": "1"},
                "podAnnotations": {"note": "yes"},
                "nodeSelector": {"disk": "ssd"},
                "tolerations": [toleration],
                "affinity": affinity,
                "topologySpreadConstraints": {"certs": spread},
                "logLevel": "warning",
                "extraArgs": {"webhook": ["--worker-connections=5"], "certs": ["--leaf-life=9d"]},
            }
        )
    )
    assert {it["metadata"]["labels"]["team"] for it in rendered.values()} == {"data"}
    templates = {
        it["metadata"]["name"]: it["spec"]["template"]
        for (kind, _), it in rendered.items()
        if kind == "Deployment"
    }
    for it in templates.values():
        assert it["metadata"]["labels"]["cost-centre"] == "1"
        assert "team" not in it["metadata"]["labels"]
        assert it["metadata"]["annotations"] == {"note": "yes"}
        assert it["spec"]["nodeSelector"] == {"disk": "ssd"}
        assert it["spec"]["affinity"] == affinity
        assert it["spec"]["tolerations"][-1] == toleration
        assert it["spec"]["containers"][0]["image"] == f"pgset@{digest}"
    webhook, certs, caretaker = (
        templates[f"pgset-{name}"]["spec"] for name in ("webhook", "certs", "caretaker")
    )
    assert len(caretaker["tolerations"]) == 3
    assert certs["topologySpreadConstraints"] == spread
    assert (
        webhook["topologySpreadConstraints"]
        == (document("deployment.yaml")["spec"]["template"]["spec"]["topologySpreadConstraints"])
    )
    assert webhook["containers"][0]["args"] == ["--worker-connections=5"]
    assert certs["containers"][0]["args"] == ["--leaf-life=9d"]
    for it in (webhook, caretaker):
        level = {"name": "PGSET_LOG_LEVEL", "value": "warning"}
        assert level in it["containers"][0]["env"]


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
def test_monitors_and_rules_can_be_labelled_and_endpoints_have_more_fields():
    labels = {"release": "kube-prometheus-stack"}
    values = {
        "serviceMonitor": {"enabled": True, "labels": labels, "endpoint": {"interval": "30s"}},
        "prometheusRule": {"enabled": True, "labels": labels},
    }
    rendered = by_name(helm(values=values))
    monitors = [
        it for (kind, _), it in rendered.items() if kind.endswith(("Monitor", "PrometheusRule"))
    ]
    assert [it["metadata"]["labels"]["release"] for it in monitors] == [*labels.values()] * 3
    endpoints = [
        *rendered["ServiceMonitor", "pgset-webhook"]["spec"]["endpoints"],
        *rendered["PodMonitor", "pgset-members"]["spec"]["podMetricsEndpoints"],
    ]
    assert [(it["port"], it["interval"]) for it in endpoints] == [
        ("https", "30s"),
        ("pgset", "30s"),
    ]


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
def test_the_dashboard_goes_where_grafanas_sidecar_looks():
    folder = {"grafana_folder": "Databases"}
    values = {"enabled": True, "labels": {"mine": "2"}, "annotations": folder}
    rendered = by_name(helm(values={"dashboard": values}))
    metadata = rendered["ConfigMap", "pgset-dashboard"]["metadata"]
    assert metadata["annotations"] == folder
    assert {"mine": "2", "grafana_dashboard": "1"}.items() <= metadata["labels"].items()
    values["labels"] = {"grafana_dashboard": "yes"}
    rendered = by_name(helm(values={"dashboard": values}))
    metadata = rendered["ConfigMap", "pgset-dashboard"]["metadata"]
    assert metadata["labels"]["grafana_dashboard"] == "yes"


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
def test_each_alert_leads_to_its_part_of_the_page_where_that_is_shown():
    page = "https://docs.example.com/alerts"
    rule = {"prometheusRule": {"enabled": True, "runbookUrl": page}}
    rendered = by_name(helm(values=rule))["PrometheusRule", "pgset"]
    told = {
        it["alert"]: it["annotations"]["runbook_url"]
        for group in rendered["spec"]["groups"]
        for it in group["rules"]
    }
    anchors = headings(DEPLOY.parent / "docs/alerts.md")
    assert len(told) == len(set(told.values())) > 10
    for alert, url in told.items():
        assert url == f"{page}#{alert.lower()}"
        assert alert.lower() in anchors


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
def test_nothing_is_left_of_a_caretaker_that_is_not_wanted():
    with_it, without = by_name(helm()), by_name(helm(values={"caretaker": {"enabled": False}}))
    gone = set(with_it) - set(without)
    assert {kind for kind, _ in gone} == {
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "NetworkPolicy",
        "Deployment",
    }
    assert all(name.startswith("pgset-caretaker") for _, name in gone)
    assert not [name for _, name in without if name.startswith("pgset-caretaker")]


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"failurePolicy": "Perhaps"}, "failurePolicy"),
        ({"replicas": 0}, "replicas"),
        ({"replica": 2}, "replica"),
        ({"port": 443}, "port"),
        ({"imagePullSecrets": ["registry"]}, "imagePullSecrets"),
        ({"excludedNamespaces": ["Not A Name"]}, "excludedNamespaces"),
        ({"podDisruptionBudget": {"minAvailable": "half"}}, "minAvailable"),
        ({"caretaker": {"grants": "no"}}, "grants"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"image": {"repository": "registry:5000/pgset:1"}}, "allowed: a name without a tag"),
        ({"image": {"tag": "sha256:0"}}, "tag"),
        ({"sidecarResources": "cpu=1"}, 'allowed: quantities such as "requests.cpu=50m'),
        ({"port": 8081}, "port and probesPort are both 8081"),
        ({"logLevel": "debug"}, "logLevel"),
        ({"podLabels": {"app.kubernetes.io/name": "mine"}}, "podLabels"),
        ({"commonLabels": {"helm.sh/chart": "mine"}}, "commonLabels"),
        ({"tolerations": {"key": "infra"}}, "tolerations"),
        ({"extraArgs": {"caretaker": []}}, "extraArgs"),
        ({"serviceMonitor": {"labels": ["release"]}}, "serviceMonitor"),
        ({"prometheusRule": {"runbookUrl": "alerts.md"}}, "runbookUrl"),
        ({"extraArgs": None}, "extraArgs"),
        ({"image": {"repository": None}}, "repository"),
        ({"networkPolicy": {"enabled": None}}, "enabled"),
    ],
)
def test_a_bad_value_is_refused_by_its_name(values, name):
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        helm(values=values)
    assert name in refusal.value.stderr


OF_0_2_0 = {
    "image": {"repository": "pgset", "tag": "", "pullPolicy": ""},
    "replicas": 2,
    "failurePolicy": "Fail",
    "excludedNamespaces": [],
    "caretaker": {"enabled": True, "grants": True},
    "priorityClassName": "",
    "resources": {
        "webhook": {
            "requests": {"cpu": "25m", "memory": "96Mi"},
            "limits": {"memory": "256Mi"},
        },
        "certs": {"requests": {"cpu": "5m", "memory": "96Mi"}, "limits": {"memory": "192Mi"}},
        "caretaker": {
            "requests": {"cpu": "10m", "memory": "96Mi"},
            "limits": {"memory": "256Mi"},
        },
    },
    "podDisruptionBudget": {"enabled": True, "minAvailable": 1},
    "networkPolicy": {"enabled": True},
    "serviceMonitor": {"enabled": False},
    "prometheusRule": {"enabled": False},
    "dashboard": {"enabled": False},
}
"""All values of the chart of version 0.2.0, as they were."""


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
def test_the_values_of_an_earlier_version_mean_what_they_meant():
    assert helm(values=OF_0_2_0) == helm()


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
def test_values_that_are_reused_alone_are_refused_by_what_they_lack(tmp_path):
    """As `helm upgrade --reuse-values` has them: without the defaults that are new."""
    shutil.copytree(CHART, tmp_path / "pgset")
    (tmp_path / "pgset/values.yaml").write_text(yaml.safe_dump(OF_0_2_0))
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        helm(chart=tmp_path / "pgset")
    assert "missing properties 'port', 'probesPort', 'hostNetwork'" in refusal.value.stderr


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
def test_a_value_that_is_empty_can_be_taken_away_as_well():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    empty = {name: None for name, value in values.items() if value in ("", [], {})}
    below = {
        "image": {"tag": None, "digest": None, "pullPolicy": None},
        "extraArgs": {"webhook": None, "certs": None},
        "topologySpreadConstraints": {"webhook": None, "certs": None},
    }
    assert "sidecarResources" in empty
    assert helm(values=empty | below) == helm()


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
@pytest.mark.parametrize("enabled", [True, False])
def test_it_can_be_a_part_of_another_chart_on_a_condition(tmp_path, enabled):
    part = {"name": "pgset", "version": contract.VERSION, "condition": "pgset.enabled"}
    whole = {"apiVersion": "v2", "name": "all", "version": "0.1.0", "dependencies": [part]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(whole))
    shutil.copytree(CHART, tmp_path / "charts/pgset")
    text = helm(chart=tmp_path, values={"pgset": {"enabled": enabled}})
    assert (("Deployment", "pgset-webhook") in by_name(text)) is enabled


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
def test_helms_own_linter_finds_nothing():
    assert "0 chart(s) failed" in helm("lint", "--strict")


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
def test_what_helm_test_runs_meets_pod_security_restricted_and_runs_the_same_image():
    objects = yaml.safe_load_all(helm())
    (test,) = [it for it in objects if it["kind"] == "Pod"]
    pod = document("deployment.yaml")["spec"]["template"]["spec"]
    (container,) = test["spec"]["containers"]
    assert test["spec"]["securityContext"] == pod["securityContext"]
    assert container["securityContext"] == pod["containers"][0]["securityContext"]
    assert container["image"] == pod["containers"][0]["image"]
