"""Where the primary's history left the timeline that this member is on, once it was asked."""

from sidecar.observation import Fork, LeaseRecord, PostgresView, ServerState


class ForkMemory:
    """The last answer. A history that was written does not change."""

    def __init__(self) -> None:
        """Nobody was asked yet."""
        self._found: tuple[int, Fork] | None = None
        """The primary's timeline and the fork."""

    def question(
        self, postgres: PostgresView, record: LeaseRecord | None
    ) -> tuple[int, int] | None:
        """Return (this member's timeline, the primary's), where one may have left the other.

        None: it streams, or nothing can be said.
        """
        if postgres.state is not ServerState.RECOVERY or record is None or not record.holder:
            return None
        mine, primarys = postgres.timeline, record.timeline
        if mine is None or primarys is None or mine >= primarys or postgres.streaming:
            return None
        return mine, primarys

    def answer(self, question: tuple[int, int] | None) -> Fork | None:
        """Return what is known by now."""
        found = self._found
        if found is None or question is None:
            return None
        mine, primarys = question
        return found[1] if (found[0], found[1].timeline) == (primarys, mine) else None

    def learn(self, question: tuple[int, int], position: int | None) -> None:
        """Take in the primary's answer; None: nothing leads from this timeline to the primary's.

        Then it was left before it began.
        """
        mine, primarys = question
        self._found = (primarys, Fork(mine, position or 0))
