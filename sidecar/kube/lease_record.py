"""The content of a set's Lease, to and from the API server's form of it.

Timeline, members and all else that decides who may lead are in annotations, for people to read.
They are not a place for secrets, and a value that somebody has damaged counts as absent.
"""

import datetime
import re
from typing import Final

from sidecar import contract
from sidecar.kube.client import Json
from sidecar.observation import Follower, Leadership, LeaseRecord

_MAX_NAME: Final = 253
"""Characters of a pod's name; a longer one is cut, and then refused as an unknown pod."""

_TERM: Final = "term-"
"""Before the `leaseTransitions` of whoever wrote the rest; no `holderIdentity` looks like it."""


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
        lives=_of_term(notes.get(contract.LIVES, ""), spec.get("leaseTransitions") or 0),
        logical_slots=_names(notes.get(contract.LOGICAL_SLOTS, "")),
        physical_slots=_names(notes.get(contract.PHYSICAL_SLOTS, "")),
        followers=_followers(notes.get(contract.FOLLOWERS, ""), spec.get("leaseTransitions") or 0),
    )


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,20}", text, re.ASCII) else None


def _of_term(text: str, transitions: int) -> tuple[str, ...]:
    """Return what is said there, if it is of this holder's term: one of version 0.2.0 keeps what
    stands there from the holder before, of pods that may have been replaced since."""
    term, *said = _names(text) or ("",)
    return tuple(said) if term == f"{_TERM}{transitions}" else ()


def _followers(text: str, transitions: int) -> tuple[Follower, ...]:
    return tuple(
        Follower(words[0], position, _number(words[2]), _seconds(words[3]))
        for each in _of_term(text, transitions)
        if len(words := each.split()) == len(("name", "flushed", "replayed", "seconds"))
        and (position := _number(words[1])) is not None
    )


def _seconds(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,10}(\.\d{1,6})?", text, re.ASCII) else None


def _follower(it: Follower) -> str:
    replayed = "-" if it.replayed is None else it.replayed
    seconds = "-" if it.seconds is None else f"{it.seconds:.3f}"
    return f"{it.name} {it.position} {replayed} {seconds}"


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
        contract.PHYSICAL_SLOTS: ",".join(record.physical_slots) or None,
        contract.FOLLOWERS: ",".join(
            (f"{_TERM}{record.transitions}", *(_follower(it) for it in record.followers))
        )
        if record.followers
        else None,
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
