"""What `status` shows of a set: from what there is to the view of it, without I/O or a clock."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cli.facts import Leadership, Lease, Pod, There, Workload
from cli.followers import Follower, number
from cli.service import Service
from sidecar import contract

HEALTHY: Final = 0
NO_PRIMARY: Final = 1
MEMBER_MISSING: Final = 2
FAILED: Final = 3
"""Exit codes: the last where the question could not be answered."""

TAKEOVERS: Final = 5
"""So many of the last ones are shown."""


@dataclass(frozen=True)
class Member:
    """One pod of a set, or one that is wanted and is not there."""

    name: str
    role: str
    """"primary", "replica" or ""."""
    state: str
    """"ready", or why it is not, in a word."""
    timeline: int | None
    """By what the primary recorded last; None of who does not stream from it, or before it has."""
    position: int | None
    """Of the newest WAL written or received, in bytes; likewise."""
    lag_bytes: int | None
    """What the primary had written then and it had not replayed."""
    lag_seconds: float | None
    in_sync: bool
    """An acknowledged commit may be there and on no other member but the primary."""
    says: str
    says_for: float | None
    """Seconds."""
    slot: str
    """The name of its replication slot."""
    tags: Mapping[str, object]
    """By Patroni's names, what somebody has set on its pod; empty where nobody has."""
    version: str
    node: str
    image: str
    restarts: int
    missing: bool
    """Wanted, and neither primary nor replica, or not ready."""


@dataclass(frozen=True)
class Leads:
    """A Service that leads to members of the set."""

    name: str
    to: tuple[str, ...]
    """Names of the members."""
    what: str
    """"the primary", "replicas" or "all members"."""


@dataclass(frozen=True)
class SetView:
    """All that is shown of a set."""

    namespace: str
    name: str
    wanted: int
    primary: str
    """"" if there is none."""
    paused: bool
    durability: str
    """As it is set."""
    recorded: str
    """As the Lease has it: what an acknowledged commit survives now."""
    members: tuple[Member, ...]
    lease: Lease | None
    renewed_ago: float | None
    """Seconds, by this machine's clock."""
    services: tuple[Leads, ...]
    takeovers: tuple[Leadership, ...]
    """The newest first."""
    problems: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """What `status` ends with for this set."""
        if self.wanted and not self.primary:
            return NO_PRIMARY
        return MEMBER_MISSING if any(it.missing for it in self.members) else HEALTHY


def sets(there: There, now: datetime.datetime) -> tuple[SetView, ...]:
    """Return the views of all sets, in the order of their names."""
    ordered = sorted(there.workloads, key=lambda it: (it.namespace, it.name))
    return tuple(_set(workload, there, now) for workload in ordered)


def exit_code(views: tuple[SetView, ...]) -> int:
    """Return what `status` ends with: a set without a primary is worse than a missing member."""
    codes = {it.exit_code for it in views}
    return next((it for it in (NO_PRIMARY, MEMBER_MISSING) if it in codes), HEALTHY)


def pods_of(workload: Workload, there: There) -> tuple[Pod, ...]:
    """Return the set's pods, with and without a sidecar."""
    return tuple(
        it
        for it in there.pods
        if it.namespace == workload.namespace
        and (it.owner == workload.name or it.labels.get(contract.SET_LABEL) == workload.name)
    )


def objects_of(workload: Workload, there: There) -> set[tuple[str, str]]:
    """Return the kinds and names of what is the set's own, also of pods that are gone."""
    pods = {*workload.pods, *(it.name for it in pods_of(workload, there))}
    leads_to_it = {it.name for it in _services(workload, there)}
    services = {
        workload.governing_service,
        contract.primary_service(workload.name),
        contract.replica_service(workload.name),
    }
    return {
        ("StatefulSet", workload.name),
        ("Lease", contract.lease_name(workload.name)),
        *(("Pod", it) for it in pods),
        *(("Service", it) for it in services | leads_to_it),
    }


def lease_of(workload: Workload, there: There) -> Lease | None:
    """Return the set's Lease."""
    return next(
        (
            it
            for it in there.leases
            if (it.namespace, it.set_name) == (workload.namespace, workload.name)
        ),
        None,
    )


def primary_of(workload: Workload, there: There) -> Pod | None:
    """Return the pod that has the role and the Lease, and answers. (A pod has a label from its
    first moment on.)"""
    found = holder_of(workload, there)
    return found if found is not None and found.answers else None


def holder_of(workload: Workload, there: There) -> Pod | None:
    """Return the pod that has the primary's label and the Lease."""
    lease = lease_of(workload, there)
    return next(
        (
            it
            for it in pods_of(workload, there)
            if it.labels.get(workload.role_label) == workload.primary_value
            and lease is not None
            and (it.name, it.uid) == (lease.holder, lease.holder_uid)
        ),
        None,
    )


def port_of(workload: Workload, there: There) -> int:
    """Return PostgreSQL's port, as far as it is told."""
    if workload.port is not None:
        return workload.port
    name = contract.primary_service(workload.name)
    for service in there.services:
        if (service.namespace, service.name) == (workload.namespace, name):
            for target in service.target_ports:
                found = workload.port_names.get(target) if isinstance(target, str) else target
                if isinstance(found, int) and found:
                    return found
    return contract.POSTGRES_PORT


def is_to_database(service: Service, workload: Workload, there: There) -> bool:
    """Whether a Service leads to PostgreSQL's port; a headless one may have none, and leads to
    all."""
    port = port_of(workload, there)
    names = {name for name, it in workload.port_names.items() if it == port}
    return not service.target_ports or bool(service.target_ports & {port, *names})


def _set(workload: Workload, there: There, now: datetime.datetime) -> SetView:
    pods = pods_of(workload, there)
    lease = lease_of(workload, there)
    primary = primary_of(workload, there)
    members = tuple(_members(workload, pods, lease, primary, now))
    renewed = lease.renewed if lease else None
    return SetView(
        namespace=workload.namespace,
        name=workload.name,
        wanted=workload.replicas,
        primary=primary.name if primary else "",
        paused=workload.paused,
        durability=workload.durability,
        recorded=_recorded(lease),
        members=members,
        lease=lease,
        renewed_ago=None if renewed is None else max(0.0, (now - renewed).total_seconds()),
        services=_services(workload, there),
        takeovers=tuple(reversed(lease.history))[:TAKEOVERS] if lease else (),
        problems=tuple(_problems(workload, pods, lease, primary, members)),
    )


def _recorded(lease: Lease | None) -> str:
    if lease is None or not lease.voters:
        return "on the primary alone" if lease else ""
    return f"on {lease.copies} of {', '.join(lease.voters)}"


def _members(
    workload: Workload,
    pods: tuple[Pod, ...],
    lease: Lease | None,
    primary: Pod | None,
    now: datetime.datetime,
) -> Iterator[Member]:
    present = {it.name: it for it in pods}
    for name in sorted({*present, *workload.pods}, key=_by_ordinal):
        pod = present.get(name, Pod(namespace=workload.namespace, name=name))
        leads = primary is not None and pod.uid == primary.uid and name in present
        role = _role(workload, pod) if pod.answers else ""
        since = pod.says_since
        follows = lease.followers.get(name) if lease and primary and not leads else None
        yield Member(
            name=name,
            role=role,
            state=_state(pod) if name in present else "absent",
            timeline=lease.timeline if lease and (leads or follows) else None,
            position=follows.received if follows else lease.position if lease and leads else None,
            lag_bytes=_lag(lease, follows),
            lag_seconds=follows.seconds if follows else None,
            in_sync=lease is not None and name in lease.voters,
            says=pod.says,
            says_for=None if since is None else max(0.0, (now - since).total_seconds()),
            slot=contract.slot_name(name),
            tags=_tags(pod),
            version=pod.version,
            node=pod.node,
            image=_database_image(workload, pod),
            restarts=pod.restarts,
            missing=name in workload.pods and not (role and pod.ready),
        )


def _tags(pod: Pod) -> dict[str, object]:
    priority = {"failover_priority": pod.failover_priority} if pod.failover_priority != 1 else {}
    return {**({"nofailover": True} if pod.nofailover else {}), **priority}


def _lag(lease: Lease | None, follows: Follower | None) -> int | None:
    if lease is None or lease.position is None or follows is None or follows.replayed is None:
        return None
    return max(0, lease.position - follows.replayed)


def _by_ordinal(name: str) -> tuple[int, str]:
    """pgset-10 comes after pgset-9."""
    ordinal = number(name.rpartition("-")[2])
    return (-1 if ordinal is None else ordinal, name)


def _role(workload: Workload, pod: Pod) -> str:
    roles = {workload.primary_value: "primary", workload.replica_value: "replica"}
    return roles.get(pod.labels.get(workload.role_label, ""), "")


def _database_image(workload: Workload, pod: Pod) -> str:
    return dict(zip(pod.containers, pod.images)).get(workload.container, pod.image)


def _state(pod: Pod) -> str:
    if pod.leaving:
        return "leaving"
    if pod.ready:
        return "ready"
    reasons = [it.reason for it in pod.waiting if it.reason != "PodInitializing"]
    if reasons:
        return reasons[0]
    return "not ready" if pod.phase == "Running" else (pod.phase or "not ready").lower()


def _services(workload: Workload, there: There) -> tuple[Leads, ...]:
    pods = pods_of(workload, there)
    return tuple(
        leads
        for service in sorted(there.services, key=lambda it: it.name)
        if service.namespace == workload.namespace
        and is_to_database(service, workload, there)
        and (leads := _leads(service, workload, pods)) is not None
    )


def _leads(service: Service, workload: Workload, pods: tuple[Pod, ...]) -> Leads | None:
    """Return where it leads, if that is to the set's pods; None for others.

    Judged by what it selects: a Service that selects by a role that nobody has leads to nobody.
    """
    labels = {**workload.pod_labels, contract.SET_LABEL: workload.name}
    rest = {key: value for key, value in service.selector.items() if key != workload.role_label}
    names_the_pods = service.headless and service.name == workload.governing_service
    if not service.selector or not rest.items() <= labels.items() or names_the_pods:
        return None
    role = service.selector.get(workload.role_label)
    what = {
        None: "all members",
        workload.primary_value: "the primary",
        workload.replica_value: "replicas",
    }.get(role, "nobody")
    to = tuple(
        it.name
        for it in sorted(pods, key=lambda it: _by_ordinal(it.name))
        if service.selector.items() <= it.labels.items() and (it.ready or service.also_unready)
    )
    return Leads(service.name, to, what)


def _problems(
    workload: Workload,
    pods: tuple[Pod, ...],
    lease: Lease | None,
    primary: Pod | None,
    members: tuple[Member, ...],
) -> Iterator[str]:
    holder = lease.holder if lease else ""
    if primary is None and workload.replicas:
        held = f"; {holder} holds the Lease" if holder else ""
        yield f"no member is primary{held}"
    for pod in pods:
        if _role(workload, pod) == "primary" and pod.answers and pod.name != holder:
            yield f"{pod.name} has the primary's label and does not hold the Lease"
        if not pod.version:
            yield f"{pod.name} has no sidecar, and so is no member of its set"
    yield from map(_missing, (it for it in members if it.missing))
    if workload.paused:
        yield "the set is paused: nobody takes over and nothing is handed over"
    if lease and lease.switchover_to:
        yield f"a switchover to {lease.switchover_to} is asked for"
    versions = sorted({it.version for it in pods if it.version})
    if len(versions) > 1:
        yield f"its sidecars are of versions {' and '.join(versions)}"


def _missing(member: Member) -> str:
    because = f": {member.says}" if member.says else ""
    word = member.state if member.state != "ready" else "ready, but neither primary nor replica"
    return f"{member.name} is {word}{because}"
