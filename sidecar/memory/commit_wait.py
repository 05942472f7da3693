"""What commits wait for: since when the setting reads so, and from where on each one has waited."""

from collections.abc import Hashable
from typing import Final

RELOAD_SECONDS: Final = 1.0
"""A reload reaches every process of PostgreSQL at nearly the same time; ours is only one."""


class CommitWait:
    """synchronous_standby_names, in one life of the server."""

    def __init__(self) -> None:
        """It was not seen yet."""
        self._setting: Hashable = None
        self._since = 0.0
        self._writable = False
        self.waits_from: int | None = None
        """A WAL position from which on every commit has waited so; None: not known yet."""
        self.filed: Hashable = None
        """What the next reload would make of the setting; None: what it is."""

    def lost(self) -> None:
        """The server was not seen for a while: it may be another life of it."""
        self._setting = None

    def was_set(self, now: float) -> None:
        """Count from now, though it may read as before: others may have come and gone."""
        self.waits_from = self.filed = None
        self._since = now

    def is_due(self, now: float) -> bool:
        """Tell whether to ask if every process has reloaded, and what the file says."""
        if self._setting is None or self.waits_from is not None:
            return False
        return now - self._since >= RELOAD_SECONDS

    def read(self, filed: Hashable, *, everybody: bool) -> bool:
        """Take in the answer; return whether the setting holds for each commit from now on.

        An order that was given up half-way, perhaps by an earlier life of this sidecar, stands in
        the file, and any reload brings it into force.
        """
        self.filed = filed if filed != self._setting else None
        return self.filed is None and everybody

    def see(self, setting: Hashable, position: int | None, now: float) -> None:
        """Take in the setting of one look; `position`: where WAL ends now, None where the setting
        is not known to hold for each commit."""
        if setting != self._setting:
            self._setting, self._since = setting, now
            self.waits_from = self.filed = None
        elif self.waits_from is None:
            self.waits_from = position

    def see_state(self, *, writable: bool, position: int | None) -> None:
        """Take in whether the server is writable, and where its WAL ends now.

        What a standby had when it was promoted may be on no other member, however long ago it was
        set to wait.
        """
        if writable and not self._writable and self.waits_from is not None:
            self.waits_from = position
        self._writable = writable
