"""The content of a set's Lease, to and from the API server's form of it.

Timeline, members and all else that decides who may lead are in annotations, for people to read.
They are not a place for secrets, and a value that somebody has damaged counts as absent.
"""

import datetime
import re
from typing import Final

from sidecar import contract
from sidecar.kube.client import Json
from sidecar.observation import Leadership, LeaseRecord

_MAX_NAME: Final = 253
"""Characters of a pod's name; a longer one is cut, and then refused as an unknown pod."""

_TERM: Final = "term-"
"""Before the `leaseTransitions` of whoever wrote the lives; no `holderIdentity` looks like it."""


def read_record(lease: Json) -> LeaseRecord:
    """Return a Lease's content; a value that can't be parsed counts as absent."""
    metadata, spec = lease["metadata"], lease.get("spec") or {}
    notes = metadata.get("annotations") or {}
    return LeaseRecord(
        holder=spec.get("holderIdentity") or "",
        ttl=spec.get("leaseDurationSeconds") or 0,
        resource_version=metadata["resourceVersion"],
        system_identifier=notes.get(contract.SYSTEM_IDENTIFIER) or None,
        timeline=_number(notes.get(contract.TIMELINE, "")),
        members=_names(notes.get(contract.MEMBERS, "")),
        history=tuple(
            Leadership(timeline, entry[1], entry[2])
            for text in notes.get(contract.HISTORY, "").split(",")
            if len(entry := text.split()) == 3  # noqa: PLR2004 - timeline, pod and time
            and (timeline := _number(entry[0])) is not None
        ),
        transitions=spec.get("leaseTransitions") or 0,
        position=_number(notes.get(contract.POSITION, "")),
        voters=_names(notes.get(contract.IN_SYNC, "")),
        copies=_number(notes.get(contract.COPIES, "")) or 0,
        heir=notes.get(contract.HEIR, "").strip()[:_MAX_NAME] or None,
        switchover_to=notes.get(contract.SWITCHOVER_TO, "").strip()[:_MAX_NAME] or None,
        lives=_lives(notes.get(contract.LIVES, ""), spec.get("leaseTransitions") or 0),
        logical_slots=_names(notes.get(contract.LOGICAL_SLOTS, "")),
    )


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,20}", text, re.ASCII) else None


def _lives(text: str, transitions: int) -> tuple[str, ...]:
    """Return the lives, if they are of this holder's term: one of version 0.2.0 keeps what stands
    there from the holder before, of pods that may have been replaced since."""
    term, *lives = _names(text) or ("",)
    return tuple(lives) if term == f"{_TERM}{transitions}" else ()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def with_record(lease: Json, record: LeaseRecord) -> Json:
    """Return the Lease with this content; other labels and annotations stay."""
    ours = {
        contract.SYSTEM_IDENTIFIER: record.system_identifier,
        contract.TIMELINE: None if record.timeline is None else str(record.timeline),
        contract.MEMBERS: ",".join(record.members) or None,
        contract.HISTORY: ",".join(f"{e.timeline} {e.pod} {e.since}" for e in record.history)
        or None,
        contract.POSITION: None if record.position is None else str(record.position),
        contract.IN_SYNC: ",".join(record.voters) or None,
        contract.COPIES: str(record.copies) if record.copies else None,
        contract.HEIR: record.heir,
        contract.SWITCHOVER_TO: record.switchover_to,
        contract.LIVES: ",".join((f"{_TERM}{record.transitions}", *record.lives))
        if record.lives
        else None,
        contract.LOGICAL_SLOTS: ",".join(record.logical_slots) or None,
    }
    notes = (lease["metadata"].get("annotations") or {}) | ours
    spec = lease.get("spec") or {}
    now = now_text("microseconds")
    same_holder = spec.get("holderIdentity") == record.holder
    return lease | {
        "metadata": lease["metadata"]
        | {"annotations": {key: value for key, value in notes.items() if value is not None}},
        "spec": spec
        | {
            "holderIdentity": record.holder,
            "leaseDurationSeconds": record.ttl,
            "renewTime": now,
            "acquireTime": spec.get("acquireTime", now) if same_holder else now,
            "leaseTransitions": record.transitions,
        },
    }


def now_text(precision: str) -> str:
    """Return the time for people to read, in UTC; nothing is decided by it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec=precision).replace("+00:00", "Z")
