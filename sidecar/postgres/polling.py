"""When to look at PostgreSQL again, and what in a look is news; pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sidecar.memory.orders import Order, shows
from sidecar.observation import Follower, PostgresView, ServerState
from sidecar.postgres.control_data import RunningServer

_SECONDS: Final = 1.0
_SECONDS_DOWN: Final = 0.2
"""A connection that is refused costs next to nothing, and somebody waits for the server."""
_SECONDS_SUSPICIOUS: Final = 0.25
"""Some follower should have said something by now."""
_SECONDS_BUSY: Final = 0.25
"""While clients write, a cut-off has to be noticed soon: when a follower was heard last is known
only to one look, and what is acknowledged after that is what would be lost."""
_SECONDS_PROMOTING: Final = 0.02
"""A promotion takes about 0.1 s, in which nobody can write; and clients wait, too, until enough
standbys have what the new primary has."""

_SUSPICION: Final = (1.0, 5.0)
"""Seconds of the followers' silence between which to look more often; then we know."""


def seconds_to_poll(view: PostgresView, now: float, *, promotes: bool, wal_grows: bool) -> float:
    """Return after how many seconds to look again; `promotes`: a promotion was asked for."""
    promoting = promotes and view.state is ServerState.RECOVERY
    if view.state is ServerState.DOWN:
        return _SECONDS_DOWN
    if view.blind:
        return _SECONDS_BUSY if promoting else _SECONDS
    if promoting or (promotes and _settles(view)):
        return _SECONDS_PROMOTING
    heard_at = view.followers_heard_at
    if view.followers and heard_at is not None:
        from_seconds, to_seconds = _SUSPICION
        if from_seconds < now - heard_at < to_seconds:
            return _SECONDS_SUSPICIOUS
        if wal_grows:
            return _SECONDS_BUSY
    return _SECONDS


def _settles(view: PostgresView) -> bool:
    """Whether fewer standbys have what was there before commits waited for them than have to."""
    waits_from = view.waits_from
    return waits_from is not None and view.waits_for_number > sum(
        follower.name in view.waits_for and follower.position >= waits_from
        for follower in view.followers
    )


def news(view: PostgresView) -> PostgresView:
    """Return what is worth waking the loop for: everything but what moves all the time."""
    return replace(
        view,
        position=None,
        lag=None,
        to_replay=None,
        followers=tuple(Follower(follower.name, 0) for follower in view.followers),
        followers_heard_at=None,
        oldest_wal=None,
        waits_from=None if view.waits_from is None else 0,
    )


def fields_from_outside(found: RunningServer, before: PostgresView) -> dict[str, Any]:
    """Return the fields of a view of a server that answers, but does not let the sidecar look.

    By its files; what they don't say is as it was seen `before`, in the same state.
    """
    same = before.state is found.state and before.system_identifier == found.system_identifier
    told = before if same else PostgresView(found.state, since=0.0)
    return {
        "blind": True,
        "system_identifier": found.system_identifier,
        "timeline": max(found.timeline, told.timeline or 0),
        "position": max(found.position, told.position or 0),
        "followers": told.followers,
        "followers_heard_at": told.followers_heard_at,
        "waits_for": told.waits_for,
        "waits_for_number": told.waits_for_number,
        "slots": told.slots,
        "oldest_wal": told.oldest_wal,
        "upstream": told.upstream,
        "primary_slot_name": told.primary_slot_name,
    }


def is_shown(order: Order, state: ServerState, fields: Mapping[str, Any]) -> bool:
    """Return whether these fields of a look show that the order has taken effect."""
    return shows(
        order,
        state,
        waits_for=fields["waits_for"],
        waits_for_number=fields["waits_for_number"],
        follows_somebody=bool(fields["upstream"]),
        detached=fields["detached"],
    )
