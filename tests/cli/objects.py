"""Objects as kubectl prints them: a healthy set `orders` of two, whose tests break one thing."""

import copy
import datetime
from typing import Any

from cli import diagnosis
from cli.cause import Cause
from cli.facts import There, Workload
from cli.installation import Installation, Part
from cli.seen import Surroundings

Json = dict[str, Any]

NOW = datetime.datetime(2026, 11, 29, 12, 0, 30, tzinfo=datetime.UTC)
AT = "2026-11-29T12:00:00Z"
HEALTHY = Installation(
    namespace="pgset-system",
    registered=True,
    parts=tuple(
        Part(name, 1, 1, ("pgset:1",))
        for name in ("pgset-certs", "pgset-webhook", "pgset-caretaker")
    ),
)


def statefulset(**annotations: str) -> Json:
    """`_` stands for `-` in the names of annotations."""
    ours = {f"pgset.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return {
        "kind": "StatefulSet",
        "metadata": {
            "namespace": "shop",
            "name": "orders",
            "annotations": {"pgset.dev/enabled": "true", **ours},
        },
        "spec": {
            "replicas": 2,
            "serviceName": "pods-of-orders",
            "template": {
                "metadata": {"labels": {"app": "orders", "pgset.dev/set": "orders"}},
                "spec": {"containers": [{"name": "postgres", "image": "postgres:15"}]},
            },
        },
    }


def pod(number: int, role: str, *, ready: bool = True, says: str = "") -> Json:
    status = "True" if ready else "False"
    return {
        "kind": "Pod",
        "metadata": {
            "namespace": "shop",
            "name": f"orders-{number}",
            "uid": f"uid-{number}",
            "labels": {"app": "orders", "pgset.dev/set": "orders", "pgset.dev/role": role},
            "annotations": {
                "pgset.dev/injected": "0.2.0",
                "pgset.dev/status": says or role,
            },
            "ownerReferences": [{"kind": "StatefulSet", "name": "orders", "controller": True}],
            "managedFields": [
                {"time": "2026-11-29T11:00:00Z", "fieldsV1": {"f:status": {}}},
                {
                    "time": AT,
                    "fieldsV1": {"f:metadata": {"f:annotations": {"f:pgset.dev/status": {}}}},
                },
            ],
        },
        "spec": {
            "nodeName": f"node-{number}",
            "containers": [{"name": "postgres", "image": "postgres:15"}],
        },
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": "Ready", "status": status},
                {"type": "ContainersReady", "status": status},
            ],
        },
    }


def lease(holder: int = 0, **annotations: str) -> Json:
    ours = {f"pgset.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return {
        "kind": "Lease",
        "metadata": {"namespace": "shop", "name": "pgset-orders", "annotations": ours},
        "spec": {
            "holderIdentity": f"orders-{holder}_uid-{holder}",
            "leaseDurationSeconds": 10,
            "renewTime": "2026-11-29T12:00:28.123456Z",
        },
    }


def service(name: str, **selector: str) -> Json:
    """`role` stands for `pgset.dev/role`."""
    labels = {"pgset.dev/role" if key == "role" else key: it for key, it in selector.items()}
    return {
        "kind": "Service",
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"selector": labels, "ports": [{"port": 5432, "targetPort": 5432}]},
    }


def event(kind: str, name: str, reason: str, message: str = "", **more: Any) -> Json:
    component = more.pop("component", "pgset-sidecar")
    uid = f"uid-{name[-1]}" if kind == "Pod" else ""
    return {
        "kind": "Event",
        "metadata": {"namespace": "shop", "uid": more.pop("id", reason)},
        "involvedObject": {"kind": kind, "name": name, "uid": uid},
        "source": {"component": component},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": AT,
        **more,
    }


def healthy() -> list[Json]:
    return copy.deepcopy(
        [
            statefulset(),
            pod(0, "primary"),
            pod(1, "replica", says="replica of orders-0"),
            lease(timeline="3", history=f"2 orders-1 {AT},3 orders-0 {AT}", position="50331648"),
            service("orders-primary", role="primary", app="orders"),
        ]
    )


def there(*items: Json) -> There:
    return There.from_json(items)


def the_set(found: There) -> Workload:
    (workload,) = found.workloads
    return workload


LATER = NOW + datetime.timedelta(minutes=5)


def causes(*items, installed=HEALTHY, **more: Any) -> tuple[Cause, ...]:
    """`more`: what else the namespace has, as `Surroundings` calls it."""
    found = there(*items)
    beside = Surroundings(**more)
    return diagnosis.of_set(the_set(found), found, installed, beside, now=LATER)


def command(*items, **more) -> str:
    (only,) = causes(*items, **more)
    return only.command.removeprefix("kubectl -n shop ")


def waiting(pod, container: str, reason: str, image: str = "pgset:1"):
    state = {"name": container, "image": image, "state": {"waiting": {"reason": reason}}}
    pod["status"]["initContainerStatuses"] = [state]
    return pod


def with_replica(replica, *more):
    return [statefulset(), pod(0, "primary"), replica, lease(), *more]


def said(reason: str, message: str = "waits", *, number: int = 1):
    """What the pods of `nobody_leads` and `waits` have as their sentence."""
    return event("Pod", f"orders-{number}", reason, message)


def waits():
    return pod(1, "replica", ready=False, says="waits")
