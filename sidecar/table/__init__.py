"""The table: read from the top, the first row that holds decides."""

from typing import Final

from sidecar.situation import Situation
from sidecar.table.bootstrap import BOOTSTRAP
from sidecar.table.election import ELECTION
from sidecar.table.fenced import FENCED
from sidecar.table.not_serving import NOT_SERVING
from sidecar.table.primary import PRIMARY
from sidecar.table.reinit import REINIT
from sidecar.table.replica import REPLICA
from sidecar.table.safety import SAFETY
from sidecar.table.steps import Part, Row

TABLE: Final = (
    Part("May PostgreSQL write at all?", lambda _: True, SAFETY),
    Part("A new clone", lambda s: s.replica.reinit_was_asked is not None, REINIT),
    Part(
        "Bootstrap: before PostgreSQL starts",
        lambda s: s.bootstrap.is_running or s.data.is_of_another_set,
        BOOTSTRAP,
    ),
    Part("A fenced pod", lambda s: s.pod.is_fenced, FENCED),
    Part("The primary", lambda s: s.server.could_write and s.lease.is_mine, PRIMARY),
    Part(
        "PostgreSQL is down, or about to be promoted",
        lambda s: s.server.is_silent or s.lease.names_me,
        NOT_SERVING,
    ),
    Part("Replicas", lambda s: s.lease.is_anothers, REPLICA),
    Part("Nobody leads", lambda _: True, ELECTION),
)
"""The rows by what they are about, in the order in which they are read."""


def first_that_holds(s: Situation, table: tuple[Part, ...] = TABLE) -> Row:
    """Return the row that decides in this situation."""
    for part in table:
        if part.concerns(s):
            for row in part.rows:
                if row.holds(s):
                    return row
    raise AssertionError("the last row of the table always holds")
