"""The sidecar's clock: one for all that a right to lead is counted by."""

import time


def now() -> float:
    """Return the seconds since the machine booted, those in which it was suspended included.

    CLOCK_MONOTONIC, and so `time.monotonic`, stands still while a machine is suspended; the ttl of
    the others does not (clock_gettime(2)). A pause of which the hypervisor tells nobody does not
    count in either. Threads may wait by any clock.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)
