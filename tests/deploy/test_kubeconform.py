"""kubeconform finds nothing wrong with what is applied: each field is one of Kubernetes' API.

An API server would tell the same, and `test_registration.py` and others ask one. This needs none:
the schemas are made of the sources that the cluster's programs are built from. cert-manager's are
not there, so its two objects are passed over. `make kubeconform` runs this alone.
"""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.local import programs, prometheus_operator
from tests.deploy import json_schemas
from tests.deploy.manifests import DEPLOY, documents
from tests.deploy.test_chart import WITH_MONITORING, helm

pytestmark = pytest.mark.rarely

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDERS = sorted(
    str(it.parent.relative_to(DEPLOY))
    for it in DEPLOY.rglob("kustomization.yaml")
    if yaml.safe_load(it.read_text())["kind"] == "Kustomization"
)
FULL = WITH_MONITORING | {
    "image": {"repository": "registry.example.com/pgset", "digest": f"sha256:{'0' * 64}"},
    "imagePullSecrets": [{"name": "registry"}],
    "hostNetwork": True,
    "port": 10260,
    "probesPort": 10261,
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "infra", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": {
        "webhook": [{"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]
    },
    "podLabels": {"team": "data"},
    "podAnnotations": {"note": "yes"},
    "commonLabels": {"team": "data"},
    "extraArgs": {"webhook": ["--worker-connections=5"], "certs": ["--leaf-life=9d"]},
}


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schemas")
    definitions = [
        yaml.safe_load(it.read_text()) for it in prometheus_operator.definitions().glob("*.yaml")
    ]
    json_schemas.write(folder, json.loads(programs.openapi().read_text()), definitions)
    return folder


def wrong(schemas: Path, manifests: str) -> list[str]:
    """What kubeconform finds, each with the object's name; it has to have looked at something."""
    command = [
        programs.build(programs.KUBECONFORM) / "kubeconform",
        *("-strict", "-output=json", "-verbose", "-skip=Certificate,Issuer"),
        f"-schema-location={schemas / json_schemas.LOCATION}",
    ]
    done = subprocess.run(command, input=manifests, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["resources"]
    assert any(it["status"] != "statusSkipped" for it in found), done
    bad = [it for it in found if it["status"] not in {"statusValid", "statusSkipped"}]
    assert bool(bad) is bool(done.returncode), done
    return [f"{it['kind']} {it['name']}: {it['msg']}" for it in bad]


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_kubectl_renders(schemas: Path, folder: str) -> None:
    kubectl = programs.kubernetes() / "kubectl"
    command = [kubectl, "kustomize", DEPLOY / folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert wrong(schemas, done.stdout) == []


@pytest.mark.parametrize("values", [{}, FULL], ids=["defaults", "everything"])
def test_what_helm_renders(schemas: Path, values: dict[str, object]) -> None:
    assert wrong(schemas, helm(values=values)) == []


def test_a_file_that_is_applied_alone(schemas: Path) -> None:
    assert wrong(schemas, (DEPLOY / "examples/network-policy.yaml").read_text()) == []


@pytest.mark.parametrize("name", sorted(it.name for it in GOLDEN.iterdir()))
def test_a_pod_as_the_webhook_has_it(schemas: Path, name: str) -> None:
    assert wrong(schemas, (GOLDEN / name / "pod.admitted.yaml").read_text()) == []


def test_a_field_that_is_none_and_a_value_of_another_type_are_found(schemas: Path) -> None:
    (deployment,) = documents("deployment.yaml")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["imagePullPolice"] = "Always"
    (found,) = wrong(schemas, yaml.safe_dump(deployment))
    assert "imagePullPolice" in found
    del container["imagePullPolice"]
    deployment["spec"]["replicas"] = "2"
    (found,) = wrong(schemas, yaml.safe_dump(deployment))
    assert "replicas" in found
    (monitor,) = documents("monitoring/service-monitor.yaml")
    monitor["spec"]["endpoints"][0]["scheme_"] = "https"
    (found,) = wrong(schemas, yaml.safe_dump(monitor))
    assert "scheme_" in found
