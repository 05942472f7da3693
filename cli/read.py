"""What is asked of kubectl, for the values of `facts`: gets and lists alone."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Final

from cli.facts import There, Workload
from cli.installation import Unread
from cli.kubectl import CannotError, Kubectl
from cli.view import SetView, sets
from sidecar import contract

MOST_NAMESPACES: Final = 10
"""In so many it is seen whether pods of sets are there without a label: each takes a question."""

KINDS: Final = ("statefulsets", "pods", "leases", "services")


def now() -> datetime.datetime:
    """Return this machine's time."""
    return datetime.datetime.now(datetime.timezone.utc)


def all_sets(kubectl: Kubectl) -> There:
    """Read the sets of all namespaces."""
    items, unread = kubectl.together(
        ("statefulsets", "-A"),
        ("pods", "-A", "-l", contract.SET_LABEL),
        ("leases", "-A", "-l", contract.SET_LABEL),
        ("services", "-A"),
    )
    there = There.from_json(items, unread)
    if any(it.what == "pods" for it in unread):
        return there
    # A pod from before its set was opted in has no label, and is not absent.
    named = {(it.namespace, it.name) for it in there.pods}
    lacking = {
        it.namespace
        for it in there.workloads
        if not {(it.namespace, pod) for pod in it.pods} <= named
    }
    where = sorted(lacking)[:MOST_NAMESPACES]
    if not where:
        return there
    requests = [("pods", "-n", it, "-l", f"!{contract.SET_LABEL}") for it in where]
    more, more_unread = kubectl.together(*requests)
    return There.from_json([*items, *more], (*unread, *more_unread))


def namespace(kubectl: Kubectl, *needed: str, events: bool = False) -> There:
    """Read the sets of one namespace; `events`: all that was said there, too.

    `needed`: the kinds without which the question can't be answered, beside StatefulSets. Raises
    CannotError if one of them can't be read.
    """
    where = ("-n", kubectl.namespace)
    requests = [(kind, *where) for kind in (*KINDS, *(["events"] if events else []))]
    there = There.from_json(*kubectl.together(*requests))
    need(there, *needed)
    return there


def need(there: There, *kinds: str) -> None:
    """Raise CannotError if StatefulSets or one of these kinds could not be read."""
    for it in there.unread:
        if it.what in ("statefulsets", *kinds):
            raise CannotError(it.why)


def told_unread(unread: Iterable[Unread]) -> list[str]:
    """Return lines that say what could not be looked at."""
    return [f"not looked at: {it.what} ({it.why})" for it in unread]


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
        unread=there.unread,
    )


def views(there: There) -> tuple[SetView, ...]:
    """Return the views as of now."""
    return sets(there, now())
