"""Looks at the set all the time, from where no fault cuts it off, and notes what it sees.

Members are asked from inside their own pod's network namespace, one thread each, so that a
frozen member keeps nobody from seeing the others. The API server is watched from the host.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from deploy.local.forwarder import enter_network_namespace
from sidecar import contract
from tests.chaos import api, pod_processes
from tests.chaos.link import Link, LinkError
from tests.chaos.record import (
    READ_ONLY,
    SILENT,
    WRITABLE,
    EndpointsSeen,
    LeaseSeen,
    Look,
    PodSeen,
)
from tests.chaos.subject import LEASE, LEASES, PODS, SLICES, SWITCHOVER, Subject

INTERVAL: Final = 0.05
PATIENCE: Final = 0.4
"""A member that does not answer for so long counts as silent."""

LAG: Final = 1.0
"""A replica that streams has replayed what was written so many seconds ago."""

_PAUSE: Final = 0.2
_LOOK: Final = (
    "select pg_is_in_recovery() or current_setting('transaction_read_only')::bool, "
    "(select count(*) from pg_stat_replication where state = 'streaming'), "
    "(select count(*) from pg_stat_wal_receiver where status = 'streaming'), "
    "case when pg_is_in_recovery() then pg_last_wal_replay_lsn() "
    "else pg_current_wal_lsn() end - '0/0'"
)


class Sampler:
    """Notes what it sees until it is left; the newest of each kind can be asked for."""

    def __init__(self, subject: Subject) -> None:
        self.looks: list[Look] = []
        self.pods: list[PodSeen] = []
        self.leases: list[LeaseSeen] = []
        self.endpoints: list[EndpointsSeen] = []
        self._subject = subject
        self._stopping = threading.Event()
        self._failure = ""
        self._latest: dict[str, Look] = {}
        self._slices: dict[str, tuple[str, ...]] = {}
        targets: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            *((self._ask, (member,)) for member in subject.members),
            (self._follow, (PODS, self._on_pod)),
            (self._follow, (LEASES, self._on_lease)),
            (self._follow, (SLICES, self._on_slice)),
        ]
        self._threads = [
            threading.Thread(target=self._guarded, args=(target, arguments), daemon=True)
            for target, arguments in targets
        ]

    def __enter__(self) -> "Sampler":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """A sampler that is blind must not look like a set that is broken."""
        try:
            target(*arguments)
        except Exception as error:
            self._failure = f"the sampler itself has failed: {error!r}"
            raise

    # ── what is so now ────────────────────────────────────────────────────────────────────

    def writable(self) -> list[str]:
        """Return the members whose newest answer is that they take writes."""
        return [it.member for it in self._latest.copy().values() if it.state == WRITABLE]

    def pod(self, member: str) -> PodSeen | None:
        """Return what was told of a member's pod last."""
        return next((it for it in reversed(self.pods) if it.name == member), None)

    def lease(self) -> LeaseSeen | None:
        """Return what was told of the Lease last."""
        return self.leases[-1] if self.leases else None

    def missing(self) -> str:
        """Say what the set lacks to be whole; "" where one leads and all others stream."""
        primaries = self.writable()
        if self._failure:
            return self._failure
        if len(primaries) != 1:
            return f"writable are {primaries or 'none'}"
        primary = primaries[0]
        lease = self.lease()
        if lease is None or lease.holder != primary:
            return f"{primary} is writable, the Lease is with {lease.holder if lease else '?'!r}"
        for member in self._subject.members:
            if lack := self._lack(member, role_of(member == primary)):
                return f"{member} {lack}"
        senders = self._latest[primary].senders
        wanted = len(self._subject.members) - 1
        if senders != wanted:
            return f"{primary} sends to {senders} of {wanted} replicas"
        # A replica that is cut off still counts as streaming for a minute; what it has tells.
        written = self._position(primary, time.monotonic() - LAG)
        behind = [name for name, it in self._latest.copy().items() if it.position < written]
        return f"{behind} are behind" if behind else ""

    def _position(self, member: str, at: float) -> int:
        looks = (it for it in reversed(self.looks) if it.member == member and it.answered <= at)
        return next((it.position for it in looks), 0)

    def _lack(self, member: str, role: str) -> str:
        pod, look = self.pod(member), self._latest.get(member)
        if pod is None or look is None or look.state == SILENT:
            return "does not answer"
        if pod.terminating or not pod.ready:
            return f"is not ready: {pod.says}"
        if pod.role != role:
            return f'is labelled "{pod.role}" where it is the {role}: {pod.says}'
        if role == "replica" and not look.receiving:
            return f"does not stream: {pod.says}"
        return ""

    # ── members ───────────────────────────────────────────────────────────────────────────

    def _ask(self, member: str) -> None:
        link: Link | None = None
        while not self._stopping.wait(INTERVAL):
            asked = time.monotonic()
            try:
                link = link or connect(member, self._subject.password, PATIENCE)
                read_only, senders, receivers, position = link.ask(_LOOK, PATIENCE)[0]
            except LinkError:
                if link is not None:
                    link.close()
                link = None
                self._note(Look(member, asked, time.monotonic(), SILENT))
                continue
            state = READ_ONLY if read_only == "t" else WRITABLE
            self._note(
                Look(
                    member,
                    asked,
                    time.monotonic(),
                    state,
                    int(senders or 0),
                    receivers != "0",
                    int(position or 0),
                )
            )
        if link is not None:
            link.close()

    def _note(self, look: Look) -> None:
        self._latest[look.member] = look
        self.looks.append(look)

    # ── the API server ────────────────────────────────────────────────────────────────────

    def _follow(self, path: str, note: Callable[[str, api.Json], None]) -> None:
        while not self._stopping.wait(_PAUSE):
            for event in api.watch(path, self._stopping.is_set):
                if event["type"] != "ERROR":
                    note(event["type"], event["object"])

    def _on_pod(self, kind: str, pod: api.Json) -> None:
        seen = _pod_seen(pod, gone=kind == "DELETED")
        last = self.pod(seen.name)
        if last is None or _without_time(last) != _without_time(seen):
            self.pods.append(seen)

    def _on_lease(self, kind: str, lease: api.Json) -> None:
        if lease["metadata"]["name"] != LEASE.rpartition("/")[2]:
            return
        notes = lease["metadata"].get("annotations") or {}
        holder = str(lease["spec"].get("holderIdentity") or "").partition("_")[0]
        exists = kind != "DELETED"
        seen = LeaseSeen(
            time.monotonic(), holder if exists else "", notes.get(SWITCHOVER, ""), exists
        )
        last = self.lease()
        if last is None or _without_time(last) != _without_time(seen):
            self.leases.append(seen)

    def _on_slice(self, kind: str, piece: api.Json) -> None:
        ready = () if kind == "DELETED" else tuple(
            address
            for endpoint in piece.get("endpoints") or []
            if endpoint["conditions"].get("ready")
            for address in endpoint["addresses"]
        )  # fmt: skip
        self._slices[piece["metadata"]["name"]] = ready
        addresses = tuple(sorted({it for some in self._slices.values() for it in some}))
        if not self.endpoints or self.endpoints[-1].addresses != addresses:
            self.endpoints.append(EndpointsSeen(time.monotonic(), addresses))


def role_of(is_primary: bool) -> str:
    """Return the role label's value."""
    return "primary" if is_primary else "replica"


def connect(member: str, password: str, seconds: float) -> Link:
    """Connect to a member from inside its own network namespace.

    The calling thread stays in there; so call it in a thread of its own.
    """
    inside = pod_processes.of_member(member)
    if not inside:
        raise LinkError("the pod has no processes")
    try:
        enter_network_namespace(inside[-1].network)
    except OSError as error:
        raise LinkError("the pod has just ended") from error
    return Link("127.0.0.1", password, seconds)


def _pod_seen(pod: api.Json, *, gone: bool) -> PodSeen:
    metadata, status = pod["metadata"], pod["status"]
    conditions = {it["type"]: it["status"] for it in status.get("conditions") or []}
    return PodSeen(
        at=time.monotonic(),
        name=metadata["name"],
        uid="" if gone else metadata["uid"],
        role="" if gone else metadata["labels"].get(contract.DEFAULT_ROLE_LABEL, ""),
        ready=not gone and conditions.get("Ready") == "True",
        terminating=gone or "deletionTimestamp" in metadata,
        address="" if gone else status.get("podIP", ""),
        says=(metadata.get("annotations") or {}).get(contract.STATUS, ""),
    )


def _without_time(seen: PodSeen | LeaseSeen) -> dict[str, object]:
    return {name: value for name, value in vars(seen).items() if name != "at"}
