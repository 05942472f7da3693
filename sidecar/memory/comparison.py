"""Whether the end of this member's WAL is the primary's, once both were compared."""

from sidecar.observation import BootstrapView, Identity, LeaseRecord, PostgresView, ServerState
from sidecar.situation.data import is_new_to_set

Question = tuple[str, int, int]
"""The Lease's holder, and this member's timeline and position."""


class ComparisonMemory:
    """The last answer. WAL that was written does not change, on neither side."""

    def __init__(self) -> None:
        """Nothing was compared yet."""
        self._known: tuple[Question, bool] | None = None

    def question(
        self,
        postgres: PostgresView,
        record: LeaseRecord | None,
        bootstrap: BootstrapView,
        me: Identity,
    ) -> Question | None:
        """Return what is to be compared; None: nothing is.

        Only where a standby has replayed all that it had is its position the end of its WAL.
        """
        if postgres.state is not ServerState.RECOVERY or postgres.streaming or postgres.blind:
            return None
        if record is None or not record.holder or postgres.timeline is None:
            return None
        if not postgres.position or not is_new_to_set(
            record, me.name, postgres.timeline, bootstrap
        ):
            return None
        return record.holder, postgres.timeline, postgres.position

    def answer(self, question: Question | None) -> bool | None:
        """Return what is known by now."""
        known = self._known
        return known[1] if known is not None and known[0] == question else None

    def learn(self, question: Question, answer: bool) -> None:
        """Take in whether it is the same WAL."""
        self._known = question, answer
