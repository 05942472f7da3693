"""The set that is measured: stock settings, nobody's client, and no volume to be left behind."""

import secrets
from typing import Any, Final

from deploy.demo import manifests
from deploy.demo.stage import Stage
from deploy.demo.steps import roles
from sidecar import contract

NAMESPACE: Final = "pgset-bench"
SET: Final = "bench"
REPLICAS: Final = 3

Manifest = dict[str, Any]


def create(stage: Stage) -> None:
    """Put the set on the cluster, and wait until all follow."""
    sweep(stage)
    stage.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    grant = manifests.CHECKOUT / "deploy/grant"
    stage.ask("apply", "-k", str(manifests.overlay(stage, grant, "grant-bench", NAMESPACE)))
    stage.apply(_manifests(stage))
    wanted = ["primary", *["replica"] * (REPLICAS - 1)]
    stage.wait(
        lambda: sorted(roles(stage, SET, NAMESPACE).values()) == wanted, f"{REPLICAS} members"
    )


def sweep(stage: Stage) -> None:
    """Take the set away."""
    stage.delete_namespace(NAMESPACE, seconds=180)


def _manifests(stage: Stage) -> list[Manifest]:
    return [
        _object("v1", "ServiceAccount", "pgset-sa"),
        _object("v1", "Secret", SET, stringData={"password": secrets.token_hex(8)}),
        *(_service(f"{SET}-{role}", role) for role in ("primary", "replica")),
        _statefulset(stage),
    ]


def _object(version: str, kind: str, name: str, **more: Any) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def _service(name: str, role: str) -> Manifest:
    selector = {"app": SET, contract.DEFAULT_ROLE_LABEL: role}
    return _object("v1", "Service", name, spec={"selector": selector, "ports": [{"port": 5432}]})


def _statefulset(stage: Stage) -> Manifest:
    password = {"secretKeyRef": {"name": SET, "key": "password"}}
    data = {"name": "data", "mountPath": "/var/lib/postgresql/data"}
    container = {
        "name": "postgres",
        "image": manifests.postgres_image(stage),
        "env": [
            {"name": "POSTGRES_PASSWORD", "valueFrom": password},
            {"name": "PGDATA", "value": f"{data['mountPath']}/pgdata"},
        ],
        "volumeMounts": [data],
    }
    found = _object("apps/v1", "StatefulSet", SET)
    found["metadata"]["annotations"] = {contract.ENABLED: "true"}
    found["spec"] = {
        "serviceName": SET,
        "replicas": REPLICAS,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": {"app": SET}},
        "template": {
            "metadata": {"labels": {"app": SET}},
            "spec": {
                "serviceAccountName": "pgset-sa",
                "containers": [container],
                "volumes": [{"name": "data", "emptyDir": {}}],
            },
        },
    }
    return found
