"""The set's Lease, read, watched and written: `sidecar.memory.lease` in front of the API server."""

import contextlib
import threading
from collections.abc import Callable, Iterator

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
from sidecar.memory.lease import HeldError, LeaseMemory
from sidecar.observation import Identity, LeaseRecord, LeaseView
from sidecar.settings import Settings


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
        self._memory = LeaseMemory(me, settings)

    def start(self) -> None:
        """Begin to watch."""
        self._mirror.start()

    def look(self) -> LeaseView | None:
        """Return the Lease as known now, on which `take`, `renew` and `release` will act.

        None before the API server has answered once.
        """
        with self._lock:
            return self._memory.look(self._mirror.heard_at)

    def peek(self) -> LeaseView | None:
        """Return the same from any thread, and leave alone what the loop acts on."""
        with self._lock:
            return self._memory.peek(self._mirror.heard_at)

    def refresh(self, seconds: float | None = None) -> bool:
        """Ask for the Lease, where the watch is silent; tell whether there was an answer in time.

        What it says is in the next view, and so is when it was said.
        """
        try:
            self._mirror.ask(self._name, seconds)
        except NotFoundError:
            # Without a version it can't be told from an older truth; the watch will tell.
            self._was_answered()
        except ApiError:
            return False
        return True

    def excuse(self, sent_at: float) -> None:
        """Note that all members let this holder stay; `sent_at`: just before they were asked."""
        with self._lock:
            self._memory.excuse(sent_at)

    def take(self, action: TakeLease) -> None:
        """Become the holder. Raises ConflictError where another holds it, or any ApiError."""
        with self._lock, _as_conflict():
            record = self._memory.to_take(action, self._clock())
        try:
            self._write(record)
        except Exception as error:
            if _may_have_landed(error):
                with self._lock:
                    self._memory.take_unanswered(record)
            raise

    def renew(self, known: RenewLease) -> None:
        """Stay the holder. Raises ConflictError where the record is another by now."""
        with self._lock, _as_conflict():
            record = self._memory.to_renew(known, now_text("seconds"))
        if record is None:
            return
        try:
            self._write(record)
        except Exception as error:
            if _may_have_landed(error):
                with self._lock:
                    self._memory.renewal_unanswered(record, known)
            raise

    def release(self, heir: str | None = None, lives: tuple[str, ...] = ()) -> None:
        """Give the Lease up, if this pod holds it, and say who is to take it.

        `lives`: `str(Identity)` of the members' pods; empty where a new pod may be the heir.
        """
        self.look()
        with self._lock:
            record = self._memory.to_release(heir, lives)
        if record is not None:
            self._write(record)
            with self._lock:
                self._memory.released()

    def _notice(self) -> None:
        """Note what the Lease says and when it came, at once; expiry counts from here."""
        now = self._clock()
        with self._lock:
            objects = self._mirror.objects()
            if objects is None:
                return
            lease = objects.get(self._name)
            if lease and self._memory.has_heard(lease["metadata"]["resourceVersion"]):
                # Each write of ours comes twice: as its answer, and by the watch.
                return
            record = read_record(lease) if lease else None
            news = self._memory.hear(record, _renew_time(lease), now)
        if news:
            self._on_change()

    def _was_answered(self) -> None:
        with self._lock:
            self._memory.answered(self._clock())

    def _write(self, record: LeaseRecord) -> None:
        present = (self._mirror.objects() or {}).get(self._name) or self._new()
        body = with_record(present if record.resource_version else self._new(), record)
        sent_at = self._clock()
        with self._lock:
            self._memory.sending(record, _renew_time(body), sent_at)
        try:
            written = self._compare_and_swap(record, body)
        except (ConflictError, NotFoundError):
            self._was_answered()
            # A watch can be silent for a minute before it is given up: without a look of our own
            # each renewal would meet the same conflict until the holder has to fence.
            if not (self._is_gone() and self._memory.may_recreate(record)):
                raise
            written = self._client.create(self._collection, with_record(self._new(), record))
        except ApiError as error:
            if error.answered:
                self._was_answered()
            raise
        with self._lock:
            self._memory.landed(sent_at)
        self._mirror.learn(written)

    def _is_gone(self) -> bool:
        """Ask for the Lease; tell whether somebody has deleted it."""
        try:
            self._mirror.ask(self._name)
        except NotFoundError:
            return True
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
                "labels": {**contract.LABELS, contract.SET_LABEL: self._settings.set_name},
            },
        }


def _may_have_landed(error: Exception) -> bool:
    """Tell whether a write that ended so is none that the API server has refused."""
    return isinstance(error, RetryLaterError) or not isinstance(error, ApiError)


def _renew_time(lease: Json | None) -> str | None:
    """Return what marks each write of ours: no other has the same."""
    return ((lease or {}).get("spec") or {}).get("renewTime")


@contextlib.contextmanager
def _as_conflict() -> Iterator[None]:
    try:
        yield
    except HeldError as error:
        raise ConflictError(str(error)) from error
