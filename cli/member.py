"""The commands that change one member, by annotations on its pod (docs/annotations.md)."""

from __future__ import annotations

from argparse import Namespace

from cli import read
from cli.facts import Pod, There, Workload
from cli.kubectl import CannotError, Kubectl
from cli.switchover import candidate
from cli.text import Paint
from cli.view import pods_of, primary_of
from sidecar import contract


def fence(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:  # noqa: ARG001 - as all
    """Stop a member's PostgreSQL; a primary hands over first, as it always does."""
    there = read.namespace(kubectl, "pods", "leases")
    workload, pod = member(there, chosen.pod, kubectl.namespace)
    _knows_annotations(kubectl, workload, pod)
    if not chosen.yes and nobody_would_lead(workload, there, pod):
        raise CannotError(
            f"{pod.name} leads, and no other member can take over now: nobody would lead as long "
            "as it is fenced. --yes fences it all the same"
        )
    _annotate(kubectl, pod, f"{contract.FENCED}=true")
    print(f"{pod.name} is fenced: its PostgreSQL is stopped, and it never leads")
    return 0


def unfence(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:  # noqa: ARG001 - as all
    """Let it come back as a replica, or as the primary if nobody leads."""
    _, pod = member(read.namespace(kubectl, "pods"), chosen.pod, kubectl.namespace)
    if not pod.fenced:
        print(f"{pod.name} is not fenced: nothing was changed")
        return 0
    _annotate(kubectl, pod, f"{contract.FENCED}-")
    print(f"{pod.name} is fenced no more: its PostgreSQL starts again")
    return 0


def reinit(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:  # noqa: ARG001 - as all
    """Have a replica cloned again."""
    there = read.namespace(kubectl, "pods", "leases")
    workload, pod = member(there, chosen.pod, kubectl.namespace)
    _knows_annotations(kubectl, workload, pod)
    primary = primary_of(workload, there)
    if primary is None:
        why = "there is no primary to clone it from"
    elif primary == pod:
        why = f"it leads: {kubectl.hint('switchover', workload.name, '--wait')} comes first"
    elif pod.fenced:
        why = f"it is fenced: {kubectl.hint('unfence', pod.name)} comes first"
    else:
        # Each value asks once.
        _annotate(kubectl, pod, f"{contract.REINIT}={read.now():%Y-%m-%dT%H:%M:%SZ}")
        print(f"{pod.name} was asked to be cloned again from {primary.name}")
        return 0
    raise CannotError(f"{pod.name} can't be cloned again: {why}")


def member(there: There, name: str, where: str) -> tuple[Workload, Pod]:
    """Return the set's pod of this name, and its set. Raises CannotError if there is none."""
    for workload in there.workloads:
        for pod in pods_of(workload, there):
            if pod.name == name:
                return workload, pod
    raise CannotError(f'namespace "{where}" has no set with a pod "{name}"')


def nobody_would_lead(workload: Workload, there: There, pod: Pod) -> bool:
    """Whether this pod is the primary, and can't hand over now."""
    if primary_of(workload, there) != pod:
        return False
    return workload.paused or candidate(workload, there) is None


def _knows_annotations(kubectl: Kubectl, workload: Workload, pod: Pod) -> None:
    if not pod.signs:
        raise CannotError(
            f"{pod.name} has no sidecar newer than version 0.2.0, which knows nothing of that: "
            f"{kubectl.hint('restart', workload.name, pod.name)} gives it one"
        )


def _annotate(kubectl: Kubectl, pod: Pod, change: str) -> None:
    kubectl.run("annotate", "pod", pod.name, "-n", pod.namespace, change, "--overwrite")
