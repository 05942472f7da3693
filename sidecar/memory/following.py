"""On which timeline this member followed last, for when somebody promotes it by hand."""

from sidecar.observation import Identity, LeaseView, PostgresView, ServerState


class Following:
    """The timeline on which it streamed while another held the Lease; what a holder writes later is
    the set's, whoever has promoted it."""

    def __init__(self, timeline: int | None = None) -> None:
        """`timeline`: what an earlier life of this sidecar remembered, in the same pod. None: it
        was not seen to follow yet, and then nothing is sure."""
        self.timeline = timeline

    def promoted_from(
        self, postgres: PostgresView, lease: LeaseView | None, me: Identity
    ) -> int | None:
        """Take in a look; return that timeline where it has left it, writable, without the Lease.

        A server that is writable on that very timeline was not promoted: somebody has deleted its
        standby.signal.
        """
        record = lease.record if lease else None
        if record is not None and record.holder == str(me):
            self.timeline = None
        elif postgres.state is ServerState.RECOVERY and postgres.streaming:
            self.timeline = postgres.timeline if record is not None and record.holder else None
        writable = postgres.state is ServerState.WRITABLE and not postgres.blind
        if self.timeline is None or not writable or (postgres.timeline or 0) <= self.timeline:
            return None
        return self.timeline
