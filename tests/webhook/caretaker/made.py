"""Objects of a namespace `shop`, as the caretaker sees them, with what a test says of them."""

from typing import Any

from sidecar.settings import Settings
from webhook.caretaker.facts import Binding, Json, Member, Namespace, Service, Workload

SHOP = "shop"


def workload(name: str = "orders", **said: Any) -> Workload:
    """A set that the webhook has stamped."""
    return Workload(
        **{
            "namespace": SHOP,
            "name": name,
            "uid": f"uid-{name}",
            "settings": Settings(set_name=name),
            "pod_labels": {"app": name, "pgset.dev/set": name},
            **said,
        }
    )


def member(name: str = "orders-0", **said: Any) -> Member:
    owner = name.rpartition("-")[0]
    uids = {"uid": f"uid-{name}", "owner_uid": f"uid-{owner}"}
    return Member(**{"name": name, "owner": owner, **uids, **said})


def both_services(name: str = "orders") -> tuple[Service, Service]:
    """Services as the README's quick start makes them."""
    primary, replica = (
        Service(name=f"{name}-{role}", selector={"app": name, "pgset.dev/role": role})
        for role in ("primary", "replica")
    )
    return primary, replica


def binding(*accounts: str, ours: bool = True) -> Binding:
    return Binding(uid="b", resource_version="7", ours=ours, accounts=frozenset(accounts))


def there(*workloads: Workload, **said: Any) -> Namespace:
    """The namespace with these sets, and what they need."""
    services = tuple(it for one in workloads for it in both_services(one.name))
    needed = frozenset(it.service_account for it in workloads)
    return Namespace(
        **{
            "name": SHOP,
            "workloads": workloads,
            "services": services,
            "granted": needed,
            **said,
        }
    )


def statefulset(name: str = "orders", **annotations: str) -> Json:
    """A StatefulSet as the API server answers with it."""
    return {
        "metadata": {
            "namespace": SHOP,
            "name": name,
            "uid": f"uid-{name}",
            "annotations": {f"pgset.dev/{key}": value for key, value in annotations.items()},
        },
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name, "pgset.dev/set": name}},
                "spec": {"containers": [{"name": "postgres", "image": "postgres:15"}]},
            },
        },
    }
