"""The set's Lease: its record read and written, and watched on the sidecar's own clock.

Expiry is judged by when this sidecar saw the record change, on a monotonic clock; the times
that stand in the Lease are for people (design, rule 2; client-go's leader election does so too).
"""

import collections
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from sidecar import contract
from sidecar.action import RenewLease, TakeLease
from sidecar.kube.client import (
    ApiClient,
    ApiError,
    ConflictError,
    Json,
    NotFoundError,
    RetryLaterError,
)
from sidecar.kube.lease_record import now_text, read_record, with_record
from sidecar.kube.mirror import Mirror
from sidecar.observation import Identity, Leadership, LeaseRecord, LeaseView
from sidecar.settings import Settings

_HISTORY_LENGTH: Final = 10


_WRITES_REMEMBERED: Final = 100
"""Those of some minutes: one that lands later is not believed, and the next one is."""


@dataclass(frozen=True, slots=True)
class _Write:
    """A write that was sent."""

    base: str
    """The version that it was to replace; empty where it was to create the Lease."""
    time: str
    """The renewTime that it was to write: no other write of ours has the same."""
    sent_at: float


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
        """`clock`: monotonic seconds. `on_change` is called when the Lease says something
        new, but not for each renewal of it.
        """
        self._client = client
        self._settings = settings
        self._me = me
        self._clock = clock
        self._name = contract.lease_name(settings.set_name)
        self._namespace = namespace
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._on_change = on_change
        self._mirror = Mirror(
            client,
            self._collection,
            {"fieldSelector": f"metadata.name={self._name}"},
            clock=clock,
            on_change=self._notice,
        )
        self._lock = threading.Lock()
        self._noted: LeaseView | None = None
        """The newest record and when it came, noted by whoever brought it."""
        self._seen: LeaseView | None = None
        """What the loop has looked at and decides on."""
        self._answered_at = float("-inf")
        self._renewed_at: float | None = None
        self._excused_at: float | None = None
        self._taken_expired = False
        self._unanswered: list[tuple[str, RenewLease]] = []
        """The version that a renewal without an answer was to replace, and what it was to say."""
        self._sent: collections.deque[_Write] = collections.deque(maxlen=_WRITES_REMEMBERED)
        """Our writes of which nothing is known yet."""
        self._uncertain_take: str | None = None
        """The version that a take without an answer was to replace."""

    def start(self) -> None:
        """Begin to watch."""
        self._mirror.start()

    def observe(self) -> LeaseView | None:
        """Return the Lease as known now, on which `take`, `renew` and `release` will act.

        None before the API server has answered once.
        """
        self._seen = self.newest()
        return self._seen

    def newest(self) -> LeaseView | None:
        """Return the same from any thread, and leave alone what the loop acts on."""
        with self._lock:
            noted = self._noted
            if noted is None:
                return None
            version = _version(noted.record)
            perhaps = [known for base, known in self._unanswered if base == version]
            return replace(
                noted,
                renewed_at=self._renewed_at,
                taken_expired=self._taken_expired,
                heard_at=max(self._mirror.heard_at, self._answered_at),
                excused_at=self._excused_at,
                perhaps_members=tuple(sorted({n for known in perhaps for n in known.members})),
                perhaps_promised=tuple((known.voters, known.copies) for known in perhaps),
                uncertain_take=self._uncertain_take == version,
            )

    def look(self, seconds: float | None = None) -> bool:
        """Ask for the Lease, where the watch is silent; tell whether there was an answer in time.

        What it says is in the next view, and so is when it was said.
        """
        try:
            self._mirror.learn(
                self._client.get(f"{self._collection}/{self._name}", seconds=seconds)
            )
        except NotFoundError:
            # Without a version it can't be told from an older truth; the watch will tell.
            self._answered_at = self._clock()
        except ApiError:
            return False
        return True

    def excuse(self, sent_at: float) -> None:
        """Note that all members let this holder stay; `sent_at`: just before they were asked."""
        with self._lock:
            self._excused_at = sent_at

    def take(self, action: TakeLease) -> None:
        """Become the holder. Raises ConflictError where another holds it, or any ApiError.

        On the record that was observed, not on a newer one: that may have a new holder by now.
        """
        view = self._seen
        record = view.record if view and view.record else LeaseRecord("", 0, "")
        if view and record.holder and not self._has_run_out(view, record):
            raise ConflictError(f"the Lease is held by {record.holder_pod}, and not expired")
        taken = replace(
            record,
            holder=str(self._me),
            ttl=self._settings.ttl,
            transitions=record.transitions + 1,
            heir=None,
            voters=action.voters,
            copies=action.copies,
        )
        with self._lock:
            self._excused_at = None
            # Before it is written: the answer may be lost, and the watch tell of the success.
            self._taken_expired = action.expired
        try:
            self._write(taken)
        except RetryLaterError:
            with self._lock:
                self._uncertain_take = record.resource_version
            raise

    def _has_run_out(self, view: LeaseView, record: LeaseRecord) -> bool:
        return self._clock() - view.changed_at > record.ttl

    def renew(self, known: RenewLease) -> None:
        """Stay the holder. Raises ConflictError where the record is another by now."""
        view = self._seen
        if view is None or view.record is None:
            return
        if view.record.holder != str(self._me):
            raise ConflictError(f"the Lease is held by {view.record.holder_pod or 'nobody'}")
        record = replace(
            view.record,
            ttl=self._settings.ttl,
            system_identifier=known.system_identifier,
            timeline=known.timeline,
            members=known.members,
            position=known.position,
            voters=known.voters,
            copies=known.copies,
            heir=known.heir,
            switchover_to=known.switchover_to,
        )
        if known.timeline is not None and known.timeline != view.record.timeline:
            entry = Leadership(known.timeline, self._me.name, now_text("seconds"))
            record = replace(record, history=(*record.history, entry)[-_HISTORY_LENGTH:])
        try:
            self._write(record)
        except RetryLaterError:
            with self._lock:
                base = record.resource_version
                # What is the same in another position is nothing else, and this may go on for long.
                said = replace(known, position=None)
                still = [entry for entry in self._unanswered if entry[0] == base]
                if (base, said) not in still:
                    still.append((base, said))
                self._unanswered = still
            raise

    def release(self, heir: str | None = None) -> None:
        """Give the Lease up, if this pod holds it, and say who is to take it."""
        view = self.observe()
        if view and view.record and view.record.holder == str(self._me):
            self._write(replace(view.record, holder="", heir=heir))
            with self._lock:
                self._renewed_at = self._excused_at = None
                self._sent.clear()

    def _notice(self) -> None:
        """Note what the Lease says and when it came, at once; expiry counts from here."""
        now = self._clock()
        with self._lock:
            objects = self._mirror.objects()
            if objects is None:
                return
            lease = objects.get(self._name)
            record = read_record(lease) if lease else None
            last = self._noted
            if last is not None and _version(record) == _version(last.record):
                return
            if self._uncertain_take != _version(record):
                self._uncertain_take = None
            same_holder = (
                last is not None
                and record is not None
                and last.record is not None
                and record.holder == last.record.holder != ""
            )
            self._noted = LeaseView(
                record,
                changed_at=now,
                renewal_seen=same_holder or (last is not None and last.renewal_seen),
            )
            news = last is None or _substance(record) != _substance(last.record)
            landed = lease is not None and record is not None and self._has_landed(lease, record)
        if news or landed:
            self._on_change()

    def _has_landed(self, lease: Json, record: LeaseRecord) -> bool:
        """Tell whether this record is a write of ours that got no answer, which it then proves.

        It names this holder and carries the time that was sent; by the version alone somebody else
        may have changed the Lease. It counts as one that was answered does: from when it was sent.
        Called with the lock.
        """
        time = (lease.get("spec") or {}).get("renewTime")
        found = next((write for write in self._sent if write.time == time), None)
        if found is None or record.holder != str(self._me) or not _follows(record, found.base):
            return False
        self._renewed_at = max(self._renewed_at or found.sent_at, found.sent_at)
        self._sent.clear()
        return True

    def _write(self, record: LeaseRecord) -> None:
        present = (self._mirror.objects() or {}).get(self._name) or self._new()
        body = with_record(present if record.resource_version else self._new(), record)
        sent_at = self._clock()
        self._remember(_Write(record.resource_version, body["spec"]["renewTime"], sent_at), present)
        try:
            written = self._compare_and_swap(record, body)
        except (ConflictError, NotFoundError):
            self._answered_at = self._clock()
            # A watch can be silent for a minute before it is given up: without a look of our own
            # each renewal would meet the same conflict until the holder has to fence.
            if not self._was_deleted_under(record):
                raise
            written = self._client.create(self._collection, with_record(self._new(), record))
        except ApiError as error:
            if error.answered:
                self._answered_at = self._clock()
            raise
        with self._lock:
            self._renewed_at = sent_at
            self._sent.clear()
        self._mirror.learn(written)

    def _remember(self, write: "_Write", present: Json) -> None:
        """Keep what proves this write, if it does: clocks can be set back to a time that was."""
        with self._lock:
            times = {each.time for each in self._sent} | {present.get("spec", {}).get("renewTime")}
            if write.time not in times:
                self._sent.append(write)

    def _was_deleted_under(self, record: LeaseRecord) -> bool:
        """Look at the Lease; tell whether this is a renewal of one that somebody has deleted.

        Its holder makes it anew as it was, for a ttl is left in which nobody else will; a create
        fails where somebody has.
        """
        held = self._seen.record.holder if self._seen and self._seen.record else ""
        try:
            self._mirror.learn(self._client.get(f"{self._collection}/{self._name}"))
        except NotFoundError:
            return record.holder == held == str(self._me)
        except ApiError:
            return False
        return False

    def _compare_and_swap(self, record: LeaseRecord, body: Json) -> Json:
        if not record.resource_version:
            return self._client.create(self._collection, body)
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


def _version(record: LeaseRecord | None) -> str:
    return record.resource_version if record else ""


def _follows(record: LeaseRecord, base: str) -> bool:
    return not base or int(record.resource_version) > int(base)


def _substance(record: LeaseRecord | None) -> LeaseRecord | None:
    """Return a record without what each renewal changes, for which nobody need be woken."""
    return record and replace(record, resource_version="", position=None)
