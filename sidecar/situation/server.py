"""This member's data directory and its PostgreSQL."""

from dataclasses import dataclass

from sidecar.observation import DataState, ServerState
from sidecar.situation.lease import LeaseWords
from sidecar.situation.patience import REATTACH_PATIENCE, UNWELL_PATIENCE
from sidecar.situation.word import word
from sidecar.synchronous import Place


@dataclass(frozen=True)
class ServerWords(LeaseWords):
    """Words about this member."""

    @word
    def is_bootstrapping(self) -> bool:
        """PostgreSQL is not yet told to start."""
        return self.seen.bootstrap.running

    @word
    def has_no_data(self) -> bool:
        """The data directory is empty, or holds what did not get finished."""
        return self.seen.bootstrap.data in (DataState.EMPTY, DataState.INTERRUPTED)

    @word
    def system_identifier(self) -> str | None:
        """This member's."""
        return self.seen.postgres.system_identifier or self.seen.bootstrap.system_identifier

    @word
    def timeline(self) -> int | None:
        """This member's."""
        return self.seen.postgres.timeline or self.seen.bootstrap.timeline

    @word
    def position(self) -> int:
        """This member's newest WAL."""
        return self.seen.postgres.position or self.seen.bootstrap.position or 0

    @word
    def place(self) -> Place:
        """Where this member's data ends."""
        return (self.timeline or 0, self.position)

    @word
    def is_of_another_set(self) -> bool:
        """The data has another system identifier than the one on record."""
        return (
            self.set_has_data
            and self.system_identifier is not None
            and self.system_identifier != self.set_system_identifier
        )

    @word
    def is_writable(self) -> bool:
        """PostgreSQL accepts writes."""
        return self.seen.postgres.state is ServerState.WRITABLE

    @word
    def is_in_recovery(self) -> bool:
        """PostgreSQL answers, read-only."""
        return self.seen.postgres.state is ServerState.RECOVERY

    @word
    def is_down(self) -> bool:
        """PostgreSQL does not answer."""
        return self.seen.postgres.state is ServerState.DOWN

    @word
    def may_write(self) -> bool:
        """PostgreSQL accepts writes, or may at any moment.

        It did and is silent to us now; or it was asked to be promoted, which may take its time.
        """
        postgres = self.seen.postgres
        return self.is_writable or (postgres.alive and postgres.has_written)

    @word
    def is_orphaned(self) -> bool:
        """The postmaster has died, and backends of it live on and may still commit."""
        return self.is_down and self.seen.postgres.orphaned

    @word
    def has_stopped(self) -> bool:
        """No process is left: nobody is served, and no WAL is sent any more."""
        return self.is_down and not self.seen.postgres.alive

    @word
    def in_this_state_for(self) -> float:
        """Seconds since PostgreSQL went down, came up or was promoted."""
        return self.seen.now - self.seen.postgres.since

    @word
    def was_just_promoted(self) -> bool:
        """It has become writable less than a second ago, and the Lease is fresh."""
        return self.in_this_state_for < 1.0 and self.renewed_ago < self.settings.renew_interval

    @word
    def down_for_too_long(self) -> bool:
        """It had its chance to be restarted and to recover."""
        return self.in_this_state_for > self.settings.ttl

    @word
    def is_unwell(self) -> bool:
        """A primary on which nobody new can write."""
        since = self.seen.postgres.unwell_since
        return since is not None and self.seen.now - since > UNWELL_PATIENCE

    @word
    def has_diverged(self) -> bool:
        """It has WAL of its timeline that the primary's history does not have."""
        fork = self.seen.fork
        return fork is not None and fork.timeline == self.timeline and self.position > fork.position

    @word
    def has_lost_its_primary(self) -> bool:
        """A standby that does not stream, and had time to find its way."""
        return (
            self.is_in_recovery
            and not self.seen.postgres.streaming
            and self.in_this_state_for > REATTACH_PATIENCE
        )

    @word
    def has_been_left_behind(self) -> bool:
        """The primary has no longer the WAL that this member would go on from."""
        primary = self.seen.peers.get(self.leader)
        return (
            primary is not None
            and primary.writable
            and primary.oldest_wal is not None
            and primary.oldest_wal > self.position
            and self.has_lost_its_primary
        )

    @word
    def has_recorded_its_promotion(self) -> bool:
        """The record tells of a timeline that this member has begun by the promotion it noted."""
        before = self.seen.bootstrap.promoting_from or 0
        history = self.record.history if self.record else ()
        return any(e.pod == self.seen.me.name and e.timeline > before for e in history)

    @word
    def leads_on_record(self) -> bool:
        """The record names this member as the one that leads on the timeline that it is on."""
        last = self.record.history[-1:] if self.record else ()
        return any((e.pod, e.timeline) == (self.seen.me.name, self.timeline) for e in last)

    @word
    def has_a_timeline_of_its_own(self) -> bool:
        """It may have begun a timeline that nobody knows of, and another has begun one since.

        The two can have the same number, and then neither PostgreSQL nor pg_rewind tells them
        apart.
        """
        before = self.seen.bootstrap.promoting_from
        recorded = self.record.timeline if self.record else None
        return (
            before is not None
            and recorded is not None
            and recorded > before
            and not self.has_recorded_its_promotion
        )

    @word
    def follows_after_its_promotion(self) -> bool:
        """The promotion that was noted has not happened, or is long on record."""
        before = self.seen.bootstrap.promoting_from
        done = self.timeline == before or self.has_recorded_its_promotion
        return before is not None and self.seen.postgres.streaming and done

    @word
    def is_behind_the_record(self) -> bool:
        """The data directory ends on a timeline that a newer primary has left."""
        recorded = self.record.timeline if self.record else None
        return recorded is not None and (self.timeline or 0) < recorded

    @word
    def must_be_rewound(self) -> bool:
        """It may have WAL that the primary does not have; pg_rewind knows, where it can run."""
        bootstrap = self.seen.bootstrap
        if bootstrap.rewound or bootstrap.rewind_failed:
            return False
        if bootstrap.data is DataState.BROKEN:
            return True
        return self.is_behind_the_record and bootstrap.can_rewind is True

    @word
    def must_be_cloned_anew(self) -> bool:
        """The data directory cannot be rewound, and it is broken or has diverged."""
        bootstrap = self.seen.bootstrap
        diverged = bootstrap.data is DataState.PRESENT and self.is_behind_the_record
        unrewindable = diverged or bootstrap.data is DataState.BROKEN
        return (bootstrap.rewind_failed and unrewindable) or (
            bootstrap.data is DataState.PRESENT and self.has_a_timeline_of_its_own
        )
