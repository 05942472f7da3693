"""This member's data directory and its PostgreSQL."""

from sidecar.observation import DataState, Observation, ServerState
from sidecar.settings import Settings
from sidecar.situation.lease import LeaseWords
from sidecar.situation.patience import (
    REATTACH_PATIENCE,
    RECOVERY_PATIENCE,
    REFUSALS_IN_PASSING,
    RESTART_PATIENCE,
    UNWELL_PATIENCE,
    seconds_before_retry,
    seconds_before_return,
)
from sidecar.situation.word import word
from sidecar.synchronous import Place


class ServerWords(LeaseWords):
    """Words about this member."""

    is_bootstrapping: bool
    """PostgreSQL is not yet told to start."""
    is_writable: bool
    """PostgreSQL accepts writes."""
    is_in_recovery: bool
    """PostgreSQL answers, read-only."""
    is_down: bool
    """PostgreSQL does not answer."""
    is_blind: bool
    """PostgreSQL answers, but lets the sidecar not look."""
    may_write: bool
    """PostgreSQL accepts writes, or may at any moment.

    It did and is silent to us now; or it was asked to be promoted, which may take its time.
    """

    def __init__(self, observation: Observation, settings: Settings) -> None:
        """Look at what nearly every word begins with, here too."""
        super().__init__(observation, settings)
        self.is_bootstrapping = observation.bootstrap.running
        postgres = observation.postgres
        self.is_writable = postgres.state is ServerState.WRITABLE
        self.is_in_recovery = postgres.state is ServerState.RECOVERY
        self.is_down = postgres.state is ServerState.DOWN
        self.is_blind = postgres.blind
        self.may_write = self.is_writable or (postgres.alive and postgres.has_written)

    @property
    def has_no_data(self) -> bool:
        """The data directory is empty, or holds what did not get finished."""
        return self.seen.bootstrap.data in (DataState.EMPTY, DataState.INTERRUPTED)

    @property
    def retry_pause(self) -> float:
        """Seconds from the last failure of an order to bootstrap until it is given again."""
        failures = self.seen.bootstrap.failures
        if failures is None:
            return 0.0
        return seconds_before_retry(failures.number, refused=failures.refused)

    @property
    def retry_in(self) -> float:
        """Seconds until bootstrap may be told again what has failed; 0 where it may be now."""
        failures = self.seen.bootstrap.failures
        if failures is None:
            return 0.0
        return max(0.0, failures.at + self.retry_pause - self.seen.now)

    def must_wait_to(self, verb: str) -> bool:
        """This very order has failed a moment ago. Another holder is another one to copy."""
        failures = self.seen.bootstrap.failures
        if failures is None or failures.verb != verb or self.retry_in <= 0:
            return False
        holder = self.record.holder if self.record else ""
        return failures.holder in ("", holder)

    def has_failed_to(self, verb: str) -> bool:
        """The same, and it is worth a word: more than a primary that is only about to be there."""
        failures = self.seen.bootstrap.failures
        in_passing = failures and failures.refused and failures.number <= REFUSALS_IN_PASSING
        return self.must_wait_to(verb) and not in_passing

    @property
    def times_failed(self) -> str:
        """For sentences."""
        failures = self.seen.bootstrap.failures
        number = failures.number if failures else 0
        return "once" if number == 1 else f"{number} times in a row"

    @property
    def why_it_failed(self) -> str:
        """For sentences."""
        failures = self.seen.bootstrap.failures
        return failures.why if failures else ""

    @property
    def system_identifier(self) -> str | None:
        """This member's."""
        return self.seen.postgres.system_identifier or self.seen.bootstrap.system_identifier

    @property
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

    @property
    def is_orphaned(self) -> bool:
        """The postmaster has died, and backends of it live on and may still commit."""
        return self.is_down and self.seen.postgres.orphaned

    @property
    def has_stopped(self) -> bool:
        """No process is left: nobody is served, and no WAL is sent any more."""
        return self.is_down and not self.seen.postgres.alive

    @property
    def in_this_state_for(self) -> float:
        """Seconds since PostgreSQL went down, came up or was promoted."""
        return self.seen.now - self.seen.postgres.since

    @property
    def was_just_promoted(self) -> bool:
        """It has become writable less than a second ago, and the Lease is fresh."""
        return self.in_this_state_for < 1.0 and self.renewed_ago < self.settings.renew_interval

    @word
    def down_for_too_long(self) -> bool:
        """It had its chance to be restarted and to recover."""
        return self.in_this_state_for > self.settings.ttl

    @property
    def is_not_restarted(self) -> bool:
        """No process is left, and the kubelet has had the time that it takes to start one."""
        return self.has_stopped and self.in_this_state_for > RESTART_PATIENCE

    @property
    def makes_progress(self) -> bool:
        """PostgreSQL answers nobody yet, and its recovery was seen to move not long ago."""
        moved_at = self.seen.postgres.progress_at
        return (
            self.is_down
            and moved_at is not None
            and (self.seen.now - moved_at <= RECOVERY_PATIENCE)
        )

    @word
    def does_not_come_up(self) -> bool:
        """PostgreSQL was told to start and had its time for it, and nobody works on it. Where the
        volume takes no writes, bootstrap could do nothing either; nor, after it was tried once,
        where PostgreSQL never gets as far as its data: by a wrong setting, say, or library."""
        bootstrap = self.seen.bootstrap
        return (
            self.is_down
            and not self.is_bootstrapping
            and self.in_this_state_for > seconds_before_return(bootstrap.returns)
            and not self.makes_progress
            and (bootstrap.reached_data or not bootstrap.returns)
            and bootstrap.write_failure is None
        )

    def has_hung_for(self, seconds: float) -> bool:
        """The data volume has answered nothing at all for so long."""
        since = self.seen.bootstrap.silent_since
        return since is not None and self.seen.now - since >= seconds

    @property
    def leader_is_writable(self) -> bool:
        """The holder says so itself, and so can be copied."""
        leader = self.seen.peers.get(self.leader)
        return leader is not None and leader.writable

    @property
    def a_clone_is_next(self) -> bool:
        """The way through bootstrap was in vain once. Only once: a second clone would take the
        place of what the first has kept aside."""
        return self.seen.bootstrap.returns == 1

    @property
    def return_words(self) -> str:
        """For sentences."""
        if self.a_clone_is_next:
            return "clone it anew, since nothing else has helped"
        if self.seen.bootstrap.returns:
            return "try once more, although a new clone has not helped: see PostgreSQL's own log"
        return "rewind it where it has to be"

    @property
    def is_unwell(self) -> bool:
        """A primary on which nobody new can write."""
        since = self.seen.postgres.unwell_since
        return since is not None and self.seen.now - since >= UNWELL_PATIENCE

    @property
    def cannot_be_stopped(self) -> bool:
        """Its signals are refused, and by the record somebody else may lead: where it could not
        renew, the two would write."""
        return not self.seen.postgres.may_signal and bool(self.others_who_may_lead)

    @property
    def has_diverged(self) -> bool:
        """It has WAL of its timeline that the primary's history does not have."""
        fork = self.seen.fork
        return (
            fork is not None
            and not self.is_blind
            and fork.timeline == self.timeline
            and self.position > fork.position
        )

    @property
    def was_rewound_in_vain(self) -> bool:
        """A rewind before this start of PostgreSQL has succeeded, and it has not streamed since."""
        return self.seen.bootstrap.rewound and self.seen.postgres.streamed_at is None

    @property
    def has_lost_its_primary(self) -> bool:
        """A standby that does not stream, and had time to find its way."""
        return (
            self.is_in_recovery
            # Of one that lets us not look nobody knows whether it streams.
            and not self.is_blind
            and not self.seen.postgres.streaming
            and self.in_this_state_for > REATTACH_PATIENCE
        )

    @property
    def has_been_left_behind(self) -> bool:
        """The primary has no longer the WAL that this member would go on from."""
        if not self.has_lost_its_primary:
            return False
        primary = self.seen.peers.get(self.leader)
        return (
            primary is not None
            and primary.writable
            and primary.oldest_wal is not None
            and primary.oldest_wal > self.position
        )

    @property
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

    @property
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

    @property
    def follows_after_its_promotion(self) -> bool:
        """The promotion that was noted has not happened, or is long on record."""
        before = self.seen.bootstrap.promoting_from
        if before is None or not self.seen.postgres.streaming:
            return False
        return self.timeline == before or self.has_recorded_its_promotion

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
