"""What is wrong: read as far as the user may, told with the command that cures it."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import Final

from cli import cause, diagnosis, read
from cli.cause import Cause
from cli.facts import There, Workload
from cli.installation import Installation, Unread
from cli.kubectl import CannotError, Kubectl
from cli.pod_spec import Json
from cli.text import BOLD, YELLOW, Paint

SYSTEM: Final = "pgset-system"
"""Where pgset is, as long as its registration does not say otherwise."""


def doctor(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:
    """Say what is wrong with what is installed and with each set."""
    there = read.namespace(kubectl, events=True)
    workloads = there.workloads
    if chosen.set is not None:
        workloads = (read.the_set(there, chosen.set, kubectl.namespace),)
    installed = installation(kubectl)
    for it in installed.unread:
        print(f"not looked at: {it.what} ({it.why})", file=sys.stderr)
    causes = causes_of(kubectl, workloads, there, installed)
    print(told(causes, len(workloads), paint))
    return 1 if causes else 0


def causes_of(
    kubectl: Kubectl, workloads: Iterable[Workload], there: There, installed: Installation
) -> list[Cause]:
    """Return the causes, those of all sets first."""
    asked = ("resourcequotas", "persistentvolumeclaims")
    quotas, claims = (_if_allowed(kubectl, kind) for kind in asked)
    now = read.now()
    found = list(cause.of_installation(installed, now))
    for workload in workloads:
        found += diagnosis.of_set(workload, there, installed, quotas, claims, now=now)
    return found


def told(causes: Sequence[Cause], sets: int, paint: Paint) -> str:
    """Return what was found in so many sets."""
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
    return Installation.from_json(system, registrations, deployments, tuple(unread))


def _if_allowed(kubectl: Kubectl, kind: str) -> list[Json]:
    """Return the namespace's objects of this kind; none if they may not be read."""
    try:
        return kubectl.items(kind, "-n", kubectl.namespace)
    except CannotError:
        return []
