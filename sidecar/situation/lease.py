"""Whose the Lease is, until when it counts, and who can be reached to ask."""

from sidecar.contract import lease_name
from sidecar.observation import LeaseRecord, Observation, ServerState
from sidecar.settings import Settings
from sidecar.situation.cached import cached
from sidecar.situation.timing import (
    FENCING_SHARE,
    ISOLATION,
    LAST_RENEWAL,
    LATE_RENEWAL,
    SILENCE,
    seconds_before_fencing,
)


class LeaseFacts:
    """Facts about the Lease."""

    record: LeaseRecord | None
    """The Lease's content."""
    names_me: bool
    """The Lease names this pod, by name and UID."""

    def __init__(self, observation: Observation, settings: Settings) -> None:
        """Read eagerly what almost every property needs; compute the rest on demand."""
        self.observation = observation
        self.settings = settings
        self.view = observation.lease
        self.record = record = self.view.record if self.view else None
        self.names_me = record is not None and record.holder == str(observation.me)

    @property
    def is_paused(self) -> bool:
        """The operator paused the set, or took the annotation away: then only the last primary may
        end up writable."""
        return self.observation.paused or self.observation.opted_out

    @cached
    def renewed_ago(self) -> float:
        """Seconds since the last renewal was sent, or since the last question to which all members
        answered yes, or since the sidecar could have sent one."""
        view = self.view
        if view is not None and view.renewed_at is not None:
            return self.observation.now - max(view.renewed_at, view.excused_at or view.renewed_at)
        # A sidecar that has just been restarted does not know when it renewed last. The watchdog
        # leaves it about a second before PostgreSQL has to stop.
        return (self.observation.now - self.observation.started_at) + self.fence_after - 1.0

    @cached
    def fence_after(self) -> float:
        """Seconds without a renewal after which a writable PostgreSQL is stopped."""
        return seconds_before_fencing(self.settings.ttl)

    @cached
    def fence_in(self) -> float | None:
        """Seconds until a holder must stop PostgreSQL; None: never."""
        if self.lists_only_me:
            return None
        left = self.fence_after - self.renewed_ago
        if self.may_be_cut_off and self.api_heard_ago > SILENCE:
            left = min(left, ISOLATION - self.members_heard_ago)
        return max(0.0, left)

    def has_to_stop_within(self, seconds: float) -> bool:
        """Whether this holder must stop PostgreSQL so soon, unless it renews or is excused."""
        left = self.fence_after - self.renewed_ago
        return not self.lists_only_me and 0 < left < seconds

    @property
    def renews_no_more(self) -> bool:
        """A renewal has failed, and there is no time left to wait for another one."""
        failed = self.observation.renewal_failed_at is not None
        return failed and self.has_to_stop_within(LAST_RENEWAL)

    @cached
    def others_who_may_lead(self) -> frozenset[str]:
        """The other recorded members, and those that an unanswered renewal may have added."""
        if self.record is None or self.view is None:
            return frozenset()
        return frozenset((*self.record.members, *self.view.possible_members)) - {
            self.observation.me.name
        }

    @property
    def went_back(self) -> bool:
        """The record is older than one that was seen before: it says nothing of what was since."""
        return self.view is not None and self.view.went_back

    @cached
    def lists_only_me(self) -> bool:
        """This member is the only one on record: no other pod may take the Lease.

        Whoever streams without being recorded does not count. Nobody but the holder adds members,
        and what its unanswered renewals may have added is among the others here. To fence because
        of such a standby would stop the primary of a set whose first replica arrives while the API
        server is away; because of one that has streamed before, that of a set scaled down to one.
        """
        return (
            self.record is not None
            and not self.went_back
            and self.observation.me.name in self.record.members
            and not self.others_who_may_lead
        )

    @property
    def was_taken_late(self) -> bool:
        """This member holds the Lease by a take that got no answer and has landed since."""
        return self.names_me and self.view is not None and self.view.taken_late

    @property
    def has_lapsed(self) -> bool:
        """This member has renewed after its time was over, or since its sidecar was restarted."""
        return self.names_me and self.view is not None and self.view.lapsed

    @property
    def may_be_given_up(self) -> bool:
        """The Lease names this pod, and another member may lead by the record; nor is it paused."""
        return self.names_me and not (self.lists_only_me or self.is_paused)

    @cached
    def is_mine(self) -> bool:
        """The Lease names this pod, which may act as its holder."""
        if not self.names_me or self.view is None:
            return False
        if self.view.renewed_at is None:
            return False
        return self.lists_only_me or (self.renewed_ago < self.fence_after and not self.is_isolated)

    @property
    def has_expired(self) -> bool:
        """It names a holder, but was not seen to change for its ttl, and this member has not
        pledged to that holder to wait."""
        return (
            self.record is not None
            and self.view is not None
            and bool(self.record.holder)
            and not self.is_mine
            and self.observation.now - self.view.changed_at > self.ttl
            and not self.is_pledged
        )

    @cached
    def ttl(self) -> int:
        """Seconds: the recorded ttl, or the configured one where somebody recorded a shorter one
        than the holder counts with."""
        return max(self.record.ttl if self.record else 0, self.settings.ttl)

    @property
    def holder_is_killed_after(self) -> float:
        """Seconds without a renewal after which the holder's PostgreSQL has been sent SIGKILL."""
        return self.ttl * (1 - FENCING_SHARE / 3)

    @property
    def holder_must_have_stopped(self) -> bool:
        """The holder has not been seen to renew for so long that it cannot be writable any more."""
        return (
            self.is_anothers
            and self.view is not None
            and not self.is_pledged
            and self.observation.now - self.view.changed_at > self.holder_is_killed_after
        )

    @property
    def is_pledged(self) -> bool:
        """This member has told the holder that it will not take the Lease yet."""
        until = self.observation.pledged_until
        return until is not None and self.observation.now < until

    @cached
    def is_free(self) -> bool:
        """The Lease may be taken."""
        if self.view is None:
            return False
        if self.record is None:
            return not self.is_pledged and not self.was_just_deleted
        return not self.record.holder or self.has_expired

    @property
    def was_just_deleted(self) -> bool:
        """Somebody deleted the Lease: whoever held it may still count on it, for a ttl."""
        view = self.view
        return (
            view is not None
            and view.record is None
            and view.renewal_seen
            and self.observation.now - view.changed_at <= self.settings.ttl
        )

    @property
    def may_be_reclaimed(self) -> bool:
        """This primary held it until a moment ago, and nobody has taken it over by the rules: it
        was deleted, emptied, or has gone back."""
        lost = self.is_free or self.was_just_deleted or self.went_back
        return lost and self.renewed_ago < self.fence_after

    @cached
    def is_anothers(self) -> bool:
        """Another member holds the Lease."""
        return self.record is not None and not self.names_me and not self.is_free

    @cached
    def free_for(self) -> float:
        """For how many seconds the Lease has been free, if it is."""
        if self.view is None or self.record is None:
            return self.observation.now - self.observation.started_at
        ended = self.view.changed_at + (self.ttl if self.record.holder else 0)
        return self.observation.now - ended

    @property
    def name(self) -> str:
        """For messages: the object's."""
        return lease_name(self.settings.set_name)

    @cached
    def holder_name(self) -> str:
        """The holder's pod name; "nobody" if there is no holder."""
        return self.record.holder_pod if self.record and self.record.holder else "nobody"

    @property
    def heir_name(self) -> str:
        """The pod that the Lease was handed to, or is being handed to; "nobody" if there is none"""
        return (self.record.heir if self.record else None) or "nobody"

    @property
    def last_leader(self) -> str:
        """The pod that was primary last; "nobody" if none ever was."""
        return (self.record.last_leader if self.record else None) or "nobody"

    @property
    def handed_over_by(self) -> str | None:
        """The other member that has named this one as its heir, if it was so: that one's disk has
        all that this one came up with. As long as its pod is there: the next one of its name may
        have another volume."""
        if self.view is None or self.record is None or self.view.handed_over_by is None:
            return None
        there = {
            pod.name
            for pod in self.observation.pods or ()
            if pod.identity == self.view.handed_over_by
        }
        # By the last primary's timeline: this one's own is on record a moment later, or never.
        postgres = self.observation.postgres
        is_promoted = postgres.state is ServerState.WRITABLE
        before = (postgres.timeline or 0) - is_promoted
        leaders = {led.pod for led in self.record.history if led.timeline == before}
        return next(iter((leaders & there) - {self.observation.me.name}), None)

    @property
    def system_identifier(self) -> str | None:
        """The set's, by the record."""
        return self.record.system_identifier if self.record else None

    @property
    def set_has_data(self) -> bool:
        """The set has been initialised, by the record."""
        return self.record is not None and self.record.system_identifier is not None

    @cached
    def api_heard_ago(self) -> float:
        """Seconds since the API server last said anything."""
        view = self.view
        if view is None:
            return self.observation.now - self.observation.started_at
        return self.observation.now - max(view.heard_at, view.renewed_at or view.heard_at)

    @cached
    def api_is_back_for(self) -> float:
        """Seconds since a silence of the API server has ended for this member; 0 while it lasts."""
        if self.view is None or self.api_heard_ago > self.settings.renew_interval + LATE_RENEWAL:
            return 0.0
        return self.observation.now - self.view.heard_again_at

    @cached
    def members_heard_ago(self) -> float:
        """Seconds since another member said anything, in replication or between sidecars."""
        followers_heard_at = self.observation.postgres.followers_heard_at or 0.0
        return self.observation.now - max(self.observation.members_heard_at, followers_heard_at)

    @cached
    def may_be_cut_off(self) -> bool:
        """All members fell silent just now, which is how being cut off begins."""
        return (
            self.names_me
            and bool(self.others_who_may_lead)
            and SILENCE < self.members_heard_ago < self.fence_after
        )

    @cached
    def is_isolated(self) -> bool:
        """Neither the API server nor any member has answered when it was asked, and both have
        fallen silent at about the same time: it is this member that is cut off."""
        observation = self.observation
        if observation.renewal_failed_at is None or observation.question_failed_at is None:
            return False
        silent_for = min(self.api_heard_ago, self.members_heard_ago)
        return (
            bool(self.others_who_may_lead)
            # A question of long ago says nothing: somebody has been heard since.
            and observation.now - observation.question_failed_at < silent_for
            and silent_for >= ISOLATION
            and abs(self.api_heard_ago - self.members_heard_ago) < self.fence_after
        )
