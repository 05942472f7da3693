"""The Kubernetes objects that all kinds of StatefulSets are made of."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from deploy.local import paths

NAMESPACE: Final = "pgset-adopt"
OURS: Final = {"app.kubernetes.io/part-of": NAMESPACE}
"""On the volumes, which are in no namespace."""

FOLDER: Final = paths.volumes() / "adopt"
"""What stands in for the volumes: folders that all nodes see."""

ORDINALS: Final = (0, 1, 2)

_CLASS: Final = NAMESPACE

Manifest = dict[str, Any]


def named(version: str, kind: str, name: str, **more: Any) -> Manifest:
    """Return an object in the namespace."""
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def service(name: str, selector: Mapping[str, str], target: int | str = 5432) -> Manifest:
    """Return the Service that clients use."""
    ports = [{"name": "postgresql", "port": 5432, "targetPort": target}]
    return named("v1", "Service", name, spec={"selector": dict(selector), "ports": ports})


def headless(name: str, selector: Mapping[str, str]) -> Manifest:
    """Return the Service that pods have their names by."""
    ports = [{"name": "postgresql", "port": 5432}]
    spec = {"clusterIP": "None", "selector": dict(selector), "ports": ports}
    return named("v1", "Service", name, spec=spec)


def statefulset(
    name: str,
    labels: Mapping[str, str],
    pod: Manifest,
    *,
    claim: str,
    governing: str | None = None,
    policy: str | None = None,
) -> Manifest:
    """Return a StatefulSet of one with a volume of its own, as one that has never heard of pgset.

    `governing`: the Service that it names; its own name by default. Nothing stands in place of a
    `policy` that charts leave out.
    """
    found = named("apps/v1", "StatefulSet", name)
    found["spec"] = {
        "serviceName": governing or name,
        "replicas": 1,
        **({"podManagementPolicy": policy} if policy else {}),
        "selector": {"matchLabels": dict(labels)},
        "template": {"metadata": {"labels": dict(labels)}, "spec": pod},
        "volumeClaimTemplates": [
            {
                "metadata": {"name": claim},
                "spec": {
                    "storageClassName": _CLASS,
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "2Gi"}},
                },
            }
        ],
    }
    return found


def volumes(name: str, claim: str) -> list[Manifest]:
    """Return a volume for each of three members."""
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{NAMESPACE}-{name}-{ordinal}", "labels": OURS},
            "spec": {
                "storageClassName": _CLASS,
                "capacity": {"storage": "2Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"namespace": NAMESPACE, "name": f"{claim}-{name}-{ordinal}"},
                "hostPath": {"path": str(FOLDER / f"{name}-{ordinal}"), "type": "Directory"},
            },
        }
        for ordinal in ORDINALS
    ]


def isready(words: Sequence[str] = ("pg_isready", "-h", "localhost"), **times: int) -> Manifest:
    """Return a probe by pg_isready; times are the probe's own fields, in seconds."""
    return {"exec": {"command": list(words)}, **times}
