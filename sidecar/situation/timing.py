"""How long is waited for what, in seconds; and the share of the ttl that is kept for fencing."""

from typing import Final

FENCING_SHARE: Final = 0.3
"""The part of the ttl that is kept for stopping PostgreSQL: 3 s of 10, a second for each signal."""


def seconds_before_fencing(ttl: int) -> float:
    """Return for how long after a renewal was sent its holder may be writable."""
    return ttl * (1 - FENCING_SHARE)


COLD_START_PATIENCE: Final = 30.0
"""Seconds that a member of a set that was all down waits for the last primary to come back.
A pod that its node must first give up for lost takes minutes; one that is merely started, less."""

SILENCE: Final = 1.5
"""Seconds without a word after which a member is looked for: each says something every second,
and PostgreSQL is asked as often."""

ISOLATION: Final = 2.0
"""Seconds of hearing from nobody at all after which a holder stops: what it would acknowledge is
what would be lost."""

HUNG_PATIENCE: Final = 3.0
"""Seconds for which the volume of a member that is to be promoted may answer nothing."""

BLIND_PATIENCE: Final = 5.0
"""Seconds in which a server that was just started may come to let the sidecar in."""

LAST_QUESTION: Final = 0.7
LAST_RENEWAL: Final = 0.2
"""Seconds before a holder has to stop PostgreSQL in which no question to the members, and no
renewal after one that failed, is begun any more: they take as long, and the stop would be late."""

LATE_RENEWAL: Final = 1.5
"""Seconds that a renewal may be late: its holder's loop may be at work on something else, and it
has a way to go. Who hears nothing of the Lease for longer does not reach the API server."""

HEIR_PATIENCE: Final = 3.0
"""Seconds for which only the named heir may take a released Lease."""

YIELD_PATIENCE: Final = 5.0
"""Seconds for which a member that has as good as everything waits for the one that has more."""

FETCH_PATIENCE: Final = YIELD_PATIENCE
FETCH_PATIENCE_FOR_COMMITS: Final = COLD_START_PATIENCE
"""Seconds for which a member receives from another standby the WAL that only this one has; the same
where it may not lead without. It takes half a second, if that lets it."""

FAILOVER_PATIENCE: Final = COLD_START_PATIENCE
"""Seconds for which the Lease must have been free before a member leads by an operator's wish, so
that whoever may lead by the rules, and so without a loss, has had its time."""

PRE_STOP: Final = 1.0
"""Seconds from a pod's deletion to the hand-over: kube-proxy syncs once a second at the most, and
the deletion itself costs it one sync."""

CHECKPOINT_PATIENCE: Final = 5.0
"""Seconds that a pod which is being deleted gives the checkpoint before its hand-over."""

FRESH_CHECKPOINT: Final = 30.0
"""Seconds for which a checkpoint makes the shutdown's own one short."""

UNWELL_PATIENCE: Final = 3.0
"""Seconds for which new connections must have failed to write before another member leads."""

NEVER_WELL_PATIENCE: Final = 30.0
"""The same for a primary on which nobody could write since its promotion: where the storage of all
members is slow, the next one would fare no better, and each change costs clients more."""

SLOW_WRITE: Final = 1.0
"""Seconds in which a volume that is well has written a small file, many times over."""

SLOW_MEMORY: Final = 10.0
"""Seconds for which a volume counts as slow after it was. Where the storage of all has stalled, it
comes back for all at once, and a primary knows that it is well again one probe later than the
others: until then none of them is taken for better."""

SLOW_NOW: Final = 3.0
"""The same for a primary that has been unwell for twice that: its next probe is sooner."""

UNWELL_STOP_PATIENCE: Final = 1.0
"""Seconds that a server which hangs anyway gets for each signal."""

STOP_PATIENCE: Final = 3.0
"""Seconds that a shutdown may hang before the next, harder signal."""

STANDBY_PATIENCE: Final = 3.0
"""Seconds after a promotion in which the voters may find their way to the new primary."""

PROMOTION_PATIENCE: Final = 10.0
"""Seconds from the order to promote after which another member leads that has everything, too; a
promotion takes about 0.1 s, and what it has to replay may be gigabytes."""

SETTLING_PATIENCE: Final = 10.0
"""Seconds that a new primary goes without its label while the standbys are not there that have to
have what it has. Then reads count for more: commits go on waiting."""

READS_PATIENCE: Final = 5.0
"""Seconds for which a standby that has lost its primary still serves reads."""

REATTACH_PATIENCE: Final = 10.0
"""Seconds in which a standby that does not stream may still find its way by itself."""

COPY_PAUSE: Final = 3600.0
"""Seconds between a copy that its primary has outrun and the next: each costs the primary as much
as all of its data, and mostly ends as the one before."""

RESTART_PATIENCE: Final = 3.0
"""Seconds in which the kubelet restarts a container; where it does not, it backs off, for 10 s and
more."""

BACK_OFF_PATIENCE: Final = 12.0
"""Seconds for which a replica waits for its kubelet, whose first back-off is 10 s; the second is 20
s, and so on, up to 300 s. A new pod, whose volume may have to be attached again, has none."""

TAKEN_OUT_PATIENCE: Final = 2.0
"""Seconds that the leader's pod must have been taken out of its Services because of its node. Where
the whole control plane stumbles, the others are taken out within that time."""

UNREADY_PATIENCE: Final = 10.0
"""Seconds for which the leader's pod must not have been ready, and its PostgreSQL well: another
container of it is not ready, or its kubelet was lost before it could tell that it is again."""

UNREADY_WITH_THE_ROLE: Final = 300.0
"""The same, of a pod that was not ready so soon after its PostgreSQL had become writable: what is
unready only beside a primary would move it back and forth."""

AFTER_OUTAGE: Final = 30.0
"""Seconds after an outage of the API server in which nodes are not heard yet that are well: each
kubelet tells of its node every 10 s, and tries again ever more seldom while nobody answers."""

FENCE_PATIENCE: Final = 10.0
"""Seconds that a primary whose pod is fenced looks for a member to hand over to, and for which its
checkpoint may take; then it stops, although nobody may lead."""

LEAVING_PATIENCE: Final = 1.0
"""Seconds that a stopped primary, whose pod is deleted, looks for a member that has everything."""

FIRST_RETRY: Final = 1.0
LAST_RETRY: Final = 300.0
"""Seconds from a failed order to bootstrap to the next one, at first and at the most, doubled each
time: a try may be a checkpoint on the primary and a copy of all of it. The kubelet restarts what
keeps failing as seldom."""

FIRST_RETRY_OF_A_REFUSAL: Final = 0.1
LAST_RETRY_OF_A_REFUSAL: Final = 10.0
"""The same, where the primary refused before anything was copied: that is cheap, and mostly it is
only about to be promoted, or recovering."""

REFUSALS_IN_PASSING: Final = 4
"""So many in a row, 1.5 s long, are worth no Event."""


def seconds_before_retry(failures: int, *, refused: bool) -> float:
    """Return how long after the last of so many failures in a row the same is tried again."""
    first, last = FIRST_RETRY, LAST_RETRY
    if refused:
        first, last = FIRST_RETRY_OF_A_REFUSAL, LAST_RETRY_OF_A_REFUSAL
    # A power of an endless count would be too large a number.
    return min(last, first * 2.0 ** min(failures - 1, 20))


REJOIN_PATIENCE: Final = 10.0
"""Seconds that a member which ought to be rewound waits for the next holder of a free Lease, before
it is started as it is: the election may need it running."""

FIRST_RETURN: Final = 60.0
LAST_RETURN: Final = 600.0
"""Seconds that PostgreSQL has to come up in before its pod goes back through bootstrap, at first
and at the most, doubled each time that this was in vain. The kubelet has tried it often by then."""

RECOVERY_PATIENCE: Final = 300.0
"""Seconds for which a recovery may show no progress; the time that Patroni by default gives to a
primary that starts (primary_start_timeout)."""


def seconds_before_return(returns: int) -> float:
    """Return how long PostgreSQL is waited for after so many returns in a row to bootstrap."""
    return min(LAST_RETURN, FIRST_RETURN * 2.0 ** min(returns, 20))
