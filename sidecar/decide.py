"""What a member does, given what it observed: the rules that make a set safe, as one table.

The rules (design §3), in the order of what they protect:

1.  No PostgreSQL starts writable. Bootstrap puts `standby.signal` before every start, and a
    primary has it put back right after its promotion. Left out are, once each: the first start
    of all, in initdb (rule 5); a start with settings that PostgreSQL refuses a standby, or on data
    that it does, under the Lease and where nobody else is a member and no other pod has data, after
    which the file is put back as ever; and the start in a pod without us, of the last primary of a
    set that was opted out, when no other member may lead, or of data as it was found where nobody
    ever led. With `wal_level=minimal` on the command line of an only member the file stays away:
    nobody can follow that, and so nobody else can lead.
2.  Only the Lease holder promotes.
3.  A holder that cannot renew is not writable any more before anyone else can hold: it is
    stopped at ttl less a margin, by SIGINT, then SIGQUIT, then SIGKILL; sooner where it hears
    from nobody at all. It may stay while every member that could take over has answered that it
    will not, for a ttl. A member recorded as the only one has nobody to fear and is left alone.
4.  The primary label is only on the pod that is writable, on one that has stopped, or on one that
    is about to be promoted and read-only. After a release the new primary labels itself and then
    strips the old one; after an expiry it strips first. A replica that does not follow carries no
    role.
5.  initdb happens once in a set's life: on the lowest ordinal, under the Lease, while no system
    identifier is recorded and no pod of the set has data.
6.  Who may take over: recorded as a member, of the recorded system identifier, not on an older
    timeline than the recorded one, with all that can have been acknowledged (see
    `sidecar.synchronous`) or else within the lag limit, and no member that could lead is further
    ahead.
7.  Data is never thrown away silently: a directory of another set is refused, a diverged one is
    rewound, and one that is cloned anew is kept aside. Where the database has vanished from under
    its server, nobody writes to what takes its place.
8.  One writer a directory: nothing is done in one where another pod's heart still beats.

Pure: no clock, no I/O; the time is in the observation. The words are in `sidecar.situation`.
"""

from collections.abc import Iterator
from typing import Final

from sidecar.action import Action, Decision, PutStandbySignal
from sidecar.observation import Observation
from sidecar.settings import WATCHDOG_ALLOWANCE, Settings
from sidecar.situation import Situation, situation_of
from sidecar.situation.patience import ISOLATION, SILENCE, STOP_PATIENCE
from sidecar.table import first_that_holds

TICK: Final = 2.0
WARY_TICK: Final = 1.0
REFUSED_TICK: Final = 0.5
UNSETTLED_TICK: Final = 0.1
SHORT_TICK: Final = 0.03
SHORTEST_TICK: Final = 0.02
"""Seconds between looks: at rest, while somebody has been silent for longer than usual, while the
API server refuses renewals (in all sets of a cluster, perhaps), while something is under way that
wakes nobody, while clients wait for PostgreSQL to end, and at the least."""


def decide(observation: Observation, settings: Settings) -> Decision:
    """Return what to do now; the first situation of the table that holds decides."""
    situation = situation_of(observation, settings)
    row = first_that_holds(situation)
    return Decision(
        situation=row.name,
        sentence=row.sentence.format(s=situation),
        attention=row.attention,
        actions=(*_never_writable_again(situation), *row.actions(situation)),
    )


def _never_writable_again(s: Situation) -> Iterator[Action]:
    """Rule 1, before anything that may fail: the next start of this server is read-only."""
    has_run = (s.is_writable or s.is_down) and not s.is_bootstrapping
    # Where the data has vanished there is nothing to start, and the file would only be in the way.
    is_wanted = not (s.seen.bootstrap.vanished or s.is_left_writable or s.is_starting_writable)
    if has_run and is_wanted and not s.seen.postgres.standby_signal:
        yield PutStandbySignal()


def seconds_to_fence(observation: Observation, settings: Settings) -> float | None:
    """Return the seconds after which this member may have to stop PostgreSQL; None if never.

    Whoever carries a decision out has to be back by then, whatever it is waiting for.
    """
    situation = situation_of(observation, settings)
    return _seconds_to_fence(situation) if situation.may_write else None


def seconds_of_right(observation: Observation, settings: Settings) -> float | None:
    """Return the seconds for which what is decided now may still be done by a holder; None where
    no time is set: the compare-and-swap on the Lease keeps everybody else in order."""
    situation = situation_of(observation, settings)
    return _seconds_to_fence(situation) if situation.recorded_as_holder else None


def is_overdue(observation: Observation, settings: Settings) -> bool:
    """Tell whether PostgreSQL may still write although it should have been stopped by now: then
    the kubelet's probe has to fail, and it stops PostgreSQL.

    Where this sidecar's signals are refused the kubelet is the only one who can, and it needs the
    time that it would need if the sidecar were frozen.
    """
    s = situation_of(observation, settings)
    if not s.may_write or s.is_alone:
        return False
    frozen = settings.renew_interval + WATCHDOG_ALLOWANCE
    return s.renewed_ago >= (s.fence_after if s.seen.postgres.may_signal else frozen)


def _seconds_to_fence(s: Situation) -> float | None:
    if s.is_alone:
        return None
    left = s.fence_after - s.renewed_ago
    if s.may_be_cut_off and s.api_heard_ago > SILENCE:
        left = min(left, ISOLATION - s.members_heard_ago)
    return max(0.0, left)


def seconds_to_look(observation: Observation, settings: Settings) -> float:
    """Return after how many seconds to look again at the latest, if nothing happens before."""
    s = situation_of(observation, settings)
    # Bootstrap answers through files and a process ends: neither wakes anybody.
    recovers = s.is_down and s.down_for_too_long and s.seen.postgres.progress_at is not None
    if s.recorded_as_holder and s.is_down and not (s.is_bootstrapping or recovers):
        return SHORT_TICK
    # Bootstrap does nothing until it is told again what it has failed at.
    pauses = s.is_bootstrapping and not s.recorded_as_holder and s.retry_in > 0
    moments = [TICK]
    if pauses and s.seen.bootstrap.busy is None:
        moments.append(s.retry_in)
    elif recovers and not s.is_bootstrapping:
        # That it has come up wakes this member; the others are asked, and that not all the time.
        moments.append(WARY_TICK)
    elif s.is_down and s.another_holds and s.does_not_come_up:
        pass  # It has had its time: whoever leads is asked now, and that not all the time.
    elif s.is_bootstrapping or s.is_down or (s.recorded_as_holder and s.is_handing_over):
        return UNSETTLED_TICK
    moments += _moments(s)
    return max(SHORTEST_TICK, min(moments))


def _moments(s: Situation) -> Iterator[float]:
    """Yield in how many seconds something is due that nothing else would wake this member for."""
    if s.may_write and (left := _seconds_to_fence(s)) is not None:
        yield left
    if s.nobody_holds:
        yield UNSETTLED_TICK * 2
    if s.recorded_as_holder:
        if s.in_service_until is not None and s.in_service_until > s.seen.now:
            yield s.in_service_until - s.seen.now
        yield from _moments_of_the_holder(s)
    elif s.another_holds and s.record is not None and s.seen.lease is not None:
        changed_ago = s.seen.now - s.seen.lease.changed_at
        expires_in = s.seconds_of_validity - changed_ago
        yield max(expires_in, (s.seen.promised_until or 0.0) - s.seen.now)
        if s.last_moment_of_the_holder > changed_ago:
            yield s.last_moment_of_the_holder - changed_ago + SHORTEST_TICK
        if s.api_heard_ago > s.settings.renew_interval:
            yield WARY_TICK


def _moments_of_the_holder(s: Situation) -> Iterator[float]:
    if s.seen.lease is not None and s.seen.lease.renewed_at is not None:
        left = s.seen.lease.renewed_at + s.settings.renew_interval - s.seen.now
        # Where it was due, it has been renewed by now, or that has failed.
        yield left if left > 0 else UNSETTLED_TICK * 2
    failed = s.seen.renewal_failed_at is not None
    in_doubt = (failed and s.api_heard_ago > SILENCE) or s.seen.postgres.unwell_since is not None
    if s.may_be_cut_off or in_doubt:
        yield UNSETTLED_TICK * 2
    elif failed:
        yield REFUSED_TICK
    # That followers fall silent wakes this member; not that other members do.
    if s.others_who_may_lead and WARY_TICK < s.members_heard_ago < SILENCE:
        yield SILENCE - s.members_heard_ago + SHORTEST_TICK


def needs_peers(observation: Observation, settings: Settings) -> bool:
    """Tell whether `decide` would look at what the peers say of their data."""
    s = situation_of(observation, settings)
    if observation.lease is None or observation.bootstrap.data is None:
        return False
    return (
        # An heir has no need to ask, unless it is by a Lease that tells nothing of the set.
        (s.nobody_holds and not (s.is_the_heir and s.set_has_data))
        or (s.holds_lease and s.has_no_data)
        or (s.recorded_as_holder and s.is_bootstrapping and s.settings_are_refused)
        or (s.recorded_as_holder and not s.is_bootstrapping and s.has_stopped)
        or (s.recorded_as_holder and s.down_for_too_long and s.makes_progress)
        or (s.recorded_as_holder and s.wants_to_hand_over and _chooses(s))
        or (s.another_holds and (s.has_lost_its_primary or s.does_not_come_up))
    )


def _chooses(s: Situation) -> bool:
    """While PostgreSQL stops as it should, nothing is asked that would delay what comes after."""
    return s.is_writable or s.in_this_state_for > STOP_PATIENCE
