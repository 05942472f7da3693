"""An operator has fenced this pod, and PostgreSQL runs here."""

from collections.abc import Iterator
from typing import Final

from sidecar.action import Action
from sidecar.situation import Situation
from sidecar.table.steps import Row, own_role, stop


def _stop(s: Situation) -> Iterator[Action]:
    """The kubelet starts it again and again, ever more seldom, and each time it is stopped."""
    yield from stop(s)
    if not s.lease.names_me:
        yield from own_role(s, None)


FENCED: Final = (
    Row(
        "StoppingFenced",
        # A server that has just ended may still be seen as it was: it, too, takes no Lease.
        lambda s: not (s.server.has_stopped or s.handover.fence_waits),
        _stop,
        "this pod is fenced: stopping PostgreSQL",
    ),
)
