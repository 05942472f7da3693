"""A PostgreSQL that may write without a valid Lease comes before everything else."""

import signal
from collections.abc import Iterator
from typing import Final

from sidecar.action import Action, Attention, DeleteOwnPod, ReleaseLease, StopPostgres
from sidecar.situation import Situation
from sidecar.situation.patience import FENCING_SHARE
from sidecar.table.steps import HARDER_AND_HARDER, Row, kill, nothing, own_role, renewal, take


def _fence(s: Situation) -> Iterator[Action]:
    """One signal a second, so that the last is sent before the Lease can be taken."""
    overdue = s.renewed_ago - s.fence_after
    step = s.settings.ttl * FENCING_SHARE / len(HARDER_AND_HARDER)
    index = min(len(HARDER_AND_HARDER) - 1, max(0, int(overdue / step)))
    yield StopPostgres(HARDER_AND_HARDER[index])
    if s.another_holds:
        yield from own_role(s, None)
    else:
        yield from renewal(s)


def _abandon(s: Situation) -> Iterator[Action]:
    """Whatever runs there is not this set's database, or will not be for long. Only bootstrap can
    bring that back; on a paused set somebody may be at work in this directory."""
    yield StopPostgres(signal.SIGKILL)
    if s.is_paused:
        return
    yield from own_role(s, None)
    if s.recorded_as_holder:
        yield ReleaseLease()
    if not s.is_leaving:
        yield DeleteOwnPod(reclone=True)


SAFETY: Final = (
    Row(
        "DataVanished",
        lambda s: s.seen.bootstrap.vanished,
        _abandon,
        "the database has vanished from the data directory: what runs there is killed, so that "
        "nobody writes to an empty one, and the pod deleted, so that bootstrap can clone it anew",
        Attention.WARNING,
    ),
    Row(
        "VolumeLost",
        lambda s: s.may_be_displaced and s.seen.postgres.alive,
        kill,
        "the volume does not answer, nor does the API server say that this pod is still there: "
        "PostgreSQL is killed before another life of the pod may take the directory over",
        Attention.WARNING,
    ),
    Row(
        "Orphaned",
        lambda s: s.is_orphaned,
        kill,
        "the postmaster has died: what it left running is killed",
        Attention.WARNING,
    ),
    Row(
        "Isolated",
        lambda s: s.may_write and s.recorded_as_holder and s.is_isolated,
        _fence,
        "PostgreSQL is being stopped: neither the API server nor any member answers this pod",
        Attention.WARNING,
    ),
    Row(
        "Fencing",
        lambda s: s.may_write and not s.holds_lease and s.renewed_ago >= s.fence_after,
        _fence,
        "PostgreSQL is being stopped: this pod could not renew the Lease in time",
        Attention.WARNING,
    ),
    Row(
        "Superseded",
        lambda s: s.may_write and (s.another_holds or s.is_of_another_set),
        _fence,
        "PostgreSQL is being stopped: it is writable, but {s.leader} holds the Lease",
        Attention.WARNING,
    ),
    Row(
        "Reclaiming",
        lambda s: (
            s.is_writable and (s.nobody_holds or s.just_vanished) and s.renewed_ago < s.fence_after
        ),
        take,
        "the Lease was deleted or emptied under the primary: taking it again",
        Attention.WARNING,
    ),
    Row(
        "WaitingForApi",
        lambda s: s.seen.lease is None or s.seen.pods is None,
        nothing,
        "the API server has not answered yet",
    ),
)
