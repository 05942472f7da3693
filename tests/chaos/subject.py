"""The set that is put under faults: one member a node, each with a volume of its own."""

import json
import os
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final

from deploy.demo import manifests
from deploy.demo.stage import SYSTEM, Stage
from deploy.local import images
from sidecar import contract
from tests.chaos import api, volumes
from tests.chaos.pod_processes import MARK, node_of

SET: Final = os.environ.get("CHAOS_SET") or "chaos"
"""Several can be under faults at once, each by a process of its own: all that they have is named
after them. Its faults may then strike nothing but the set."""
NAMESPACE: Final = f"pgset-{SET}"
PODS: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"
LEASES: Final = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
LEASE: Final = f"{LEASES}/{contract.lease_name(SET)}"
STATEFULSET: Final = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/{SET}"
EVENTS: Final = f"/api/v1/namespaces/{NAMESPACE}/events"
BUDGETS: Final = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"
SLICES: Final = (
    f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
    f"?labelSelector=kubernetes.io/service-name={contract.primary_service(SET)}"
)
SWITCHOVER: Final = f"{contract.DOMAIN}/switchover-to"

SCRATCH: Final = "/scratch"

_OURS: Final = {"app.kubernetes.io/part-of": NAMESPACE}
_CLASS: Final = NAMESPACE
_DATA: Final = "data"
_MOUNT: Final = "/var/lib/postgresql/data"

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """The set, as it is wanted."""

    stage: Stage
    replicas: int
    durability: str
    password: str
    policy: str = "Parallel"
    """podManagementPolicy: whether pods are made at once, or each when the one before is ready."""

    @property
    def members(self) -> tuple[str, ...]:
        """The names of its pods."""
        return tuple(f"{SET}-{ordinal}" for ordinal in range(self.replicas))

    def service_address(self, role: str) -> str:
        """Return the ClusterIP of the Service of that role."""
        service = api.request("GET", f"/api/v1/namespaces/{NAMESPACE}/services/{SET}-{role}")
        return str(service["spec"]["clusterIP"])


def new(stage: Stage, replicas: int, durability: str, policy: str = "Parallel") -> Subject:
    """Describe a set; nothing is made yet."""
    return Subject(stage, replicas, durability, secrets.token_hex(8), policy)


def install(stage: Stage) -> None:
    """Install pgset, and take up an image that has changed since."""
    keys = {image.reference: image.key for image in images.all_images()}
    stage.apply_folder(manifests.install(stage))
    # The image's name stays the same: only a changed template makes new pods of it. Not by what is
    # applied: other lanes apply that without it, and each time all pods would be made anew.
    stamp = {"pgset-chaos/image-key": keys[images.PGSET]}
    patch = json.dumps({"spec": {"template": {"metadata": {"annotations": stamp}}}})
    for name in ("pgset-caretaker", "pgset-certs", "pgset-webhook"):
        stage.ask("-n", SYSTEM, "patch", "deployment", name, "--patch", patch)
    stage.ask("-n", SYSTEM, "rollout", "status", "deployment/pgset-webhook", "--timeout=600s")


def create(subject: Subject) -> None:
    """Put the set on the cluster, from nothing."""
    sweep(subject.stage)
    for member in subject.members:
        volumes.provide(member)
    stage = subject.stage
    stage.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    grant = manifests.CHECKOUT / "deploy/grant"
    stage.ask("apply", "-k", str(manifests.overlay(stage, grant, "grant-chaos", NAMESPACE)))
    stage.apply(_manifests(subject))


def sweep(stage: Stage) -> None:
    """Remove the set of an earlier run; its volumes' file systems stay."""
    stage.delete_namespace(NAMESPACE)
    selector = ",".join(f"{key}={value}" for key, value in _OURS.items())
    stage.ask("delete", "persistentvolume", "-l", selector, "--timeout=600s")


def delete_pod(member: str) -> float:
    """Delete a pod as kubectl does, and return when."""
    at = time.monotonic()
    api.request("DELETE", f"{PODS}/{member}")
    return at


def _manifests(subject: Subject) -> list[Manifest]:
    return [
        _object("v1", "ServiceAccount", "pgset-sa"),
        _object("v1", "Secret", SET, stringData={"password": subject.password}),
        _service(SET, {"app": SET}, clusterIP="None", publishNotReadyAddresses=True),
        _of_role("primary", publishNotReadyAddresses=True),
        _of_role("replica"),
        *(_volume(member) for member in subject.members),
        _statefulset(subject),
    ]


def _object(version: str, kind: str, name: str, **more: Any) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def _service(name: str, selector: dict[str, str], **more: Any) -> Manifest:
    ports = [{"name": "postgresql", "port": contract.POSTGRES_PORT}]
    return _object("v1", "Service", name, spec={"selector": selector, "ports": ports, **more})


def _of_role(role: str, **more: Any) -> Manifest:
    """Describe a Service as the caretaker makes it."""
    return _service(f"{SET}-{role}", {"app": SET, contract.DEFAULT_ROLE_LABEL: role}, **more)


def _volume(member: str) -> Manifest:
    """Describe a local volume: it is what puts the member on its node."""
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node_of(member).name]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{NAMESPACE}-{member}", "labels": _OURS},
        "spec": {
            "storageClassName": _CLASS,
            "capacity": {"storage": f"{volumes.MEGABYTES}Mi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": NAMESPACE, "name": f"{_DATA}-{member}"},
            "local": {"path": str(volumes.folder(member))},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }


def _statefulset(subject: Subject) -> Manifest:
    password = {"secretKeyRef": {"name": SET, "key": "password"}}
    container = {
        "name": "postgres",
        "image": manifests.postgres_image(subject.stage),
        "env": [
            {"name": "POSTGRES_PASSWORD", "valueFrom": password},
            {"name": "PGDATA", "value": f"{_MOUNT}/pgdata"},
            MARK,
        ],
        "volumeMounts": [
            {"name": _DATA, "mountPath": _MOUNT},
            {"name": "scratch", "mountPath": SCRATCH},
        ],
    }
    # A kubelet evicts a pod that has more in it, as under pressure of its node.
    scratch = {"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}
    claim = {
        "storageClassName": _CLASS,
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{volumes.MEGABYTES}Mi"}},
    }
    found = _object("apps/v1", "StatefulSet", SET)
    found["metadata"]["annotations"] = {
        contract.ENABLED: "true",
        contract.DURABILITY: subject.durability,
    }
    found["spec"] = {
        "serviceName": SET,
        "replicas": subject.replicas,
        "podManagementPolicy": subject.policy,
        "selector": {"matchLabels": {"app": SET}},
        "template": {
            "metadata": {"labels": {"app": SET}},
            "spec": {
                "serviceAccountName": "pgset-sa",
                "containers": [container],
                "volumes": [scratch],
            },
        },
        "volumeClaimTemplates": [{"metadata": {"name": _DATA}, "spec": claim}],
    }
    return found
