"""What is wrong: read as far as the user may, told with the command that cures it."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Final

from cli import as_json, cause, diagnosis, read
from cli.cause import Cause
from cli.facts import There, Workload
from cli.installation import PARTS, Installation, Unread
from cli.kubectl import CannotError, Kubectl
from cli.pod_spec import Json
from cli.seen import Surroundings
from cli.text import BOLD, YELLOW, Paint
from cli.view import FAILED

SYSTEM: Final = "pgset-system"
"""Where pgset is, as long as its registration does not say otherwise."""


ESSENTIAL: Final = ("pods", "leases")
"""Kinds without which nothing can be said of a set."""


def doctor(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:
    """Say what is wrong with what is installed and with each set."""
    there = read.namespace(kubectl, events=True)
    workloads = there.workloads
    if chosen.set is not None:
        workloads = (read.the_set(there, chosen.set, kubectl.namespace),)
    installed = installation(kubectl)
    unread = [*there.unread, *installed.unread]
    causes = causes_of(kubectl, workloads, there, installed, unread)
    for line in read.told_unread(unread):
        print(line, file=sys.stderr)
    if chosen.output == "json":
        print(as_json.doctor(causes, unread))
    else:
        print(told(causes, len(workloads), paint, unread))
    if any(it.what in ESSENTIAL for it in unread) and not causes:
        return FAILED
    return 1 if causes else 0


def causes_of(
    kubectl: Kubectl,
    workloads: Sequence[Workload],
    there: There,
    installed: Installation,
    unread: list[Unread],
) -> list[Cause]:
    """Return the causes, those of all sets first; `unread` gets what could not be looked at."""
    surroundings = Surroundings(
        quotas=_if_allowed(kubectl, "resourcequotas", unread),
        claims=_if_allowed(kubectl, "persistentvolumeclaims", unread),
        budgets=_if_allowed(kubectl, "poddisruptionbudgets", unread),
        policies=_if_allowed(kubectl, "networkpolicies", unread),
    )
    now = read.now()
    needed = is_needed(installed, workloads)
    found = list(cause.of_installation(installed, now, kubectl.shown)) if needed else []
    # Without pods or the Lease, all that is there would look as if it were gone.
    judged = not any(it.what in ESSENTIAL for it in there.unread)
    for workload in workloads if judged else ():
        found += diagnosis.of_set(
            workload, there, installed, surroundings, now=now, kubectl=kubectl.shown
        )
    return found


def is_needed(installed: Installation, workloads: Sequence[Workload]) -> bool:
    """Return whether these sets need an installation: not where there is none, and all of them have
    their sidecar by `inject`."""
    absent = installed.registered is False and not installed.parts
    return not (absent and workloads and all(it.injected for it in workloads))


def told(causes: Sequence[Cause], sets: int, paint: Paint, unread: Sequence[Unread] = ()) -> str:
    """Return what was found in so many sets."""
    if not causes and unread:
        kinds = ", ".join(dict.fromkeys(it.what for it in unread))
        return f"Nothing was found, but not all could be looked at: {kinds}."
    if not causes:
        return f"Nothing is wrong with pgset and {sets} {'set' if sets == 1 else 'sets'}."
    found = (
        f"{paint(BOLD, it.where)}: {paint(YELLOW, it.sentence)}\n    {it.command}" for it in causes
    )
    return "\n".join(found)


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
    if registrations is None and not any(
        it["metadata"]["name"] in PARTS for it in deployments or []
    ):
        # Nobody has said where pgset is, and it is not where it usually is.
        deployments = None
    return Installation.from_json(system, registrations, deployments, tuple(unread))


def _if_allowed(kubectl: Kubectl, kind: str, unread: list[Unread]) -> list[Json]:
    """Return the namespace's objects of this kind; none if they may not be read."""
    try:
        return kubectl.items(kind, "-n", kubectl.namespace)
    except CannotError as error:
        unread.append(Unread(kind, str(error)))
        return []
