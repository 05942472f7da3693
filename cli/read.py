"""What is asked of kubectl, for the values of `facts` and `installation`: gets and lists alone."""

from __future__ import annotations

import datetime
from typing import Final

from cli.facts import Json, There, Workload
from cli.installation import Installation, Unread
from cli.kubectl import CannotError, Kubectl
from cli.view import SetView, sets
from sidecar import contract

SYSTEM: Final = "pgset-system"
"""Where pgset is, as long as its registration does not say otherwise."""


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


def installation(kubectl: Kubectl) -> Installation:
    """Read what is installed; what the user may not read is named in it, and not judged."""
    unread: list[Unread] = []

    def ask(what: str, *words: str) -> list[Json] | None:
        try:
            return kubectl.items(*words)
        except CannotError as error:
            unread.append(Unread(what, str(error)))
            return None

    registrations = ask(
        "the webhook's registration",
        *("mutatingwebhookconfigurations", "-l", "app.kubernetes.io/name=pgset"),
    )
    system = SYSTEM
    for webhook in (registrations or [{}])[0].get("webhooks") or [] if registrations else []:
        system = ((webhook.get("clientConfig") or {}).get("service") or {}).get("namespace", SYSTEM)
    deployments = ask("pgset's Deployments", "deployments", "-n", system)
    return Installation.from_json(system, registrations, deployments, tuple(unread))


def quotas(kubectl: Kubectl) -> list[Json]:
    """Return the namespace's ResourceQuotas; none if they may not be read."""
    try:
        return kubectl.items("resourcequotas", "-n", kubectl.namespace)
    except CannotError:
        return []


def claims(kubectl: Kubectl) -> list[Json]:
    """Return the namespace's PersistentVolumeClaims; none if they may not be read."""
    try:
        return kubectl.items("persistentvolumeclaims", "-n", kubectl.namespace)
    except CannotError:
        return []


def views(there: There) -> tuple[SetView, ...]:
    """Return the views as of now."""
    return sets(there, now())
