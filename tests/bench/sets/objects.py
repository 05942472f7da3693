"""Sets as users write them, each with a member on every node of the local cluster. All pure."""

from typing import Any, Final

from sidecar import contract

NAMESPACE: Final = "pgset-bench-sets"
MEMBERS: Final = 3

Json = dict[str, Any]

_SECRET: Final = "password"
_APP: Final = "app"


def name(number: int) -> str:
    """Return the name of the set with this number."""
    return f"set-{number}"


def set_of(pod: Json) -> str:
    """Return the name of a pod's set."""
    return str(pod["metadata"]["labels"][_APP])


def shared(password: str) -> list[Json]:
    """Return what all sets have together."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        _object("v1", "Secret", _SECRET, stringData={"password": password}),
    ]


def objects(set_name: str, image: str) -> list[Json]:
    """Return a set's StatefulSet and its governing Service: the caretaker makes the rest."""
    labels = {_APP: set_name}
    service = {"clusterIP": "None", "selector": labels, "ports": [{"port": contract.POSTGRES_PORT}]}
    return [
        _object("v1", "Service", set_name, spec=service),
        _statefulset(set_name, labels, image),
    ]


def _statefulset(set_name: str, labels: dict[str, str], image: str) -> Json:
    data = {"name": "data", "mountPath": "/var/lib/postgresql/data"}
    container = {
        "name": "postgres",
        "image": image,
        "env": [
            {
                "name": "POSTGRES_PASSWORD",
                "valueFrom": {"secretKeyRef": {"name": _SECRET, "key": "password"}},
            },
            {"name": "PGDATA", "value": f"{data['mountPath']}/pgdata"},
        ],
        "volumeMounts": [data],
    }
    elsewhere = {
        "labelSelector": {"matchLabels": labels},
        "topologyKey": "kubernetes.io/hostname",
    }
    found = _object("apps/v1", "StatefulSet", set_name)
    found["metadata"]["annotations"] = {contract.ENABLED: "true"}
    found["spec"] = {
        "serviceName": set_name,
        "replicas": MEMBERS,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "affinity": {
                    "podAntiAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [elsewhere]
                    }
                },
                "containers": [container],
                "volumes": [{"name": "data", "emptyDir": {}}],
            },
        },
    }
    return found


def _object(version: str, kind: str, its_name: str, **more: Any) -> Json:
    metadata = {"name": its_name, "namespace": NAMESPACE}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}
