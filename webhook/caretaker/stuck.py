"""Pods that get no further, for a reason that shows in no Event of theirs.

An image that takes a secret, a network or a mesh's proxy that keeps the sidecar from the API server
(it can't say so itself), and pods that Kubernetes does not replace although their template has
changed.
"""

from collections.abc import Iterator
from typing import Final

from webhook.caretaker.facts import Member, Namespace, Workload
from webhook.caretaker.step import Step, Tell, tell
from webhook.own_account import DEFAULT_ACCOUNT

IMAGE_NOT_PULLED: Final = "SidecarImageNotPulled"
NOT_HEARD: Final = "SidecarNotHeard"
MESH_IN_THE_WAY: Final = "MeshInTheWay"
NOT_REPLACED: Final = "NotReplaced"
"""The Events' reasons."""

PATIENCE: Final = 60.0
"""Seconds: a pod that starts is not ready, and its sidecar has to be let in."""


def steps(there: Namespace) -> Iterator[Step]:
    """Yield a warning for each."""
    workloads = {it.name: it for it in there.workloads}
    for member in there.members:
        workload = workloads.get(member.owner)
        if member.leaving or not member.has_sidecar or not member.owner:
            continue
        if workload is None:  # Its StatefulSet was opted out, and how that updates is not known.
            if _for_long(member.unready_since, there):
                yield _not_replaced(member, there, _AFTER_OPT_OUT)
        elif _waits_to_be_replaced(member, workload):
            if _for_long(member.unready_since, there):
                yield _not_replaced(member, there, _IN_ORDER)
        elif not workload.leaving:
            yield from _does_not_start(member, workload, there)


def _does_not_start(member: Member, workload: Workload, there: Namespace) -> Iterator[Step]:
    if member.image_refused:
        yield tell(workload, IMAGE_NOT_PULLED, _not_pulled(member, workload))
    # Where a mesh lets plain text in, as most do by default, a member may get ready all the same.
    if member.proxy_in_the_way and _for_long(member.unready_since, there):
        yield tell(workload, MESH_IN_THE_WAY, _proxied(member))
    elif _for_long(member.unheard_since, there):
        yield tell(workload, NOT_HEARD, _not_heard(member, workload))


def _waits_to_be_replaced(member: Member, workload: Workload) -> bool:
    """With OrderedReady the controller waits for each pod before it looks at templates."""
    made_by = member.labels.get("controller-revision-hash", "")
    return workload.ordered and not workload.held_back and "" != made_by != workload.revision != ""


def _for_long(since: float | None, there: Namespace) -> bool:
    return since is not None and there.now - since > PATIENCE


def _not_pulled(member: Member, workload: Workload) -> str:
    # A set's own account comes in after the API server has given the pod what `default` has.
    account = DEFAULT_ACCOUNT if workload.has_own_account else member.service_account
    secrets = '{"imagePullSecrets":[{"name":"SECRET"}]}'
    return (
        f'the image of the sidecar of pod "{member.name}", {member.image_refused}, cannot be '
        f"pulled: if that takes a secret, give it to the service account and delete the pod: "
        f"kubectl -n {workload.namespace} patch serviceaccount {account} -p '{secrets}'"
    )


def _not_heard(member: Member, workload: Workload) -> str:
    if member.does_not_run:
        return (
            f'the sidecar of pod "{member.name}" does not run ({member.does_not_run}), and '
            "PostgreSQL is not started before it does; the pod's status and the log of its last "
            f"start tell why: kubectl -n {workload.namespace} describe pod {member.name}; "
            f"kubectl -n {workload.namespace} logs {member.name} -c pgset-sidecar --previous"
        )
    return (
        f'the sidecar of pod "{member.name}" has run for over {PATIENCE:.0f} s, and nothing was '
        f"heard of it: mostly a NetworkPolicy or a firewall keeps it from the API server "
        f"(docs/ports.md says what a set needs); its log tells why: "
        f"kubectl -n {workload.namespace} logs {member.name} -c pgset-sidecar"
    )


def _proxied(member: Member) -> str:
    return (
        f'pod "{member.name}" is not ready, and has the proxy of a service mesh, which may keep '
        "the kubelet from the sidecar and the members from each other: take the set out of the "
        "mesh, or give spec.template the annotations by which it lets them pass, of "
        f"{member.proxy_in_the_way}"
    )


_IN_ORDER: Final = (
    "this pod is not ready, and Kubernetes replaces it by one of the changed template only when it "
    "is"
)
_AFTER_OPT_OUT: Final = (
    "this pod is not ready and still has what its set's opt-out takes away: Kubernetes replaces it "
    "only when it is ready (with OrderedReady) or deleted (with OnDelete)"
)


def _not_replaced(member: Member, there: Namespace, why: str) -> Tell:
    return Tell(
        kind="Pod",
        name=member.name,
        uid=member.uid,
        reason=NOT_REPLACED,
        sentence=f"{why}: if it does not get ready, delete it: "
        f"kubectl -n {there.name} delete pod {member.name}",
    )
