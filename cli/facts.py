"""What there is of sets, as values: parsed from the JSON that `kubectl get` prints, no I/O."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cli import defaults
from cli.followers import Follower, number, read_followers
from cli.installation import Unread
from cli.pod_spec import (
    Claim,
    Json,
    Waiting,
    claims,
    data_directories,
    images,
    proxy,
    unschedulable,
    waiting,
)
from cli.service import Service
from cli.times import parse_time
from sidecar import contract

PULL_FAILS: Final = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")


@dataclass(frozen=True)
class Pod:
    """A pod, of a set or not."""

    namespace: str
    name: str
    uid: str = ""
    created: datetime.datetime | None = None
    owner: str = ""
    """Name of the StatefulSet that made it; "" if none did."""
    labels: Mapping[str, str] = field(default_factory=dict)
    says: str = ""
    """The sidecar's sentence."""
    says_since: datetime.datetime | None = None
    """The API server's time of the last change of that sentence, or of the role with it."""
    version: str = ""
    """Of the webhook that injected the sidecar; "" if it has none."""
    signs: bool = False
    """Whether its sidecar is newer than 0.2.0."""
    fenced: bool = False
    """Whether somebody wants its PostgreSQL stopped."""
    nofailover: bool = False
    """Whether somebody wants others to take over."""
    failover_priority: int = contract.DEFAULT_FAILOVER_PRIORITY
    failover: str = ""
    """The version of the Lease on which somebody wants it to lead."""
    phase: str = ""
    ready: bool = False
    answers: bool = False
    """All of its containers are ready, and so PostgreSQL accepts connections, whatever is known of
    the node."""
    leaving: bool = False
    leaves_by: datetime.datetime | None = None
    """When it ought to be gone, its grace period over; None if it isn't leaving."""
    finalizers: tuple[str, ...] = ()
    """What keeps it there after its end."""
    node: str = ""
    image: str = ""
    """Of the first container: PostgreSQL's, where the set does not name another."""
    claims: tuple[Claim, ...] = ()
    data_directories: Mapping[str, str] = field(default_factory=dict)
    """PGDATA of the containers that have it."""
    revision: str = ""
    """The StatefulSet's that it was made of."""
    restarts: int = 0
    waiting: tuple[Waiting, ...] = ()
    unschedulable: str = ""
    """Why no node takes it; "" if one does."""
    containers: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    proxy: str = ""
    """The container that is a service mesh's proxy; "" if there is none."""

    @classmethod
    def from_json(cls, pod: Json) -> Pod:
        """Read a Pod."""
        metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
        annotations = metadata.get("annotations") or {}
        priority = contract.failover_priority(annotations.get(contract.FAILOVER_PRIORITY, ""))
        if priority is None:
            priority = contract.DEFAULT_FAILOVER_PRIORITY
        conditions = {it["type"]: it["status"] for it in status.get("conditions") or []}
        statuses = (status.get("initContainerStatuses") or []) + (
            status.get("containerStatuses") or []
        )
        containers = spec.get("containers") or []
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            created=parse_time(metadata.get("creationTimestamp") or ""),
            owner=next(
                (
                    it["name"]
                    for it in metadata.get("ownerReferences") or []
                    if it["kind"] == "StatefulSet" and it.get("controller")
                ),
                "",
            ),
            labels=metadata.get("labels") or {},
            says=annotations.get(contract.STATUS, ""),
            says_since=_written(metadata, contract.STATUS),
            version=annotations.get(contract.INJECTED, ""),
            signs=annotations.get(contract.SIGNS) == contract.SIGNS_BY,
            fenced=annotations.get(contract.FENCED) == "true",
            nofailover=annotations.get(contract.NOFAILOVER) == "true" or priority == 0,
            failover_priority=priority,
            failover=annotations.get(contract.FAILOVER, ""),
            phase=status.get("phase", ""),
            ready=conditions.get("Ready") == "True",
            answers=conditions.get("ContainersReady") == "True",
            leaving="deletionTimestamp" in metadata,
            leaves_by=parse_time(metadata.get("deletionTimestamp") or ""),
            finalizers=tuple(metadata.get("finalizers") or []),
            node=spec.get("nodeName", ""),
            image=containers[0].get("image", "") if containers else "",
            claims=tuple(claims(spec)),
            data_directories=data_directories(spec),
            revision=(metadata.get("labels") or {}).get("controller-revision-hash", ""),
            restarts=sum(it.get("restartCount", 0) for it in statuses),
            waiting=tuple(waiting(statuses, images(spec))),
            unschedulable=unschedulable(status),
            containers=tuple(it["name"] for it in containers),
            images=tuple(it.get("image", "") for it in containers),
            proxy=proxy(spec),
        )


def _written(metadata: Json, annotation: str) -> datetime.datetime | None:
    """Return when who writes this annotation has last changed something of the object."""
    for entry in metadata.get("managedFields") or []:
        fields = entry.get("fieldsV1") or {}
        if f"f:{annotation}" in ((fields.get("f:metadata") or {}).get("f:annotations") or {}):
            return parse_time(entry.get("time", ""))
    return None


@dataclass(frozen=True)
class Leadership:
    """One change of the primary."""

    timeline: int
    pod: str
    since: str


@dataclass(frozen=True)
class Lease:
    """A set's Lease. What somebody has damaged counts as absent, as sidecars take it."""

    namespace: str
    set_name: str
    version: str = ""
    holder: str = ""
    """Name of the pod."""
    holder_uid: str = ""
    ttl: int = 0
    """Seconds."""
    renewed: datetime.datetime | None = None
    timeline: int | None = None
    position: int | None = None
    members: tuple[str, ...] = ()
    voters: tuple[str, ...] = ()
    copies: int = 0
    heir: str = ""
    switchover_to: str = ""
    followers: Mapping[str, Follower] = field(default_factory=dict)
    """By name."""
    history: tuple[Leadership, ...] = ()

    @classmethod
    def from_json(cls, lease: Json) -> Lease:
        """Read a Lease; `set_name` is "" if it is not one of a set."""
        metadata, spec = lease["metadata"], lease.get("spec") or {}
        notes = metadata.get("annotations") or {}
        name, prefix = metadata["name"], contract.lease_name("")
        holder, _, uid = (spec.get("holderIdentity") or "").partition("_")
        return cls(
            namespace=metadata["namespace"],
            set_name=name[len(prefix) :] if name.startswith(prefix) else "",
            version=metadata.get("resourceVersion", ""),
            holder=holder,
            holder_uid=uid,
            ttl=spec.get("leaseDurationSeconds") or 0,
            renewed=parse_time(spec.get("renewTime") or ""),
            timeline=number(notes.get(contract.TIMELINE, "")),
            position=number(notes.get(contract.POSITION, "")),
            members=_names(notes.get(contract.MEMBERS, "")),
            voters=_names(notes.get(contract.IN_SYNC, "")),
            copies=number(notes.get(contract.COPIES, "")) or 0,
            heir=notes.get(contract.HEIR, "").strip(),
            switchover_to=notes.get(contract.SWITCHOVER_TO, "").strip(),
            followers=read_followers(
                notes.get(contract.FOLLOWERS, ""), spec.get("leaseTransitions") or 0
            ),
            history=tuple(
                Leadership(int(words[0]), words[1], words[2])
                for text in notes.get(contract.HISTORY, "").split(",")
                if len(words := text.split()) == 3 and number(words[0]) is not None  # noqa: PLR2004
            ),
        )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True)
class Workload:
    """A StatefulSet that has opted in."""

    namespace: str
    name: str
    replicas: int = 1
    annotations: Mapping[str, str] = field(default_factory=dict)
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    """In the present template."""
    service_account: str = ""
    governing_service: str = ""
    """The Service that names its pods (spec.serviceName)."""
    port_names: Mapping[str, int] = field(default_factory=dict)
    """What containers of the present template call their ports."""
    revision: str = ""
    """The one that pods are to have."""
    rolling: bool = False
    """Whether pods of the revision before are there yet."""
    parallel: bool = False
    """Whether its pods do not wait for each other."""
    on_delete: bool = False
    """Whether pods are made anew only when somebody deletes them."""
    first_ordinal: int = 0
    template: Json = field(default_factory=dict)
    paused_since: datetime.datetime | None = None
    """The API server's time of the last change by who paused it."""

    @property
    def injected(self) -> bool:
        """Whether the template itself has the sidecar, by `inject`, and needs no webhook."""
        metadata = self.template.get("metadata") or {}
        return contract.INJECTED in (metadata.get("annotations") or {})

    @property
    def role_label(self) -> str:
        """The label key that the role is in."""
        return self.annotations.get(contract.ROLE_LABEL, defaults.ROLE_LABEL)

    @property
    def primary_value(self) -> str:
        """The role label's value on the primary."""
        return self.annotations.get(contract.PRIMARY_VALUE, defaults.PRIMARY_VALUE)

    @property
    def replica_value(self) -> str:
        """The role label's value on a replica that follows."""
        return self.annotations.get(contract.REPLICA_VALUE, defaults.REPLICA_VALUE)

    @property
    def durability(self) -> str:
        """What is asked for."""
        return self.annotations.get(contract.DURABILITY, defaults.DURABILITY)

    @property
    def paused(self) -> bool:
        """Whether nobody takes over."""
        return self.annotations.get(contract.PAUSED) == "true"

    @property
    def container(self) -> str:
        """The container that runs PostgreSQL."""
        named = self.annotations.get(contract.CONTAINER)
        containers = (self.template.get("spec") or {}).get("containers") or [{}]
        return named or str(containers[0].get("name", ""))

    @property
    def port(self) -> int | None:
        """PostgreSQL's, if an annotation says it."""
        return number(self.annotations.get(contract.PORT, "").strip())

    @property
    def pods(self) -> tuple[str, ...]:
        """Names of the pods that are wanted."""
        first, many = self.first_ordinal, min(self.replicas, contract.MOST_PODS)
        return tuple(f"{self.name}-{number}" for number in range(first, first + many))

    def place(self, pod: str) -> int:
        """Return how many replicas the set has if this is its last pod; 0 if it never is one."""
        ordinal = pod[len(self.name) + 1 :]
        found = number(ordinal)
        if found is None or pod != f"{self.name}-{found}":
            return 0
        return max(0, found - self.first_ordinal + 1)

    @classmethod
    def from_json(cls, statefulset: Json) -> Workload | None:
        """Read a StatefulSet; None if it has not opted in."""
        metadata, spec = statefulset["metadata"], statefulset.get("spec") or {}
        annotations = metadata.get("annotations") or {}
        if annotations.get(contract.ENABLED) != "true":
            return None
        template = spec.get("template") or {}
        status = statefulset.get("status") or {}
        containers = (template.get("spec") or {}).get("containers") or []
        ports = [port for it in containers for port in it.get("ports") or []]
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            replicas=spec.get("replicas", 1),
            annotations=annotations,
            pod_labels=(template.get("metadata") or {}).get("labels") or {},
            service_account=(template.get("spec") or {}).get("serviceAccountName", ""),
            governing_service=spec.get("serviceName") or "",
            port_names={it["name"]: it.get("containerPort", 0) for it in ports if "name" in it},
            revision=status.get("updateRevision", ""),
            rolling=status.get("updateRevision") != status.get("currentRevision"),
            parallel=spec.get("podManagementPolicy") == "Parallel",
            on_delete=(spec.get("updateStrategy") or {}).get("type") == "OnDelete",
            first_ordinal=(spec.get("ordinals") or {}).get("start", 0),
            template=template,
            paused_since=_written(metadata, contract.PAUSED),
        )


@dataclass(frozen=True)
class Event:
    """An Event about one object."""

    namespace: str
    kind: str
    name: str
    uid: str
    reason: str
    message: str
    warning: bool
    component: str
    time: datetime.datetime | None
    id: str = ""
    """The Event's own UID."""

    @classmethod
    def from_json(cls, event: Json) -> Event:
        """Read an Event of either API group."""
        about = event.get("involvedObject") or event.get("regarding") or {}
        source = event.get("source") or {}
        time = event.get("lastTimestamp") or event.get("eventTime")
        return cls(
            namespace=event["metadata"].get("namespace", ""),
            kind=about.get("kind", ""),
            name=about.get("name", ""),
            uid=about.get("uid", ""),
            reason=event.get("reason", ""),
            message=event.get("message", ""),
            warning=event.get("type") == "Warning",
            component=source.get("component") or event.get("reportingComponent") or "",
            time=parse_time(time or event["metadata"].get("creationTimestamp") or ""),
            id=event["metadata"].get("uid", ""),
        )


@dataclass(frozen=True)
class There:
    """What was read, of one namespace or of all."""

    workloads: tuple[Workload, ...] = ()
    pods: tuple[Pod, ...] = ()
    leases: tuple[Lease, ...] = ()
    services: tuple[Service, ...] = ()
    events: tuple[Event, ...] = ()
    unread: tuple[Unread, ...] = ()

    @classmethod
    def from_json(cls, items: Sequence[Json], unread: tuple[Unread, ...] = ()) -> There:
        """Read objects of these kinds, in any order; others are passed over."""
        of: dict[str, list[Json]] = {}
        for item in items:
            of.setdefault(item["kind"], []).append(item)
        workloads = [Workload.from_json(it) for it in of.get("StatefulSet", [])]
        return cls(
            workloads=tuple(it for it in workloads if it is not None),
            pods=tuple(Pod.from_json(it) for it in of.get("Pod", [])),
            leases=tuple(Lease.from_json(it) for it in of.get("Lease", [])),
            services=tuple(Service.from_json(it) for it in of.get("Service", [])),
            events=tuple(Event.from_json(it) for it in of.get("Event", [])),
            unread=unread,
        )
