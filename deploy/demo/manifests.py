"""What the walk-through adds to deploy/examples: a client, plain workloads, places to store."""

from pathlib import Path
from typing import Any

import yaml

from deploy.demo.stage import NAMESPACE, SYSTEM, Stage

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLE = CHECKOUT / "deploy/examples/pgset"
POSTGRES_IMAGE = "postgres:15"
STORAGE_CLASS = NAMESPACE
"""No object, only a name: whose volumes a claim may have."""
OURS = {"app.kubernetes.io/part-of": NAMESPACE}
"""On the cluster-wide objects that the demo makes, so that it removes no others."""

Manifest = dict[str, Any]


def overlay(stage: Stage, base: Path, name: str, namespace: str, **more: Any) -> Path:
    """Write a kustomization over `base` with the stage's images, and return its folder."""
    folder = stage.workspace / name
    folder.mkdir(parents=True, exist_ok=True)
    relative = Path(*[".."] * len(folder.resolve().parts[1:])) / base.relative_to("/")
    kustomization: Manifest = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [str(relative)],
        "images": _images(stage),
        **more,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return folder


def _images(stage: Stage) -> list[dict[str, str]]:
    if stage.images is None:
        return []
    return [
        _image(name, new) for name, new in zip(("pgset", "postgres"), stage.images, strict=True)
    ]


def _image(name: str, new: str) -> dict[str, str]:
    repository, _, tag = new.rpartition(":")
    if not repository or "/" in tag:
        return {"name": name, "newName": new}
    return {"name": name, "newName": repository, "newTag": tag}


def install(stage: Stage) -> Path:
    """Return the overlay that installs pgset."""
    return overlay(stage, CHECKOUT / "deploy", "install", SYSTEM)


def grant(stage: Stage) -> Path:
    """Return the overlay that gives the demo's namespace its sidecars' rights."""
    return overlay(stage, CHECKOUT / "deploy/grant", "grant", NAMESPACE)


def example(stage: Stage, base: Path = EXAMPLE) -> Path:
    """Return the overlay of the article's example, its volumes in the stage's folder."""
    patches = [
        _patch("PersistentVolumeClaim", ("/spec/storageClassName", STORAGE_CLASS)),
        *(
            _patch(
                "PersistentVolume",
                ("/metadata/name", f"{NAMESPACE}-{volume}"),
                ("/spec/storageClassName", STORAGE_CLASS),
                ("/spec/hostPath/path", f"{stage.folder}/{volume}"),
                name=volume,
            )
            for volume in ("pv1", "pv2", "pv3")
        ),
    ]
    if stage.node is not None:
        where = {"kubernetes.io/hostname": stage.node}
        patches.append(_patch("StatefulSet", ("/spec/template/spec/nodeSelector", where)))
    labels = [{"pairs": OURS}]
    return overlay(stage, base, base.name, NAMESPACE, patches=patches, labels=labels)


def _patch(kind: str, *fields: tuple[str, Any], name: str | None = None) -> dict[str, Any]:
    """Return what gives fields of an example's object (of all of a kind) other values."""
    added = [{"op": "add", "path": path, "value": value} for path, value in fields]
    return {
        "target": {"kind": kind} | ({"name": name} if name else {}),
        "patch": yaml.safe_dump(added),
        "options": {"allowNameChange": True},
    }


def postgres_image(stage: Stage) -> str:
    """Return the PostgreSQL image to use."""
    return stage.images[1] if stage.images else POSTGRES_IMAGE


def client(stage: Stage) -> Manifest:
    """Return a pod with psql in it, which also sees the shared volume."""
    return _placed(
        stage,
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "client", "namespace": NAMESPACE},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": False,
                "containers": [
                    {
                        "name": "client",
                        "image": postgres_image(stage),
                        "command": ["sleep", "infinity"],
                        "env": [
                            {
                                "name": "PGPASSWORD",
                                "valueFrom": {"secretKeyRef": {"name": "pgset", "key": "password"}},
                            }
                        ],
                        "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
                    }
                ],
                "volumes": [
                    {"name": "shared", "persistentVolumeClaim": {"claimName": "pgset-pvc"}}
                ],
            },
        },
    )


def plain_pod(stage: Stage) -> Manifest:
    """Return a pod that has nothing to do with us."""
    spec = {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {"name": "app", "image": postgres_image(stage), "command": ["sleep", "infinity"]}
        ],
    }
    metadata = {"name": "plain", "namespace": NAMESPACE, "labels": {"app": "plain"}}
    return _placed(stage, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def legacy(
    stage: Stage, *, name: str = "legacy", replicas: int = 1, first: int = 0
) -> list[Manifest]:
    """Return what runs one PostgreSQL today: a plain StatefulSet with a claim of its own."""
    return [
        *(_legacy_volume(stage, name, ordinal) for ordinal in range(first, first + 3)),
        *(_service(name, role) for role in ("primary", "replica")),
        _legacy_statefulset(stage, name, replicas),
    ]


def _legacy_statefulset(stage: Stage, name: str, replicas: int) -> Manifest:
    container = {
        "name": "postgres",
        "image": postgres_image(stage),
        "env": [
            {
                "name": "POSTGRES_PASSWORD",
                "valueFrom": {"secretKeyRef": {"name": "pgset", "key": "password"}},
            },
            {"name": "PGDATA", "value": "/var/lib/postgresql/data/pgdata"},
        ],
        "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "serviceName": name,
            "replicas": replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": name}},
            "template": _placed(
                stage,
                {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"serviceAccountName": "pgset-sa", "containers": [container]},
                },
            ),
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "data"},
                    "spec": {
                        "storageClassName": STORAGE_CLASS,
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": "1Gi"}},
                    },
                }
            ],
        },
    }


def _legacy_volume(stage: Stage, name: str, ordinal: int) -> Manifest:
    volume = f"{NAMESPACE}-{name}-{ordinal}"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume, "labels": OURS},
        "spec": {
            "storageClassName": STORAGE_CLASS,
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": NAMESPACE, "name": f"data-{name}-{ordinal}"},
            "hostPath": {"path": f"{stage.folder}/{volume}", "type": "DirectoryOrCreate"},
        },
    }


def _service(name: str, role: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{name}-{role}", "namespace": NAMESPACE},
        "spec": {
            "selector": {"app": name, "pgset.dev/role": role},
            "ports": [{"name": "postgresql", "port": 5432}],
            "publishNotReadyAddresses": role == "primary",
        },
    }


def _placed(stage: Stage, pod: Manifest) -> Manifest:
    if stage.node is not None:
        pod["spec"]["nodeSelector"] = {"kubernetes.io/hostname": stage.node}
    return pod
