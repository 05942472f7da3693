"""The command that has a member lead where nobody may by itself, whatever rows that costs."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from typing import Final

from cli import read
from cli.change import REFUSED, looks
from cli.facts import Lease, Pod, There, Workload
from cli.kubectl import CannotError, Kubectl
from cli.switchover import Asked, Outcome, Said, newest_refusal
from cli.text import GREEN, RED, Paint
from cli.view import FAILED, lease_of, pods_of, primary_of
from sidecar import contract

REFUSED_EVENTS: Final = ("FailoverRefused",)


def failover(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:
    """Show what may be lost, ask, and have the member lead."""
    there = read.namespace(kubectl, "pods", "leases", events=True)
    workload = read.the_set(there, chosen.set, kubectl.namespace)
    lease, pod = _may_be_asked(kubectl, workload, there, chosen.to)
    for line in at_stake(workload, there, lease, pod):
        print(line)
    if not (chosen.yes or _confirmed(workload.name)):
        print(f"kubectl pgset: that is not {workload.name}: nothing was changed", file=sys.stderr)
        return REFUSED
    words = ("annotate", "pod", pod.name, "-n", pod.namespace)
    if pod.failover == lease.version:
        # What was refused is asked again where the annotation has come anew.
        kubectl.run(*words, f"{contract.FAILOVER}-")
    uid = ("-o", "jsonpath={.metadata.uid}")
    asked = kubectl.run(*words, f"{contract.FAILOVER}={lease.version}", "--overwrite", *uid)
    if asked != pod.uid:
        kubectl.run(*words, f"{contract.FAILOVER}-")
        raise CannotError(f"{pod.name} was made anew meanwhile: look at the set again")
    print(f"{pod.name} was asked to lead; it waits for those that may lead without a loss")
    before = frozenset(it.id for it in there.events)
    return _wait(kubectl, Asked(workload, pod, pod.name, before), chosen.timeout, paint)


def _may_be_asked(kubectl: Kubectl, workload: Workload, there: There, to: str) -> tuple[Lease, Pod]:
    """Raise CannotError where that is not what helps."""
    name, primary, lease = workload.name, primary_of(workload, there), lease_of(workload, there)
    if primary is not None and primary.name == to:
        raise CannotError(f"{to} leads already")
    if primary is not None:
        hint = kubectl.hint("switchover", name, "--to", to)
        raise CannotError(f"{primary.name} leads, so nothing need be lost: {hint}")
    pod = next((it for it in pods_of(workload, there) if it.name == to), None)
    if pod is None:
        raise CannotError(f'set "{name}" has no pod "{to}"')
    if lease is None:
        raise CannotError(f'set "{name}" has no Lease that says which database is its own')
    for reason in _reasons_against(kubectl, workload, lease, pod):
        raise CannotError(reason)
    return lease, pod


def _reasons_against(kubectl: Kubectl, workload: Workload, lease: Lease, pod: Pod) -> Iterator[str]:
    """Yield why its sidecar would refuse it, or would not even hear of it."""
    if pod.leaving:
        yield f"{pod.name} is being deleted: ask again when its next pod is there"
    if lease.members and pod.name not in lease.members:
        known = ", ".join(lease.members)
        yield f"{pod.name} is none of the members that the Lease records: {known}"
    if not pod.signs:
        hint = kubectl.hint("restart", workload.name, pod.name)
        yield f"{pod.name} has no sidecar newer than version 0.2.0: {hint} gives it one"
    if pod.fenced:
        yield f"{pod.name} is fenced: {kubectl.hint('unfence', pod.name)} comes first"
    if pod.nofailover:
        words = f"{kubectl.shown} -n {pod.namespace} annotate pod {pod.name} {contract.NOFAILOVER}-"
        yield f"{pod.name} is not to take over by its annotations: {words} comes first"
    if workload.paused:
        yield f"the set is paused: {kubectl.hint('resume', workload.name)} comes first"


def at_stake(workload: Workload, there: There, lease: Lease, pod: Pod) -> Iterator[str]:
    """Yield lines that say what may be lost if this pod leads, by the Lease and the members."""
    last = lease.history[-1].pod if lease.history else lease.holder
    where = f"{workload.namespace}/{workload.name}"
    yield f"Nobody leads set {where}; {last or 'nobody'} was the last that did."
    if lease.position is not None:
        heard = lease.followers.get(pod.name)
        yield f"The last WAL position on record is {_wal(lease.position)}; " + (
            f"how much of that {pod.name} has received is not."
            if heard is None
            else f"{pod.name} had received up to {_wal(heard.received)} by then, "
            f"{max(0, lease.position - heard.received)} bytes less."
        )
    if lease.voters:
        yield (
            f"Each acknowledged commit is on at least {lease.copies} of {', '.join(lease.voters)}. "
            f"That promise is waived: what {pod.name} does not have of these commits is lost."
        )
    else:
        yield f"No standby is promised anything: what {pod.name} does not have is lost."
    pods = {it.name: it for it in pods_of(workload, there)}
    known = {*pods, *lease.members, *lease.voters, *workload.pods} - {""}
    for name in sorted(known, key=lambda it: (len(it), it)):
        if name not in pods:
            yield f"  {name}: is not there; bring it back if its data still exists"
        else:
            yield f"  {name}: {pods[name].says or 'says nothing'}"
    for other in pods.values():
        if other.name != pod.name and lease.version and other.failover == lease.version:
            yield f"{other.name} was asked to lead, too: whichever can do so first leads."
    yield "Others that have more are rewound to it, or cloned again, when they come back."


def _wal(position: int) -> str:
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def _confirmed(name: str) -> bool:
    print("Type the name of the set to go on: ", end="", flush=True)
    return sys.stdin.readline().strip() == name


def outcome(asked: Asked, there: There) -> Said:
    """Return what has come of it."""
    # A primary that is gone keeps label and Lease for a while, and the request stands.
    now = primary_of(asked.workload, there)
    if now is not None and now.name == asked.to:
        return Said(Outcome.DONE, f"{now.name} is primary")
    if now is not None:
        return Said(Outcome.REFUSED, f"{now.name} is primary, and not {asked.to}")
    if asked.pod.uid not in {it.uid for it in there.pods}:
        return Said(
            Outcome.REFUSED,
            f"the pod of {asked.to} that was asked is gone, and the request with it: look at the "
            "set again before you ask the next one",
        )
    refusal = newest_refusal(asked, there, REFUSED_EVENTS)
    return Said(Outcome.WAITING) if refusal is None else Said(Outcome.REFUSED, refusal)


def _wait(kubectl: Kubectl, asked: Asked, limit: int, paint: Paint) -> int:
    began = time.monotonic()
    try:
        for there in looks(kubectl, asked.workload, limit):
            said = outcome(asked, there)
            if said.outcome is Outcome.DONE:
                print(f"{paint(GREEN, said.sentence)} after {time.monotonic() - began:.1f} s")
                return 0
            if said.outcome is Outcome.REFUSED:
                print(paint(RED, said.sentence))
                return REFUSED
    except KeyboardInterrupt:
        print(f"\nkubectl pgset: {_stands(kubectl, asked)}", file=sys.stderr)
        raise
    print(
        f"kubectl pgset: {asked.to} does not lead after {limit} s; "
        f"{kubectl.hint('doctor', asked.workload.name)} tells more. {_stands(kubectl, asked)}",
        file=sys.stderr,
    )
    return FAILED


def _stands(kubectl: Kubectl, asked: Asked) -> str:
    return (
        "The request stands until the Lease is written, or it is withdrawn: "
        f"{kubectl.shown} -n {asked.workload.namespace} annotate pod {asked.to} "
        f"{contract.FAILOVER}-"
    )
