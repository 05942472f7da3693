"""What is asked of kubectl, for the values of `facts`: gets and lists alone."""

from __future__ import annotations

import datetime

from cli.facts import There, Workload
from cli.kubectl import CannotError, Kubectl
from cli.view import SetView, sets
from sidecar import contract


def now() -> datetime.datetime:
    """Return this machine's time."""
    return datetime.datetime.now(datetime.timezone.utc)


def all_sets(kubectl: Kubectl) -> There:
    """Read the sets of all namespaces."""
    return There.from_json(
        kubectl.together(
            ("statefulsets", "-A"),
            ("pods", "-A", "-l", contract.SET_LABEL),
            ("leases", "-A", "-l", contract.SET_LABEL),
            ("services", "-A"),
        )
    )


def namespace(kubectl: Kubectl, *, events: bool = False) -> There:
    """Read the sets of one namespace; `events`: all that was said there, too."""
    where = ("-n", kubectl.namespace)
    requests = [
        (kind, *where)
        for kind in ("statefulsets", "pods", "leases", "services", *(["events"] if events else []))
    ]
    return There.from_json(kubectl.together(*requests))


def the_set(there: There, name: str, where: str) -> Workload:
    """Return the set of this name. Raises CannotError if there is none."""
    found = next((it for it in there.workloads if it.name == name), None)
    if found is None:
        names = ", ".join(it.name for it in there.workloads)
        raise CannotError(
            f'namespace "{where}" has no set "{name}": '
            + (f"its sets are {names}" if names else "no StatefulSet there has opted in")
        )
    return found


def only(there: There, workload: Workload) -> There:
    """Return the same without the other sets."""
    return There(
        workloads=(workload,),
        pods=there.pods,
        leases=there.leases,
        services=there.services,
        events=there.events,
    )


def views(there: There) -> tuple[SetView, ...]:
    """Return the views as of now."""
    return sets(there, now())
