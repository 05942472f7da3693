"""An operator wants this member to be cloned again."""

from collections.abc import Iterator
from typing import Final

from sidecar.action import Action, Attention, DeleteOwnPod
from sidecar.situation import Situation
from sidecar.table.steps import Row, own_role


def _clone_again(s: Situation) -> Iterator[Action]:
    yield from own_role(s, None)
    yield DeleteOwnPod(reclone=True, wish=s.replica.reinit_was_asked)


REINIT: Final = (
    Row(
        "Reinitializing",
        lambda s: s.replica.is_reinitialized and not s.pod.is_leaving,
        _clone_again,
        "an operator wants this member cloned again from {s.lease.holder_name}: deleting this pod "
        "so that bootstrap can do that; the old data directory is kept",
        Attention.NORMAL,
    ),
)
