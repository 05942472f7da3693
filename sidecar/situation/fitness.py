"""Whether this member can do a primary's work: the one place for every reason that it cannot."""

from sidecar.observation import DataState
from sidecar.situation.cached import cached
from sidecar.situation.data import DataFacts
from sidecar.situation.pod import PodFacts
from sidecar.situation.server import ServerFacts


class FitnessFacts:
    """What a primary hands over for, and what keeps a member from becoming one."""

    def __init__(self, data: DataFacts, server: ServerFacts, pod: PodFacts) -> None:
        """Build on what is known of the data, of PostgreSQL and of this pod."""
        self.observation = data.observation
        self.data = data
        self.server = server
        self.pod = pod

    @cached
    def is_sick(self) -> bool:
        """A primary hands over for that; `sick_because` says why."""
        return self.sick_because is not None

    @cached
    def sick_because(self) -> str | None:
        """Why another member should lead, as a clause; None if there is no reason."""
        if self.server.is_unwell:
            return "new connections cannot write"
        return None

    @property
    def slow_ago(self) -> float:
        """What the others are told: seconds since this member was sick or its volume slow, so that
        it would have led no better than a primary that is sick.

        What it says of its data counts all the same, and it leads where nobody else can.
        """
        return 0.0 if self.is_sick else self.observation.bootstrap.slow_ago

    @property
    def may_lead(self) -> bool:
        """What the others are told: its WAL compares with theirs, and it could be primary."""
        bootstrap = self.observation.bootstrap
        return (
            bootstrap.write_failure is None
            # What a rewind has left half done is data, and nothing to lead with.
            and bootstrap.data is not DataState.BROKEN
            and self.observation.postgres.may_signal
            and not self.data.has_its_own_timeline
            # Version 0.2.0 knows it from here alone.
            and not self.pod.is_fenced
        )
