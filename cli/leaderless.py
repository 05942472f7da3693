"""Why nobody leads, and who may decide that data is gone: a person, and only once all have spoken.

No I/O. A member that is not there, or whose database does not run, may have the newest rows. So
nothing is offered to be given up before every pod that the set or its Lease knows of has said
itself that it waits, or that it has no data.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Final

from cli.cause import Cause
from cli.facts import Event, Pod
from cli.seen import Seen
from sidecar import contract

UNKNOWN_TO_HOLDER: Final = "UnknownToHolder"
MISSING_COMMITS: Final = "MissingCommits"
NOT_ELIGIBLE: Final = "NotEligible"
NOT_TO_LEAD: Final = "NotToLead"
NOBODY_HAS_DATA: Final = "NobodyHasData"

ORDERED: Final = (
    "KeepsOthersFromBeingCreated",
    "PodsCannotBeCreated",
    "DownBeforeOthersAreCreated",
)
"""Situations of a pod after which Kubernetes creates the others, which may have the data."""

GIVES_UP: Final = {
    "TooFarBehind": (contract.POSITION,),
    MISSING_COMMITS: (contract.IN_SYNC, contract.COPIES),
    NOT_ELIGIBLE: (contract.TIMELINE, contract.IN_SYNC, contract.COPIES, contract.MEMBERS),
}
"""What docs/limits.md says to take off the Lease, by the situation that waits for it, where nobody
can be asked to lead."""

PATIENCE: Final = 60.0
"""Seconds: what members say while they fail over is not what they wait for."""

WITHOUT_DATA: Final = ("LostData", NOBODY_HAS_DATA, "Cloning", "CloneFailed")
"""Situations of a pod that has no data."""

NO_DATA_YET: Final = "this pod has no data yet: waiting until a member with data leads"
"""What a pod without data says in situation WaitingForLeader, which has no Event."""


def causes(seen: Seen) -> Iterator[Cause]:
    """Yield why nobody leads; nothing if somebody does, or nobody is to."""
    if seen.primary is not None or not seen.workload.replicas:
        return
    said = {pod.name: event for pod in seen.pods if (event := seen.present(pod)) is not None}
    silent = _silent(seen)
    ordered = [it for reason in ORDERED for it in _wait_for(reason, seen, said)]
    if ordered and silent and not seen.workload.parallel:
        yield _created_in_order(seen, said[ordered[0]])
    elif _holder_is_there(seen) and UNKNOWN_TO_HOLDER in {it.reason for it in said.values()}:
        yield _may_live_on(seen)
    elif silent:
        yield _may_have_more(seen, silent)
    elif marked := _wait_for(NOT_TO_LEAD, seen, said):
        yield seen.cause(
            f"nobody leads, and {', '.join(marked)} may not by annotation: if no other member can "
            "be brought back, take that off",
            f"annotate pod {' '.join(map(shlex.quote, marked))} "
            f"{contract.NOFAILOVER}- {contract.FAILOVER_PRIORITY}-",
            *_pods(seen),
        )
    elif not _with_data(seen) and _wait_for(NOBODY_HAS_DATA, seen, said):
        name = contract.lease_name(seen.workload.name)
        yield seen.cause(
            f"nobody leads, and no pod has the data that Lease {name} remembers: give the pods "
            "their volumes back; only if that data is meant to be gone, delete the Lease: A NEW, "
            "EMPTY DATABASE IS MADE THEN",
            f"delete lease {name}",
            *_pods(seen),
        )
    elif seen.lease is None and (down := _keep_others_waiting(seen)):
        yield _data_that_cannot_be_read(seen, down[0])
    else:
        yield _by_what_they_wait_for(seen, said)


def _by_what_they_wait_for(seen: Seen, said: Mapping[str, Event]) -> Cause:
    reason = _gives_up(seen, said)
    if reason is None:
        sentences = "; ".join(f"{it.name}: {it.says}" for it in seen.pods)
        command = f"describe lease {contract.lease_name(seen.workload.name)}"
        return seen.cause(f"nobody leads ({sentences})", command, *_pods(seen))
    if reason == MISSING_COMMITS and _have_all_commits(seen):
        return seen.cause(
            "nobody leads, and every acknowledged commit is on a member that is there: they do "
            f"not hear each other on port {contract.SIDECAR_PORT}; a NetworkPolicy or a service "
            "mesh may be in the way",
            "get networkpolicy",
            *_pods(seen),
        )
    return _data_to_give_up(seen, said, reason)


def _created_in_order(seen: Seen, event: Event) -> Cause:
    """The policy of a StatefulSet can't be changed, so it is made anew around its pods."""
    change = shlex.quote('{"spec":{"podManagementPolicy":"Parallel"}}')
    return seen.cause(
        f"nobody leads, and pods that may have the data are created only when {event.name} is "
        f"ready ({event.message}): make the StatefulSet anew, around the pods that are there, as "
        "one that creates all of them at once, and say so in your manifest",
        f"patch statefulset {seen.workload.name} --dry-run=client -o json --type merge "
        f"-p {change} | {seen.kubectl} replace --force --cascade=orphan -f -",
        *seen.workload.pods,
    )


def _keep_others_waiting(seen: Seen) -> list[Pod]:
    """Return the pods whose PostgreSQL does not come up, so that they can't say what they have."""
    down = [it for it in seen.pods if not it.ready and _has_said_it_for_long(seen, it)]
    return [] if len(down) == len(seen.pods) else down


def _has_said_it_for_long(seen: Seen, pod: Pod) -> bool:
    since = pod.says_since
    return since is not None and (seen.now - since).total_seconds() >= PATIENCE


def _data_that_cannot_be_read(seen: Seen, pod: Pod) -> Cause:
    """It may have the newest rows, and come up yet: whether it is given up, a person decides."""
    return seen.cause(
        f"nobody leads, and without the Lease, which is gone, the others wait for {pod.name}, "
        f"which does not come up ({pod.says}): see its PostgreSQL's log, and what "
        "troubleshooting.md has under Nobody leads",
        f"logs {shlex.quote(pod.name)} -c {shlex.quote(seen.workload.container)}",
        *_pods(seen),
    )


def _may_live_on(seen: Seen) -> Cause:
    holder = seen.lease.holder if seen.lease else ""
    return seen.cause(
        f"nobody leads, since {holder} may still be writable where nobody hears "
        "of it: make sure that it does not run any more",
        f"delete pod {shlex.quote(holder)} --force --grace-period=0",
        holder,
    )


def _may_have_more(seen: Seen, silent: list[str]) -> Cause:
    name, replicas = seen.workload.name, seen.workload.replicas
    what = f"nobody leads, and {', '.join(silent)} may have data that no other has"
    scaled_away = [it for it in map(seen.workload.place, silent) if it > replicas]
    if scaled_away:
        return seen.cause(
            f"{what}; the set was scaled down: have it back before anything else",
            f"scale statefulset {name} --replicas={max(scaled_away)}",
            *silent,
        )
    return seen.cause(
        f"{what}: bring it back before anything else", f"describe statefulset {name}", *silent
    )


def _data_to_give_up(seen: Seen, said: Mapping[str, Event], reason: str) -> Cause:
    name = seen.workload.name
    to = _who_may_be_asked(seen, said, reason)
    if to is not None:
        return seen.our_cause(
            f"nobody leads ({said[to].message}); only if what others have is gone for good, let "
            f"{to} lead: WHAT IT DOES NOT HAVE IS LOST THEN",
            f"failover {name} --to {shlex.quote(to)}",
            *_pods(seen),
        )
    message = next(it.message for it in said.values() if it.reason == reason)
    removed = " ".join(f"{it}-" for it in GIVES_UP[reason])
    return seen.cause(
        f"nobody leads ({message}); only if that data is gone for good, give it up: WHAT "
        "ONLY IT HAD IS LOST THEN",
        f"annotate lease {contract.lease_name(name)} {removed}",
        *_pods(seen),
    )


def _pods(seen: Seen) -> list[str]:
    return [it.name for it in seen.pods]


def _who_may_be_asked(seen: Seen, said: Mapping[str, Event], reason: str) -> str | None:
    """Return who can be asked to lead, the one with most by the Lease first; None: nobody can."""
    lease = seen.lease
    if lease is None:
        return None

    def can(pod: Pod) -> bool:
        event = said.get(pod.name)
        if event is None or event.reason != reason or not pod.signs:
            return False
        if reason != NOT_ELIGIBLE:
            return True
        # By its data, perhaps: that it has told whoever has asked.
        refused = seen.newest("Pod", pod.name, contract.SIDECAR_CONTAINER, "FailoverRefused")
        in_sync = not lease.voters or pod.name in lease.voters
        return refused is None and not in_sync and pod.name in lease.members

    def received(pod: Pod) -> int:
        follower = lease.followers.get(pod.name)
        return follower.received if follower else 0

    best = sorted(filter(can, seen.pods), key=lambda it: (-received(it), len(it.name), it.name))
    return best[0].name if best else None


def _holder_is_there(seen: Seen) -> bool:
    """Whether the holder's own pod is: another of its name is no danger, and not to be deleted."""
    lease = seen.lease
    return lease is not None and (lease.holder, lease.holder_uid) in {
        (it.name, it.uid) for it in seen.pods
    }


def _silent(seen: Seen) -> list[str]:
    """Return the pods of the set, also of what it was before, that say nothing."""
    lease = seen.lease
    known = {*lease.members, *lease.voters, lease.holder} if lease else set()
    of_set = {it for it in known if seen.workload.place(it)}
    speaking = {it.name for it in seen.pods if it.says and not it.leaving}
    return sorted({*seen.workload.pods, *of_set} - speaking)


def _wait_for(reason: str, seen: Seen, said: Mapping[str, Event]) -> list[str]:
    """Return the pods that say this, and have said it for a while."""
    return sorted(
        name for name, it in said.items() if it.reason == reason and _has_waited(seen, it)
    )


def _has_waited(seen: Seen, event: Event) -> bool:
    return event.time is not None and (seen.now - event.time).total_seconds() >= PATIENCE


def _gives_up(seen: Seen, said: Mapping[str, Event]) -> str | None:
    """Return what members have waited for, all that have data and for a while; else None."""
    last = [said.get(it.name) for it in _with_data(seen)]
    patient = all(it is not None and it.reason in GIVES_UP and _has_waited(seen, it) for it in last)
    reasons = {it.reason for it in last if it is not None}
    return next((it for it in GIVES_UP if patient and it in reasons), None)


def _with_data(seen: Seen) -> list[Pod]:
    """Return the pods that don't say that they have none."""
    return [it for it in seen.pods if not _says_it_is_empty(seen, it)]


def _says_it_is_empty(seen: Seen, pod: Pod) -> bool:
    event = seen.present(pod)
    return pod.says == NO_DATA_YET or (event is not None and event.reason in WITHOUT_DATA)


def _have_all_commits(seen: Seen) -> bool:
    """Whether too few voters are without data to have had an acknowledged commit alone."""
    lease = seen.lease
    if lease is None:
        return False
    return len(set(lease.voters) - {it.name for it in _with_data(seen)}) < lease.copies
