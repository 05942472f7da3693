"""The end of a member: its pod is deleted, and the kubelet has stopped PostgreSQL."""

from typing import Final

from sidecar.observation import Observation
from sidecar.settings import Settings
from sidecar.situation import Situation

STAY_SECONDS: Final = 5.0
SERVICE_SECONDS: Final = 2.0
"""After PostgreSQL has stopped: a stopped server in a living pod refuses a connection at once, an
address without a pod lets clients wait. So the pod stays until its label is gone, and then until
every node's kube-proxy has seen that: each looks once a second at the most."""


class Departure:
    """Since when this sidecar is to end, and when it was last needed."""

    def __init__(self) -> None:
        """It stays."""
        self._ordered_at: float | None = None
        self._needed_at = float("-inf")

    def order(self, now: float) -> None:
        """End as soon as nobody needs this pod."""
        if self._ordered_at is None:
            self._ordered_at = now

    def may_go(self, observation: Observation, settings: Settings, now: float) -> bool:
        """Tell whether the sidecar may end now, after a look and what was done for it."""
        # What is done for a server that has stopped takes a look that began after that.
        if self._ordered_at is None or observation.now < self._ordered_at:
            return False
        lease, me = observation.lease, observation.me
        record = lease.record if lease else None
        if record is not None and not record.holder and record.heir == me.name:
            # It was left to the next pod of this name, which comes when this one has gone.
            return True
        holds = record is not None and record.holder == str(me)
        primary = settings.primary_value
        labelled = any(it.uid == me.uid and it.role == primary for it in observation.pods or ())
        has_successors = any(not pod.deleting for pod in observation.pods or ())
        hands_over = not (observation.paused or observation.opted_out)
        if has_successors and hands_over and (holds or labelled):
            self._needed_at = now
        since_needed = now - self._needed_at
        return since_needed > SERVICE_SECONDS or now - self._ordered_at > STAY_SECONDS

    def heir(self, observation: Observation, settings: Settings) -> str | None:
        """Return to whom the Lease goes with this pod.

        Nobody had everything, or the Lease would be another's by now: whoever comes back under this
        name has it.
        """
        return Situation(observation, settings).handover.own_replacement
