"""The table: read from the top, the first row that holds decides."""

from typing import Final

from sidecar.table.bootstrap import BOOTSTRAP
from sidecar.table.election import ELECTION
from sidecar.table.not_serving import NOT_SERVING
from sidecar.table.primary import PRIMARY
from sidecar.table.replica import REPLICA
from sidecar.table.safety import SAFETY
from sidecar.table.steps import Row

PARTS: Final[dict[str, tuple[Row, ...]]] = {
    "May PostgreSQL write at all?": SAFETY,
    "Bootstrap: before PostgreSQL starts": BOOTSTRAP,
    "The primary": PRIMARY,
    "PostgreSQL is down, or about to be promoted": NOT_SERVING,
    "Replicas": REPLICA,
    "Nobody leads": ELECTION,
}
"""The rows by what they are about, in the order in which they are read."""

TABLE: Final[tuple[Row, ...]] = tuple(row for rows in PARTS.values() for row in rows)
