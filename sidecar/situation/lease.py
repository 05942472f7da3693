"""Whose the Lease is, and who can be reached to ask."""

from sidecar.observation import LeaseRecord, Observation
from sidecar.settings import Settings
from sidecar.situation.patience import (
    FENCING_SHARE,
    ISOLATION,
    SILENCE,
    seconds_before_fencing,
)
from sidecar.situation.word import word


class LeaseWords:
    """Words about the Lease."""

    seen: Observation
    settings: Settings
    record: LeaseRecord | None
    """The Lease's content."""
    recorded_as_holder: bool
    """The Lease names this life of this pod."""

    def __init__(self, observation: Observation, settings: Settings) -> None:
        """Look at what nearly every word begins with; the others wait until they are asked for."""
        self.seen = observation
        self.settings = settings
        self.record = record = observation.lease.record if observation.lease else None
        self.recorded_as_holder = record is not None and record.holder == str(observation.me)

    @property
    def is_paused(self) -> bool:
        """Nobody takes over and nothing is handed over: for now, or because the pods become plain
        ones, of which the last primary alone is to be writable."""
        return self.seen.paused or self.seen.opted_out

    @word
    def renewed_ago(self) -> float:
        """Seconds since the last renewal was sent, or the last question that all members answered
        with yes, or since the sidecar could have sent one."""
        lease = self.seen.lease
        if lease is not None and lease.renewed_at is not None:
            return self.seen.now - max(lease.renewed_at, lease.excused_at or lease.renewed_at)
        # A sidecar that has just been restarted does not know when it renewed last. The watchdog
        # leaves it about a second before PostgreSQL has to stop.
        return (self.seen.now - self.seen.started_at) + self.fence_after - 1.0

    @word
    def fence_after(self) -> float:
        """Seconds without renewal after which a writable PostgreSQL is stopped."""
        return seconds_before_fencing(self.settings.ttl)

    def has_to_stop_within(self, seconds: float) -> bool:
        """So soon this holder's right to be writable ends, if nothing prolongs it."""
        left = self.fence_after - self.renewed_ago
        return not self.is_alone and 0 < left < seconds

    @word
    def others_who_may_lead(self) -> frozenset[str]:
        """By the holder's own record, and what a renewal without an answer may have made of it."""
        if self.record is None or self.seen.lease is None:
            return frozenset()
        return frozenset((*self.record.members, *self.seen.lease.perhaps_members)) - {
            self.seen.me.name
        }

    @word
    def is_alone(self) -> bool:
        """No other pod may take the Lease."""
        return (
            self.record is not None
            and self.seen.me.name in self.record.members
            and not self.others_who_may_lead
        )

    @word
    def holds_lease(self) -> bool:
        """This member is the holder and may act as one."""
        if not self.recorded_as_holder or self.seen.lease is None:
            return False
        if self.seen.lease.renewed_at is None:
            return False
        return self.is_alone or (self.renewed_ago < self.fence_after and not self.is_isolated)

    @property
    def lease_ran_out(self) -> bool:
        """A holder is named, but its record was not seen to change for its ttl, nor has this
        member promised that holder to wait."""
        return (
            self.record is not None
            and self.seen.lease is not None
            and bool(self.record.holder)
            and not self.holds_lease
            and self.seen.now - self.seen.lease.changed_at > self.seconds_of_validity
            and not self.has_promised
        )

    @word
    def seconds_of_validity(self) -> int:
        """The recorded ttl; somebody may have written a shorter one than the holder counts with."""
        return max(self.record.ttl if self.record else 0, self.settings.ttl)

    @property
    def last_moment_of_the_holder(self) -> float:
        """Seconds without renewal after which the holder's PostgreSQL has got its SIGKILL."""
        return self.seconds_of_validity * (1 - FENCING_SHARE / 3)

    @property
    def holder_is_lost(self) -> bool:
        """It has not been seen to renew for so long that it cannot be writable any more."""
        lease = self.seen.lease
        return (
            self.another_holds
            and lease is not None
            and not self.has_promised
            and self.seen.now - lease.changed_at > self.last_moment_of_the_holder
        )

    @property
    def has_promised(self) -> bool:
        """The holder was told that this member will not take the Lease yet."""
        return self.seen.promised_until is not None and self.seen.now < self.seen.promised_until

    @word
    def nobody_holds(self) -> bool:
        """The Lease may be taken."""
        if self.seen.lease is None:
            return False
        if self.record is None:
            return not self.has_promised and not self.just_vanished
        return not self.record.holder or self.lease_ran_out

    @property
    def just_vanished(self) -> bool:
        """Somebody deleted the Lease: whoever held it may still count on it, for a ttl."""
        lease = self.seen.lease
        return (
            lease is not None
            and lease.record is None
            and lease.renewal_seen
            and self.seen.now - lease.changed_at <= self.settings.ttl
        )

    @word
    def another_holds(self) -> bool:
        """Another member holds the Lease."""
        return self.record is not None and not self.recorded_as_holder and not self.nobody_holds

    @word
    def free_for(self) -> float:
        """Seconds since when the Lease could be taken, where nobody holds it."""
        if self.seen.lease is None or self.record is None:
            return self.seen.now - self.seen.started_at
        ended = self.seen.lease.changed_at + (self.seconds_of_validity if self.record.holder else 0)
        return self.seen.now - ended

    @word
    def leader(self) -> str:
        """The holder's pod name, for sentences."""
        return self.record.holder_pod if self.record and self.record.holder else "nobody"

    @property
    def last_leader(self) -> str:
        """The pod that was the last to be primary; for sentences, too."""
        return (self.record.last_leader if self.record else None) or "nobody"

    @property
    def set_system_identifier(self) -> str | None:
        """The recorded system identifier."""
        return self.record.system_identifier if self.record else None

    @property
    def set_has_data(self) -> bool:
        """The set has been initialised, by its record."""
        return self.set_system_identifier is not None

    @word
    def api_heard_ago(self) -> float:
        """Seconds since the API server told anything."""
        lease = self.seen.lease
        if lease is None:
            return self.seen.now - self.seen.started_at
        return self.seen.now - max(lease.heard_at, lease.renewed_at or lease.heard_at)

    @word
    def members_heard_ago(self) -> float:
        """Seconds since another member said anything, in replication or between sidecars."""
        heard = max(self.seen.members_heard_at, self.seen.postgres.followers_heard_at or 0.0)
        return self.seen.now - heard

    @word
    def may_be_cut_off(self) -> bool:
        """The members, who were heard until just now, are silent: a cut-off would begin so."""
        return (
            self.recorded_as_holder
            and bool(self.others_who_may_lead)
            and SILENCE < self.members_heard_ago < self.fence_after
        )

    @word
    def is_isolated(self) -> bool:
        """Neither the API server nor any member has answered when it was asked, and both have
        fallen silent at about the same time: it is this member that is cut off."""
        silent_for = min(self.api_heard_ago, self.members_heard_ago)
        return (
            bool(self.others_who_may_lead)
            and self.seen.renewal_failed_at is not None
            and self.seen.question_failed_at is not None
            # A question of long ago tells nothing: somebody has been heard since.
            and self.seen.now - self.seen.question_failed_at < silent_for
            and silent_for >= ISOLATION
            and abs(self.api_heard_ago - self.members_heard_ago) < self.fence_after
        )
