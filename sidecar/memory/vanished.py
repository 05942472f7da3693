"""Whether the database has disappeared from under its server, or storage only stumbles."""

import enum
from typing import Final

LOOKS: Final = 3
PATIENCE: Final = 2.0
"""So many looks in a row, over so many seconds, have to find nothing. An image's entrypoint takes
longer to make another database in an empty directory."""


class Sight(enum.Enum):
    """What one look into a directory finds in which PostgreSQL was started."""

    THERE = "there"
    """The database."""
    NOTHING = "nothing"
    """Neither its control file nor its PG_VERSION."""
    ANOTHER = "another"
    """A control file of another database."""
    UNCLEAR = "unclear"
    """One of the two files, or none that can be read."""


class Vanished:
    """What was seen since the database was there last."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._vanished = False
        self._looks = 0
        self._since = 0.0
        """When the first of these looks was."""

    def look(self, sight: Sight, now: float, *, stalled: bool) -> bool:
        """Return whether the database has disappeared; it stays so until it is there again.

        `stalled`: the volume did not answer the look before, and what it says then is worth little.
        """
        if sight is Sight.THERE:
            self._vanished = False
        elif sight is Sight.ANOTHER:
            self._vanished = True
        if sight is not Sight.NOTHING:
            self._looks = 0
            return self._vanished
        if not self._looks or stalled:
            self._looks, self._since = 0, now
        self._looks += 1
        self._vanished |= self._looks >= LOOKS and now - self._since >= PATIENCE
        return self._vanished
