"""This member's PostgreSQL server: whether it runs, answers, and could write."""

from sidecar.observation import ServerState
from sidecar.situation.bootstrap import BootstrapFacts
from sidecar.situation.cached import cached
from sidecar.situation.data import DataFacts
from sidecar.situation.timing import (
    PROMOTION_PATIENCE,
    RECOVERY_PATIENCE,
    RESTART_PATIENCE,
    UNWELL_PATIENCE,
    seconds_before_return,
)


class ServerFacts:
    """Facts about the PostgreSQL server in this pod."""

    is_writable: bool
    """PostgreSQL accepts writes."""
    is_in_recovery: bool
    """PostgreSQL answers, read-only."""
    is_silent: bool
    """PostgreSQL does not answer; it may still run."""
    is_blind: bool
    """PostgreSQL answers, but does not let the sidecar in or look."""
    could_write: bool
    """PostgreSQL accepts writes, or could at any moment.

    It did and does not answer now; or it was asked to be promoted, which may take its time.
    """

    def __init__(self, bootstrap: BootstrapFacts, data: DataFacts) -> None:
        """Read eagerly what almost every property needs; compute the rest on demand."""
        self.observation = observation = bootstrap.observation
        self.lease = lease = bootstrap.lease
        self.settings = lease.settings
        self.bootstrap = bootstrap
        self.data = data
        postgres = observation.postgres
        state = postgres.state
        self.is_writable = state is ServerState.WRITABLE
        self.is_in_recovery = state is ServerState.RECOVERY
        self.is_silent = state is ServerState.DOWN
        self.is_blind = postgres.blind
        self.could_write = self.is_writable or (postgres.alive and postgres.has_written)

    @property
    def was_promoted_by_hand(self) -> bool:
        """It is writable, and has neither held the Lease since it streamed nor been asked for that
        by a sidecar."""
        bootstrap = self.observation.bootstrap
        ours = bootstrap.promoting_from is not None and bootstrap.promoted_by_hand_at is None
        by_hand = self.observation.postgres.promoted_from is not None and not ours
        return self.is_writable and by_hand and not self.lease.names_me

    @property
    def was_started_by_hand(self) -> bool:
        """It is writable, without the Lease, on a timeline that another member has begun: a standby
        that somebody has started without standby.signal.

        Not the primary that the Lease was emptied or set back under: as the only member it may have
        been started writable on that timeline by rule 1, or the record may be older than its own.
        """
        view = self.lease.view
        held = view is not None and view.renewed_at is not None and self.lease.may_be_reclaimed
        return (
            self.is_writable
            and self.data.timeline_is_anothers_on_record
            and not (self.lease.names_me or held or self.lease.went_back)
            and not self.observation.bootstrap.left_alone
        )

    @property
    def has_orphans(self) -> bool:
        """The postmaster has died, but some of its backends live on and may still commit."""
        return self.is_silent and self.observation.postgres.orphaned

    @property
    def has_stopped(self) -> bool:
        """No process is left: it serves nobody and sends no WAL any more."""
        return self.is_silent and not self.observation.postgres.alive

    @property
    def in_this_state_for(self) -> float:
        """Seconds since PostgreSQL went down, came up or was promoted."""
        return self.observation.now - self.observation.postgres.since

    @property
    def was_just_promoted(self) -> bool:
        """It became writable less than a second ago, and the Lease is fresh."""
        return (
            self.in_this_state_for < 1.0 and self.lease.renewed_ago < self.settings.renew_interval
        )

    @property
    def restart_is_overdue(self) -> bool:
        """No process is left, and the kubelet has had the time that it takes to start one. The API
        server may tell late that its back-off is over."""
        return self.has_stopped and self.in_this_state_for > RESTART_PATIENCE

    @property
    def promotion_is_overdue(self) -> bool:
        """It was asked to be promoted, and has not become writable for too long."""
        since = self.observation.postgres.promoting_since
        return (
            self.is_in_recovery
            and since is not None
            and self.observation.now - since > PROMOTION_PATIENCE
        )

    @property
    def has_been_silent_too_long(self) -> bool:
        """It has been down for longer than a restart and recovery should take."""
        return self.is_silent and self.in_this_state_for > self.settings.ttl

    @property
    def recovery_makes_progress(self) -> bool:
        """PostgreSQL does not answer yet, and its recovery was seen to move not long ago."""
        moved_at = self.observation.postgres.progress_at
        return (
            self.is_silent
            and moved_at is not None
            and (self.observation.now - moved_at <= RECOVERY_PATIENCE)
        )

    @cached
    def does_not_come_up(self) -> bool:
        """PostgreSQL was started and had its time to come up, and going back through bootstrap may
        help. It cannot where the volume takes no writes; nor, after it was tried once, where
        PostgreSQL never gets as far as its data: a wrong setting or library, for example."""
        bootstrap = self.observation.bootstrap
        return (
            self.is_silent
            and not self.bootstrap.is_running
            and self.in_this_state_for > seconds_before_return(bootstrap.returns or 0)
            and not self.recovery_makes_progress
            and (bootstrap.reached_data or not bootstrap.returns)
            and bootstrap.write_failure is None
        )

    @property
    def is_unwell(self) -> bool:
        """A primary on which new connections cannot write."""
        since = self.observation.postgres.unwell_since
        return since is not None and self.observation.now - since >= UNWELL_PATIENCE

    @property
    def cannot_be_stopped(self) -> bool:
        """This sidecar may not signal it, and another member may lead by the record: if this one
        could not renew, two primaries would be writable."""
        return not self.observation.postgres.may_signal and bool(self.lease.others_who_may_lead)
