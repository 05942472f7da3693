"""Whoever takes a process over may do what docs/security.md says, and nothing else.

Each token is tried: it asks whether it may do each verb that the API server knows on each resource
that it knows, and some that it does not name.
"""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from deploy.local import cluster
from sidecar.kube.client import ApiClient
from tests.deploy.cluster_tools import SYSTEM, Kubectl, wait_until
from tests.deploy.manifests import DEPLOY, cluster_role, document
from tests.deploy.rights_table import EVERYWHERE, OF_A_SET, Right, of_rules, rows, told
from tests.support.patient_client import PatientClient

NAMESPACE = "test-rights-table"
TAKES_EFFECT_WITHIN = 180.0
SPECIAL = ("bind", "escalate", "impersonate", "approve", "sign", "be")
OF_PEOPLE = (
    *("users", "groups", "serviceaccounts"),
    *(f"{it}.rbac.authorization.k8s.io" for it in ("roles", "clusterroles")),
    *(f"{it}.certificates.k8s.io" for it in ("signers", "certificatesigningrequests")),
    *(f"{it}.pgset.dev" for it in ("sidecars", "caretakers", "everything")),
)
"""What has verbs that discovery does not name."""

ROLES = {
    ("webhook", EVERYWHERE): cluster_role("pgset-webhook"),
    ("webhook", SYSTEM): document("roles.yaml"),
    ("certs", EVERYWHERE): document("certs-cluster-role.yaml"),
    ("certs", SYSTEM): document("certs-role.yaml"),
    ("caretaker", EVERYWHERE): document("caretaker-cluster-role.yaml"),
    ("caretaker", SYSTEM): document("caretaker-role.yaml"),
    ("sidecar", OF_A_SET): cluster_role("pgset-sidecar"),
}


def test_the_table_speaks_of_every_role_that_is_bound():
    assert {(row.process, row.where) for row in rows()} == {*ROLES}


@pytest.mark.parametrize("place", ROLES, ids=" ".join)
def test_the_table_says_what_the_manifests_give(place):
    assert told(*place) == of_rules(ROLES[place]["rules"])


# ── As the API server answers ─────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Somebody:
    """Who asks by a token of a service account."""

    client: ApiClient

    def may(self, namespace: str, right: Right) -> bool:
        resource, name, verb = right
        whole, _, group = resource.partition(".")
        plain, _, sub = whole.partition("/")
        attributes = {
            "namespace": namespace,
            "group": group,
            "resource": plain,
            "subresource": sub,
            "name": name,
            "verb": verb,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return bool(self.client.create(path, review)["status"]["allowed"])

    def rules(self, namespace: str) -> set[Right]:
        """All that RBAC gives it there, with names."""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        status = self.client.create(path, review)["status"]
        assert not status["incomplete"]
        return of_rules(status["resourceRules"])


def known(system: Kubectl) -> dict[str, list[str]]:
    """The verbs of each resource and subresource, by names such as `pods/exec`."""

    def got(path: str) -> Any:
        return json.loads(system("get", "--raw", path))

    groups = got("/apis")["groups"]
    paths = {f"/apis/{it['preferredVersion']['groupVersion']}": it["name"] for it in groups}
    return {
        f"{it['name']}.{group}".rstrip("."): it["verbs"]
        for path, group in {"/api/v1": "", **paths}.items()
        for it in got(path)["resources"]
    }


@pytest.fixture(scope="module")
def asking(tmp_path_factory):
    """Somebody for each process, and `nobody`, who has what everybody has."""
    cluster.up()
    system, kubectl = Kubectl(SYSTEM), Kubectl(NAMESPACE)
    system("apply", "-k", str(DEPLOY))
    folder = tmp_path_factory.mktemp("tokens")
    config = system.json("config", "view", "--raw")["clusters"][0]["cluster"]
    (folder / "ca.crt").write_bytes(base64.b64decode(config["certificate-authority-data"]))

    def somebody(place: Kubectl, account: str) -> Somebody:
        file = folder / f"{place.namespace}-{account}"
        file.write_text(place("create", "token", account))
        return Somebody(PatientClient(config["server"], folder / "ca.crt", file))

    kubectl("create", "namespace", NAMESPACE)
    try:
        for account in ("pgset-sa", "nobody"):
            kubectl("create", "serviceaccount", account)
        kubectl("apply", "-k", str(DEPLOY / "grant"))
        found = {
            "sidecar": somebody(kubectl, "pgset-sa"),
            "nobody": somebody(kubectl, "nobody"),
            **{it: somebody(system, f"pgset-{it}") for it in ("webhook", "certs", "caretaker")},
        }
        mark = ("sidecars.pgset.dev", "", "be")
        wait_until(lambda: found["sidecar"].may(NAMESPACE, mark), TAKES_EFFECT_WITHIN)
        yield found
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


PLACES = {SYSTEM: (SYSTEM,), NAMESPACE: (OF_A_SET,), "default": ()}
"""Namespaces, and where in the table they are beside everywhere."""


def promised(process: str, namespace: str) -> set[Right]:
    return told(process, EVERYWHERE).union(*(told(process, it) for it in PLACES[namespace]))


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
@pytest.mark.parametrize("process", ["webhook", "certs", "caretaker", "sidecar"])
@pytest.mark.parametrize("namespace", [SYSTEM, NAMESPACE, "default"])
def test_rbac_gives_what_the_table_says_and_what_everybody_has(asking, process, namespace):
    everybodys = asking["nobody"].rules(namespace)
    assert asking[process].rules(namespace) - everybodys == promised(process, namespace)


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
def test_whatever_is_tried_is_allowed_by_the_table_or_refused(asking):
    resources = known(Kubectl(SYSTEM))
    assert {"pods", "pods/exec", "secrets", "serviceaccounts/token", "nodes"} < {*resources}
    tried = [(it, "", verb) for it, verbs in resources.items() for verb in verbs]
    tried += [(it, "", verb) for it in OF_PEOPLE for verb in SPECIAL]

    def allowed(process: str) -> set[Right]:
        # In a namespace also that is allowed which is allowed in all.
        place = NAMESPACE if process == "sidecar" else SYSTEM
        return {it for it in tried if asking[process].may(place, it)}

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(asking, pool.map(allowed, asking), strict=True))
    everybodys = found.pop("nobody")
    for process, rights in found.items():
        place = NAMESPACE if process == "sidecar" else SYSTEM
        unnamed = {it for it in promised(process, place) if not it[1]}
        assert rights - everybodys == unnamed - everybodys, process
