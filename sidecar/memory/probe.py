"""What the probes of a primary have come to: can a client that comes now write?"""

from typing import Final

from sidecar.situation.timing import NEVER_WELL_PATIENCE, UNWELL_PATIENCE

_AGAIN_SECONDS: Final = 1.0
"""From the beginning of a probe that failed to the next one: at once where it took its time, while
what is refused at once gets a moment."""


class Verdict:
    """What the probes that ended up to now have come to."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.unwell_since: float | None = None
        """As in PostgresView; None while a single probe has failed."""
        self._was_well = False
        """In this leadership."""
        self._failing_since: float | None = None

    def pause(self, period: float, took: float) -> float:
        """Return after how many seconds to probe again: one that has failed is repeated at once."""
        return period if self._failing_since is None else max(0.0, _AGAIN_SECONDS - took)

    def leads_not(self) -> None:
        """This PostgreSQL is not writable: what was seen of it as a primary is of no more use."""
        self.unwell_since = self._failing_since = None
        self._was_well = False

    def note(self, *, well: bool, began: float, ended: float) -> None:
        """Take in one more probe. The times are in seconds, by the same clock."""
        if well:
            self.unwell_since = self._failing_since = None
            self._was_well = True
        elif self._failing_since is None:
            # A checkpoint, a snapshot, a busy node: any server may be slow once.
            self._failing_since = began
        elif self.unwell_since is None and (
            self._was_well or ended - self._failing_since > NEVER_WELL_PATIENCE
        ):
            # Not longer ago, or the first signal that it gets would not be the mildest.
            self.unwell_since = max(self._failing_since, ended - UNWELL_PATIENCE)
