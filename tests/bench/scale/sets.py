"""The objects of many sets, and of the rest of a cluster. All pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sidecar import contract

Json = dict[str, Any]

MEMBERS: Final = 3
NODE: Final = "nobody-runs-it"
"""The node of all pods, so that nobody has to schedule them. There is none by this name."""


@dataclass(frozen=True)
class Set:
    """One set, by its number."""

    number: int
    in_namespace: int
    """How many sets share a namespace."""

    @property
    def name(self) -> str:
        """Of its StatefulSet."""
        return f"set-{self.number}"

    @property
    def namespace(self) -> str:
        """Where it is."""
        return f"bench-{self.number // self.in_namespace}"

    def path(self, resource: str, api: str = "/api/v1") -> str:
        """Return the path of its namespace's objects of a kind."""
        return f"{api}/namespaces/{self.namespace}/{resource}"

    def statefulset(self) -> Json:
        """Return it as a user writes it: stock settings, and no volume that has to be made."""
        data = {"name": "data", "mountPath": "/var/lib/postgresql/data"}
        container = {
            "name": "postgres",
            "image": "postgres:15",
            "env": [
                {"name": "POSTGRES_PASSWORD", "valueFrom": _password(self.name)},
                {"name": "PGDATA", "value": f"{data['mountPath']}/pgdata"},
            ],
            "ports": [{"name": "postgres", "containerPort": 5432}],
            "volumeMounts": [data],
        }
        labels = {"app": self.name}
        return {
            "metadata": {"name": self.name, "annotations": {contract.ENABLED: "true"}},
            "spec": {
                "serviceName": self.name,
                "replicas": MEMBERS,
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "nodeName": NODE,
                        "containers": [container],
                        "volumes": [{"name": "data", "emptyDir": {}}],
                    },
                },
            },
        }

    def governing_service(self) -> Json:
        """Return the headless Service that a StatefulSet takes."""
        return {
            "metadata": {"name": self.name},
            "spec": {
                "clusterIP": "None",
                "selector": {"app": self.name},
                "ports": [{"port": 5432}],
            },
        }

    def lease(self) -> Json:
        """Return its Lease, of about the size that a sidecar's has."""
        members = ",".join(f"{self.name}-{it}" for it in range(MEMBERS))
        notes = {
            contract.SYSTEM_IDENTIFIER: "7390000000000000000",
            contract.TIMELINE: "1",
            contract.MEMBERS: members,
            contract.HISTORY: f"1 {self.name}-0 2026-01-01T00:00:00Z",
            contract.POSITION: "50331648",
            contract.IN_SYNC: members,
            contract.LIVES: ",".join(["term-1", *["5b0c9c2e-7d5f-4f0e-8a0c-5d0f4b4a7f21"] * 3]),
        }
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": contract.lease_name(self.name),
                "namespace": self.namespace,
                "labels": {contract.SET_LABEL: self.name},
                "annotations": notes,
            },
            "spec": {
                "holderIdentity": f"{self.name}-0",
                "leaseDurationSeconds": 10,
                "leaseTransitions": 1,
            },
        }


def sets(first: int, last: int, in_namespace: int) -> Iterator[Set]:
    """Return the sets with these numbers, but the last."""
    return (Set(it, in_namespace) for it in range(first, last))


def ready(set_name: str, pod: str) -> Json:
    """Return the change of a pod by which it is a member that runs: what a kubelet and a sidecar
    write of it."""
    now = "2026-01-01T00:00:00Z"
    running = {"ready": True, "started": True, "restartCount": 0, "imageID": "", "image": "pgset"}
    running["state"] = {"running": {"startedAt": now}}
    role = "primary" if pod == f"{set_name}-0" else "replica"
    return {
        "metadata": {
            "labels": {contract.DEFAULT_ROLE_LABEL: role},
            "annotations": {contract.STATUS: '{"state":"running","timeline":1,"lag":0}'},
        },
        "status": {
            "phase": "Running",
            "podIP": "10.1.2.3",
            "podIPs": [{"ip": "10.1.2.3"}],
            "startTime": now,
            "conditions": [
                {"type": it, "status": "True", "lastTransitionTime": now}
                for it in ("Initialized", "ContainersReady", "PodScheduled", "Ready")
            ],
            "containerStatuses": [{"name": "postgres", **running}],
            "initContainerStatuses": [{"name": contract.SIDECAR_CONTAINER, **running}],
        },
    }


def plain_pod(number: int) -> Json:
    """Return a pod of the rest of the cluster."""
    labels = {"app": f"other-{number // 10}"}
    return {
        "metadata": {"name": f"other-{number}", "labels": labels},
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "other:1"}]},
    }


def _password(name: str) -> Json:
    return {"secretKeyRef": {"name": name, "key": "password"}}
