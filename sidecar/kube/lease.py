"""The set's Lease: its record read and written, and watched on the sidecar's own clock.

Expiry is judged by when this sidecar saw the record change, on a monotonic clock; the times
that stand in the Lease are for people (design, rule 2; client-go's leader election does so too).
"""

import contextlib
import datetime
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sidecar import contract
from sidecar.action import RenewLease
from sidecar.kube.client import ApiClient, ApiError, ConflictError, Json
from sidecar.kube.mirror import Mirror
from sidecar.observation import Identity, Leadership, LeaseRecord, LeaseView
from sidecar.settings import Settings

_HISTORY_LENGTH: Final = 10


def read_record(lease: Json) -> LeaseRecord:
    """Return a Lease's content; what others wrote into it in another form counts as absent."""
    metadata, spec = lease["metadata"], lease["spec"]
    notes = metadata.get("annotations") or {}
    timeline = notes.get(contract.TIMELINE, "")
    return LeaseRecord(
        holder=spec.get("holderIdentity") or "",
        ttl=spec.get("leaseDurationSeconds") or 0,
        resource_version=metadata["resourceVersion"],
        system_identifier=notes.get(contract.SYSTEM_IDENTIFIER) or None,
        timeline=int(timeline) if timeline.isdecimal() else None,
        members=tuple(name for name in notes.get(contract.MEMBERS, "").split(",") if name),
        history=tuple(
            Leadership(int(entry[0]), entry[1], entry[2])
            for text in notes.get(contract.HISTORY, "").split(",")
            if len(entry := text.split()) == 3 and entry[0].isdecimal()  # noqa: PLR2004
        ),
        transitions=spec.get("leaseTransitions") or 0,
    )


def with_record(lease: Json, record: LeaseRecord) -> Json:
    """Return the Lease with this content; labels and annotations of others stay."""
    ours = {
        contract.SYSTEM_IDENTIFIER: record.system_identifier,
        contract.TIMELINE: None if record.timeline is None else str(record.timeline),
        contract.MEMBERS: ",".join(record.members) or None,
        contract.HISTORY: ",".join(f"{e.timeline} {e.pod} {e.since}" for e in record.history)
        or None,
    }
    notes = (lease["metadata"].get("annotations") or {}) | ours
    spec = lease.get("spec") or {}
    now = _now("microseconds")
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


class LeaseKeeper:
    """The Lease of one set, for one of its members."""

    def __init__(
        self,
        client: ApiClient,
        namespace: str,
        settings: Settings,
        me: Identity,
        *,
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        """`clock`: monotonic seconds. `on_change` is called when the Lease changed."""
        self._client = client
        self._settings = settings
        self._me = me
        self._clock = clock
        self._name = contract.lease_name(settings.set_name)
        self._namespace = namespace
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._mirror = Mirror(
            client,
            self._collection,
            {"fieldSelector": f"metadata.name={self._name}"},
            on_change=on_change,
        )
        self._seen: LeaseView | None = None
        self._renewed_at: float | None = None
        self._taken_expired = False

    def start(self) -> None:
        """Begin to watch."""
        self._mirror.start()

    def observe(self) -> LeaseView | None:
        """Return the Lease as seen until now; None before the API server has answered once."""
        objects = self._mirror.objects()
        if objects is None:
            return None
        lease = objects.get(self._name)
        record = read_record(lease) if lease else None
        last = self._seen
        if last is None or _version(record) != _version(last.record):
            same_holder = (
                last is not None
                and record is not None
                and last.record is not None
                and record.holder == last.record.holder != ""
            )
            last = LeaseView(
                record,
                changed_at=self._clock(),
                renewal_seen=same_holder or (last is not None and last.renewal_seen),
            )
        self._seen = replace(last, renewed_at=self._renewed_at, taken_expired=self._taken_expired)
        return self._seen

    def take(self, *, expired: bool) -> None:
        """Become the holder. Raises ConflictError where another was faster, or any ApiError.

        On the record that was observed, not on a newer one: that may have a new holder by now.
        """
        view = self._seen
        record = view.record if view and view.record else LeaseRecord("", 0, "")
        taken = replace(
            record,
            holder=str(self._me),
            ttl=self._settings.ttl,
            transitions=record.transitions + 1,
        )
        self._write(taken)
        self._taken_expired = expired

    def renew(self, known: RenewLease) -> None:
        """Stay the holder. Raises ConflictError where the record is another by now."""
        view = self._seen
        if view is None or view.record is None:
            return
        record = replace(
            view.record,
            ttl=self._settings.ttl,
            system_identifier=known.system_identifier,
            timeline=known.timeline,
            members=known.members,
        )
        if known.timeline is not None and known.timeline != view.record.timeline:
            entry = Leadership(known.timeline, self._me.name, _now("seconds"))
            record = replace(record, history=(*record.history, entry)[-_HISTORY_LENGTH:])
        self._write(record)

    def release(self) -> None:
        """Give the Lease up, if this pod holds it."""
        view = self.observe()
        if view and view.record and view.record.holder == str(self._me):
            self._write(replace(view.record, holder=""))
            self._renewed_at = None

    def _write(self, record: LeaseRecord) -> None:
        sent_at = self._clock()
        try:
            written = self._compare_and_swap(record)
        except ConflictError:
            # A watch can be silent for a minute before it is given up: without a look of our own
            # each renewal would meet the same conflict until the holder has to fence.
            with contextlib.suppress(ApiError):
                self._mirror.learn(self._client.get(f"{self._collection}/{self._name}"))
            raise
        self._renewed_at = sent_at
        self._mirror.learn(written)

    def _compare_and_swap(self, record: LeaseRecord) -> Json:
        if not record.resource_version:
            return self._client.create(self._collection, with_record(self._new(), record))
        present = (self._mirror.objects() or {}).get(self._name) or self._new()
        body = with_record(present, record)
        body["metadata"]["resourceVersion"] = record.resource_version
        return self._client.replace(f"{self._collection}/{self._name}", body)

    def _new(self) -> Json:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self._name,
                "namespace": self._namespace,
                "labels": {contract.SET_LABEL: self._settings.set_name},
            },
        }


def _version(record: LeaseRecord | None) -> str | None:
    return record.resource_version if record else None


def _now(precision: str) -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec=precision).replace("+00:00", "Z")
