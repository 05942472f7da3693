"""This member's own pod, as the API server shows it."""

from sidecar.observation import Pod
from sidecar.situation.cached import cached
from sidecar.situation.lease import LeaseFacts
from sidecar.situation.timing import (
    AFTER_OUTAGE,
    FENCE_PATIENCE,
    TAKEN_OUT_PATIENCE,
    UNREADY_PATIENCE,
    UNREADY_WITH_THE_ROLE,
)


class PodFacts:
    """Facts about this pod."""

    shown: Pod | None
    """The pod itself; None if the API server does not show it."""

    def __init__(self, lease: LeaseFacts) -> None:
        """Build on the Lease; look for the pod, which almost every property needs."""
        self.observation = observation = lease.observation
        self.lease = lease
        self.shown = None
        for pod in observation.pods or ():
            if pod.uid == observation.me.uid:
                self.shown = pod
                break

    def has_role(self, value: str | None) -> bool:
        """Whether the API server shows it with this value of the role label."""
        return self.shown is not None and self.shown.role == value

    @property
    def is_leaving(self) -> bool:
        """This pod is being deleted."""
        return self.shown is not None and self.shown.deleting

    @cached
    def leaving_for(self) -> float:
        """Seconds since this pod was deleted; 0 if it was not."""
        since = self.observation.leaving_since
        return 0.0 if since is None else self.observation.now - since

    @property
    def is_fenced(self) -> bool:
        """An operator wants its PostgreSQL stopped."""
        return self.shown is not None and self.shown.fenced_since is not None

    @property
    def is_fenced_without_delay(self) -> bool:
        """Likewise, and another member has had the time to be found."""
        since = self.shown.fenced_since if self.shown else None
        return since is not None and self.observation.now - since >= FENCE_PATIENCE

    @property
    def waits_since_it_was_fenced(self) -> bool:
        """It is fenced no more, PostgreSQL has not come up since, and its kubelet, which saw it end
        again and again, waits before it starts it."""
        at = self.observation.unfenced_at
        return (
            at is not None
            and self.observation.postgres.since <= at
            and self.shown is not None
            and self.shown.backs_off
        )

    @property
    def failover_was_asked(self) -> str | None:
        """The version of the Lease on which an operator wants it to lead, while its pod stays."""
        return None if self.shown is None or self.is_leaving else self.shown.failover

    @property
    def in_service_until(self) -> float | None:
        """When this pod counts as out of its Services; None if it is in them."""
        if self.shown is None or self.shown.unready_since is None:
            return None
        if self.shown.taken_out_since is not None:
            return self.shown.taken_out_since + TAKEN_OUT_PATIENCE
        since = self.shown.unready_since
        soon = 0 <= since - self.observation.postgres.since < UNREADY_WITH_THE_ROLE
        patience = UNREADY_WITH_THE_ROLE if soon else UNREADY_PATIENCE
        return max(since, self._well_since) + patience

    @property
    def _well_since(self) -> float:
        """Before that, PostgreSQL or its volume was reason enough for the pod not to be ready."""
        now, postgres = self.observation.now, self.observation.postgres
        if postgres.unwell_since is not None:
            return now
        return max(postgres.since, now - self.observation.bootstrap.slow_ago)

    @property
    def is_out_of_service(self) -> bool:
        """Kubernetes sends no new clients here, and PostgreSQL is not why. Does not count after
        an outage of the API server: it then takes every node for lost until it has heard of it."""
        return (
            self.in_service_until is not None
            and self.observation.now >= self.in_service_until
            and self.observation.now - self.observation.api_failed_at > AFTER_OUTAGE
        )

    @property
    def is_taken_out(self) -> bool:
        """Kubernetes has made this pod unready because of its node."""
        return self.shown is not None and self.shown.taken_out_since is not None

    @property
    def is_back_sooner_if_deleted(self) -> bool:
        """Its kubelet is known to wait before it starts PostgreSQL again, for 10 s and more, and no
        new pod was made for that already, in vain."""
        backs_off = self.shown is not None and self.shown.backs_off
        return backs_off and self.observation.bootstrap.returns is None

    @property
    def may_be_replaced(self) -> bool:
        """Another pod may soon take over the data directory (rule 8): the volume hangs, and with it
        the heartbeat, and the API server does not confirm that this pod still exists."""
        since = self.observation.bootstrap.silent_since
        if since is None or self.observation.now - since < self.lease.fence_after:
            return False
        return self.shown is None or self.lease.api_heard_ago >= self.lease.fence_after

    @property
    def deletion_to_clone(self) -> str:
        """For messages: whether this pod is deleted so that bootstrap can clone its data again."""
        if not self.lease.set_has_data:
            return (
                "; no Lease says that another member has a copy: bring the data back, or delete "
                "this pod to go on without it"
            )
        return self._deletion_so_that("bootstrap can clone it again")

    @property
    def deletion_to_wait(self) -> str:
        """For messages: whether it is deleted so that bootstrap waits for the directory."""
        return self._deletion_so_that("bootstrap waits until the other stops")

    def _deletion_so_that(self, purpose: str) -> str:
        if self.lease.is_paused:
            return "; nothing more is done while the set is paused or opted out"
        if self.is_leaving:
            return "; this pod is being deleted already"
        if self.shown is None:
            return "; this pod has been deleted"
        return f", and deleting this pod so that {purpose}"
