"""A new template whose pods can't start. No I/O."""

from __future__ import annotations

from typing import Final

from cli.cause import Cause
from cli.facts import PULL_FAILS, Pod
from cli.seen import Seen
from sidecar import contract

CONFIGURATION: Final = "CreateContainerConfigError"
"""A Secret or a ConfigMap that is not there, or lacks the key."""

CANNOT_START: Final = (
    *PULL_FAILS,
    CONFIGURATION,
    "CrashLoopBackOff",
    "CreateContainerError",
    "RunContainerError",
)
"""Reasons for which a container waits that do not pass by themselves."""

REFUSED: Final = ("CannotBootstrap", "SettingsRefused", "StartFailed", "NotComingUp")
"""Situations of a member whose PostgreSQL can't be started as the template has it. With the same
template, a new clone would come up no better."""


def hindrance(pod: Pod) -> str:
    """Return what Kubernetes says keeps the pod from starting; "" if nothing that lasts does.

    Of the sidecar, nothing but the variables is the template's.
    """
    for it in pod.waiting:
        ours = it.container == contract.SIDECAR_CONTAINER
        if it.reason in ((CONFIGURATION,) if ours else CANNOT_START):
            return f"container {it.container}: {it.reason}"
    return f"no node takes it: {pod.unschedulable}" if pod.unschedulable else ""


def undone(seen: Seen, pod: Pod, why: str) -> Cause | None:
    """Return the cause for a pod of a template that is being rolled out; None for others, whose
    template is the only one that is known to have worked."""
    workload = seen.workload
    if not workload.rolling or pod.revision != workload.revision or seen.is_member(pod):
        return None
    command = f"rollout undo statefulset {workload.name}"
    if workload.on_delete or not workload.parallel:
        # Kubernetes does not replace a pod that is not ready then.
        command += f" && {seen.kubectl} delete pod {pod.name}"
    return seen.cause(
        f"{pod.name} does not start with the new template ({why}): go back to the one before, and "
        "apply the new one again when it is mended",
        command,
        pod.name,
    )
