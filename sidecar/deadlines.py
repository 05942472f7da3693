"""The times of a decision: until when PostgreSQL may run, a holder may act, and nobody looks again.
And whether the peers must be asked first. Pure, as `sidecar.decide`, whose `Decision` they fill."""

from collections.abc import Iterator
from typing import Final

from sidecar.observation import LeaseView
from sidecar.settings import WATCHDOG_ALLOWANCE, Settings
from sidecar.situation import Situation
from sidecar.situation.timing import SILENCE, STOP_PATIENCE, seconds_before_fencing

TICK: Final = 2.0
"""Seconds between looks at rest."""
WARY_TICK: Final = 1.0
"""The same while somebody has been silent for longer than usual, or something is waited for that
may take long."""
REFUSED_TICK: Final = 0.5
"""The same while the API server refuses renewals (in all sets of a cluster, perhaps)."""
UNSETTLED_TICK: Final = 0.1
"""The same while something is under way that wakes nobody."""
SHORT_TICK: Final = 0.03
"""The same while clients wait for PostgreSQL to end."""
SHORTEST_TICK: Final = 0.02
"""The least."""


def promotes_until(lease: LeaseView | None, ttl: int) -> float | None:
    """Return until when the holder may promote; None where it may not.

    The Lease may have been taken in this very turn, when there was no deadline yet.
    """
    if lease is None or lease.renewed_at is None:
        return None
    return lease.renewed_at + seconds_before_fencing(ttl)


def seconds_to_stop(s: Situation) -> float | None:
    """Return the seconds in which this member has to be able to stop PostgreSQL; None: any time.

    Where the database has disappeared, the image's entrypoint makes an empty one and starts it at
    every restart, and clients would write to that; where another pod has taken the directory over,
    each start writes into its files: nothing is waited for between two kills.
    """
    if must_be_killed(s):
        return 0.0
    return s.lease.fence_in if _writes_by_the_lease(s) else None


def _writes_by_the_lease(s: Situation) -> bool:
    return s.server.could_write and not s.observation.bootstrap.left_alone


def must_be_killed(s: Situation) -> bool:
    """Return whether whatever runs in the data directory is not to run for another moment."""
    return s.data.must_not_run and not s.lease.is_paused


def seconds_to_be_excused(settings: Settings) -> float:
    """Return the seconds after a renewal, or an excuse, in which the next one has to come: then the
    ttl has no more time left than the kubelet needs (see `sidecar.settings.watchdog`)."""
    return float(settings.renew_interval + WATCHDOG_ALLOWANCE)


def seconds_to_the_kubelet(s: Situation) -> float | None:
    """Return the seconds after which the kubelet's probe must fail; None: never.

    This sidecar may freeze at any moment before it stops PostgreSQL itself, or its signals may be
    refused. So the probe fails as soon as the ttl has no more time left than the kubelet needs.
    Whoever is excused by all members again and again stays below that.
    """
    postgres = s.observation.postgres
    if must_be_killed(s) and postgres.alive and not postgres.may_signal:
        return 0.0
    if not _writes_by_the_lease(s) or s.lease.lists_only_me:
        return None
    allowed = seconds_to_be_excused(s.settings)
    if s.lease.view is None or s.lease.view.renewed_at is None:
        # Just restarted, when the kubelet has waited for it already.
        allowed = s.lease.fence_after
    return max(0.0, allowed - s.lease.renewed_ago)


def seconds_to_look(s: Situation) -> float:
    """Return after how many seconds to look again at the latest, if nothing happens before.

    A short tick while something is under way of which no event tells: bootstrap answers through
    files, and a process ends. Else a long one or, if it comes sooner, the next moment at which
    something is due: a holder that renewed 1.6 s ago, of an interval of 2 s, looks in 0.4 s.
    """
    if s.data.must_not_run:
        return UNSETTLED_TICK
    if s.observation.bootstrap.left_alone:
        return TICK
    return _short_tick(s) or max(SHORTEST_TICK, min((_long_tick(s), *_moments(s))))


def _short_tick(s: Situation) -> float | None:
    bootstraps = s.bootstrap.is_running
    if not (bootstraps or s.server.is_silent):
        hands_over = s.lease.names_me and s.handover.is_under_way
        return UNSETTLED_TICK if hands_over else None
    waits = bootstraps or _recovers(s) or _stays_stopped(s)
    if s.lease.names_me and s.server.is_silent and not waits:
        return SHORT_TICK
    if _retries_later(s) or _stays_stopped(s) or (_recovers(s) and not bootstraps):
        return None
    if s.server.is_silent and s.lease.is_anothers and s.server.does_not_come_up:
        # It has had its time: whoever leads is asked now and then.
        return None
    return UNSETTLED_TICK


def _long_tick(s: Situation) -> float:
    if _retries_later(s):
        return min(TICK, s.bootstrap.retry_in)
    if _stays_stopped(s) or (_recovers(s) and not s.bootstrap.is_running):
        # When it has come up, that wakes this member; until then the others are asked now and then.
        return WARY_TICK
    return TICK


def _retries_later(s: Situation) -> bool:
    """Bootstrap does nothing until the order that has failed is given again."""
    waits = not s.lease.names_me and s.observation.bootstrap.busy is None
    return s.bootstrap.is_running and waits and s.bootstrap.retry_in > 0


def _recovers(s: Situation) -> bool:
    """PostgreSQL has been silent for long, and says how far its recovery has come."""
    long_silent = s.server.is_silent and s.server.has_been_silent_too_long
    return long_silent and s.observation.postgres.progress_at is not None


def _stays_stopped(s: Situation) -> bool:
    """PostgreSQL has stopped because an operator wants that, with no Lease to give up for it."""
    return s.pod.is_fenced and s.server.has_stopped and not s.lease.may_be_given_up


def _moments(s: Situation) -> Iterator[float]:
    """Yield the seconds until each thing that no event will announce."""
    if s.server.could_write and s.lease.fence_in is not None:
        yield s.lease.fence_in
    if s.lease.is_free:
        yield UNSETTLED_TICK * 2
    if s.lease.names_me:
        until = s.pod.in_service_until
        if until is not None and until > s.observation.now:
            yield until - s.observation.now
        yield from _moments_of_the_holder(s)
    elif s.lease.is_anothers and s.lease.view is not None:
        now, changed_at = s.observation.now, s.lease.view.changed_at
        expires_in = s.lease.ttl - (now - changed_at)
        yield max(expires_in, (s.observation.pledged_until or 0.0) - now)
        if s.lease.holder_is_killed_after > now - changed_at:
            yield s.lease.holder_is_killed_after - (now - changed_at) + SHORTEST_TICK
        if s.lease.api_heard_ago > s.settings.renew_interval:
            yield WARY_TICK


def _moments_of_the_holder(s: Situation) -> Iterator[float]:
    view = s.lease.view
    failed = s.observation.renewal_failed_at is not None
    if view is not None and view.renewed_at is not None and not failed:
        left = view.renewed_at + s.settings.renew_interval - s.observation.now
        # If it was due, it has been renewed by now.
        yield left if left > 0 else UNSETTLED_TICK * 2
    in_doubt = failed and s.lease.api_heard_ago > SILENCE
    if s.lease.may_be_cut_off or in_doubt or _may_become_unwell(s):
        yield UNSETTLED_TICK * 2
    elif failed:
        yield REFUSED_TICK
    if s.server.is_in_recovery and s.observation.postgres.promoting_since is not None:
        # Whatever holds up replay is ended as soon as it does.
        yield WARY_TICK
    if s.durability.is_settling:
        yield UNSETTLED_TICK
    if s.handover.is_wanted:
        # Nobody can take over yet, which may last: the peers are asked at each look.
        yield WARY_TICK
    # It wakes this member if followers fall silent, but not if other members do.
    if s.lease.others_who_may_lead and WARY_TICK < s.lease.members_heard_ago < SILENCE:
        yield SILENCE - s.lease.members_heard_ago + SHORTEST_TICK


def _may_become_unwell(s: Situation) -> bool:
    return s.observation.postgres.unwell_since is not None and not s.server.is_unwell


def asks_peers(s: Situation) -> bool:
    """Return whether the decision depends on what the peers say of their data, and they have not
    been asked."""
    observation = s.observation
    if observation.peers is not None or observation.lease is None:
        return False
    bootstrap = observation.bootstrap
    if bootstrap.data is None or bootstrap.left_alone or s.data.must_not_run:
        return False
    if s.election.record_is_outdated and (s.lease.may_be_reclaimed or not s.server.could_write):
        return True
    if s.lease.is_free:
        # An heir need not ask, unless its Lease says nothing of the set.
        return not (s.election.i_am_heir and s.lease.set_has_data)
    if s.lease.names_me:
        return _holder_asks_peers(s)
    is_down = s.server.does_not_come_up or s.replica.waits_for_its_kubelet
    missing = s.replica.is_not_streaming or (is_down and not s.pod.is_fenced)
    return s.lease.is_anothers and (
        missing
        or s.replica.reinit_was_asked is not None
        or (s.data.must_return and s.server.is_in_recovery)
    )


def _holder_asks_peers(s: Situation) -> bool:
    view = s.lease.view
    is_sure = view is None or (view.renewed_at is not None and not view.lapsed)
    if not (is_sure or s.server.could_write):
        # This sidecar was restarted, or cut off: the Lease may have gone back meanwhile.
        return True
    if s.lease.was_taken_late and s.server.is_in_recovery and not s.server.could_write:
        return True
    if s.bootstrap.is_running:
        if s.start.is_refused:
            return True
    elif s.server.has_stopped:
        return True
    return (
        (s.lease.is_mine and (s.data.is_missing or s.server.promotion_is_overdue))
        or (s.server.has_been_silent_too_long and s.server.recovery_makes_progress)
        # While PostgreSQL stops as it should, nothing is asked that would delay what comes after.
        or (
            s.handover.is_wanted
            and (s.server.is_writable or s.server.in_this_state_for > STOP_PATIENCE)
        )
    )
