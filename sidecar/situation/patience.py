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

HEIR_PATIENCE: Final = 3.0
"""Seconds for which only the named heir may take a released Lease."""

YIELD_PATIENCE: Final = 5.0
"""Seconds for which a member that has as good as everything waits for the one that has more."""

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

UNWELL_STOP_PATIENCE: Final = 1.0
"""Seconds that a server which hangs anyway gets for each signal."""

STOP_PATIENCE: Final = 3.0
"""Seconds that a shutdown may hang before the next, harder signal."""

STANDBY_PATIENCE: Final = 3.0
"""Seconds after a promotion in which the voters may find their way to the new primary."""

READS_PATIENCE: Final = 5.0
"""Seconds for which a standby that has lost its primary still serves reads."""

REATTACH_PATIENCE: Final = 10.0
"""Seconds in which a standby that does not stream may still find its way by itself."""

RESTART_PATIENCE: Final = 3.0
"""Seconds in which the kubelet restarts a container; where it does not, it backs off, for 10 s and
more."""

LEAVING_PATIENCE: Final = 1.0
"""Seconds that a stopped primary, whose pod is deleted, looks for a member that has everything."""
