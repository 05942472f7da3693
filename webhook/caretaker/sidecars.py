"""What the webhook has missed: sets whose template has no stamp, and pods without a sidecar.

With failurePolicy Ignore that happens while the webhook is away; with OnDelete or a partition, pods
made before the opt-in stay as they are. Pods that a rolling update is about to replace are skipped.
"""

import json
from collections.abc import Iterator
from typing import Final

from webhook.caretaker.facts import Member, Namespace, Workload
from webhook.caretaker.step import Step, Tell, tell

NO_SIDECAR: Final = "NoSidecar"
NOT_STAMPED: Final = "NotStamped"
NOT_ACCEPTED: Final = "NotAccepted"
"""The Events' reasons."""


def steps(there: Namespace) -> Iterator[Step]:
    """Yield a warning for each."""
    for workload in there.workloads:
        if not workload.leaving:
            yield from _of_set(workload, there)


def _of_set(workload: Workload, there: Namespace) -> Iterator[Step]:
    if workload.settings is None:
        yield tell(workload, NOT_ACCEPTED, workload.fault)
        return
    if not workload.stamped:
        yield tell(workload, NOT_STAMPED, _not_stamped(workload))
        return
    for member in there.members:
        if member.owner == workload.name and not (member.has_sidecar or member.leaving):
            yield _without_sidecar(member, workload)


def _not_stamped(workload: Workload) -> str:
    return (
        "the webhook has not seen this StatefulSet since it opted in, so its pods get no sidecar; "
        f"restart it: kubectl -n {workload.namespace} rollout restart statefulset {workload.name}"
    )


def _without_sidecar(member: Member, workload: Workload) -> Tell:
    number = _number(member, workload)
    back = (
        "delete it, and it comes back with one: "
        f"kubectl -n {workload.namespace} delete pod {member.name}"
    )
    if member.stamped:
        why = "it was made while the webhook did not answer"
    elif number >= workload.partition:
        why = "it was made before the set opted in, and updateStrategy keeps it as it is"
    else:
        why = (
            "it was made before the set opted in, and updateStrategy's partition of "
            f"{workload.partition} keeps it as it is, also if you delete it"
        )
        patch = json.dumps({"spec": {"updateStrategy": {"rollingUpdate": {"partition": number}}}})
        back = (
            f"lower that, and it is rolled: kubectl -n {workload.namespace} patch statefulset "
            f"{workload.name} --type merge -p '{patch}'"
        )
    return Tell(
        kind="Pod",
        name=member.name,
        uid=member.uid,
        reason=NO_SIDECAR,
        sentence=f"this pod has no sidecar and is not a member of its set: {why}; {back}",
    )


def _number(member: Member, workload: Workload) -> int:
    """As updateStrategy's partition counts, from the set's first pod on."""
    ordinal = member.name.rpartition("-")[2]
    return int(ordinal) - workload.first_ordinal if ordinal.isdecimal() else 0
