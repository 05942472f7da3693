"""Who may be asked to lead, and what has come of it. No I/O."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto

from cli.facts import Pod, There, Workload
from cli.view import holder_of, lease_of, pods_of

REFUSED_EVENTS = ("SwitchoverRefused", "SwitchoverFailed")
"""The reasons of the sidecar's Events."""


def candidate(workload: Workload, there: There) -> str | None:
    """Return the replica to prefer: ready, in sync where commits wait for some, the first."""
    lease = lease_of(workload, there)
    voters = lease.voters if lease else ()
    ready = [
        it
        for it in pods_of(workload, there)
        if it.ready
        and not (it.leaving or it.fenced or it.nofailover)
        and it.labels.get(workload.role_label) == workload.replica_value
    ]
    best = sorted(ready, key=lambda it: (it.name not in voters, len(it.name), it.name))
    return best[0].name if best else None


@dataclass(frozen=True)
class Asked:
    """A request: who, before it, is asked so that somebody leads."""

    workload: Workload
    pod: Pod
    to: str
    before: frozenset[str] = frozenset()
    """The Events that were there before, by their UIDs."""


class Outcome(Enum):
    """What a look at a set shows."""

    WAITING = auto()
    NOBODY = auto()
    """Nobody has the primary's role."""
    DONE = auto()
    REFUSED = auto()


@dataclass(frozen=True)
class Said:
    """The same with a sentence, if there is one to tell."""

    outcome: Outcome
    sentence: str = ""


def newest_refusal(asked: Asked, there: There, reasons: Collection[str]) -> str | None:
    """Return what the pod that was asked has refused it with; None if it has not."""
    refusals = [
        it
        for it in there.events
        if it.reason in reasons and it.name == asked.pod.name and it.id not in asked.before
    ]
    return max(refusals, key=lambda it: str(it.time)).message if refusals else None


def outcome(asked: Asked, there: There) -> Said:
    """Return what has come of it."""
    now = holder_of(asked.workload, there)
    if now is not None and now.uid != asked.pod.uid:
        if now.name == asked.to:
            return Said(Outcome.DONE, f"{now.name} is primary")
        return Said(Outcome.REFUSED, f"{now.name} is primary, and not {asked.to}")
    lease = lease_of(asked.workload, there)
    if lease is not None and not lease.switchover_to and not lease.heir and now is not None:
        refusal = newest_refusal(asked, there, REFUSED_EVENTS)
        if refusal is not None:
            return Said(Outcome.REFUSED, refusal)
    return Said(Outcome.WAITING if now is not None else Outcome.NOBODY)
