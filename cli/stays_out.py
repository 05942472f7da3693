"""A pod that stays out of its set until a person decides about data. No I/O."""

from __future__ import annotations

import shlex
from typing import Final

from cli.cause import Cause
from cli.facts import Event, Pod
from cli.seen import Seen

OTHER_DATA: Final = ("OtherWal", "DataOfAnotherSet")
"""Situations of a pod whose data is none of the set's, or was written to apart from it."""

IN_USE: Final = "DirectoryInUse"


def cause(seen: Seen, pod: Pod, event: Event) -> Cause | None:
    """Return the cause by what its sidecar says; None where no command cures it."""
    if event.reason in OTHER_DATA and seen.primary is not None and pod.signs:
        return seen.our_cause(
            f"{pod.name} stays out ({event.message}). Dump what is needed of its data; then have "
            f"it cloned again from {seen.primary.name}: the old directory is kept",
            f"reinit {pod.name}",
            pod.name,
        )
    if event.reason == IN_USE and (copy := _who_writes(seen, event)) is not None:
        return seen.cause(
            f"{pod.name} waits, since pod {copy.name}, which is none of the set's, has its data "
            "directory: when nobody needs that pod any more, delete it",
            f"delete pod {shlex.quote(copy.name)}",
            pod.name,
        )
    return None


def _who_writes(seen: Seen, event: Event) -> Pod | None:
    """Return the pod that the message names, where that is a copy of a member, say."""
    return next(
        (
            it
            for it in seen.there.pods
            if it.namespace == seen.workload.namespace
            and it not in seen.pods
            and it.uid
            and f"(UID {it.uid})" in event.message
        ),
        None,
    )
