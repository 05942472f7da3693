"""What a member tells its peers of itself, and how they read it."""

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any, Final

from sidecar.observation import (
    DataState,
    LeaseView,
    Observation,
    Peer,
    PostgresView,
    ServerState,
)
from sidecar.settings import Settings
from sidecar.situation import Situation
from sidecar.situation.timing import LATE_RENEWAL

_LONG_AGO: Final = 1e9
"""Seconds."""
_MOST: Final = 2**64
"""No position in WAL is beyond that; of a number with thousands of digits no float can be made."""

_DATA: Final = (DataState.PRESENT.value, DataState.BROKEN.value)
_MAY_BE_UNSEEN: Final = (DataState.EMPTY, DataState.INTERRUPTED)


def with_fresh(observation: Observation, view: PostgresView) -> Observation:
    """Return the loop's last observation with what PostgreSQL says now.

    What is seen of the server without asking it is not in this view: it comes from that turn.
    """
    last = observation.postgres
    seen = replace(
        view,
        alive=last.alive,
        orphaned=last.orphaned,
        has_written=last.has_written,
        last_timeline=last.last_timeline,
        standby_signal=last.standby_signal,
        may_signal=last.may_signal,
    )
    return replace(observation, postgres=seen)


def hears_the_api(lease: LeaseView | None, now: float, settings: Settings) -> bool:
    """Tell whether the API server can be reached, by when it told of the Lease last.

    A leader that lives renews every renew-interval, and each renewal comes to every member. So
    silence for longer means that the leader is dead or the line is cut: a member that finds the
    Lease silent asks for it (`LeaseKeeper.refresh`), and hears by that, or is cut off.
    """
    return lease is not None and now - lease.heard_at < settings.renew_interval + LATE_RENEWAL


def describe(observation: Observation, settings: Settings, *, turns: bool = True) -> dict[str, Any]:
    """Return what a member tells its peers; `read_peer` reads it back. `turns`: its loop does."""
    postgres, bootstrap = observation.postgres, observation.bootstrap
    s = Situation(observation, settings)
    fitness, left_set_at = s.fitness, s.data.left_set_at
    timeline, position = left_set_at or (
        s.data.newest_timeline,
        # A lower bound must not pass for all that a member has.
        None if postgres.blind else postgres.position or bootstrap.position,
    )
    return {
        "uid": observation.me.uid,
        "data": _data_for_sure(s),
        "running": postgres.state is not ServerState.DOWN,
        "writable": postgres.state is ServerState.WRITABLE,
        "system_identifier": postgres.system_identifier or bootstrap.system_identifier,
        "timeline": timeline,
        "position": position,
        "to_replay": postgres.to_replay,
        # A server that does not run receives nothing either.
        "detached": postgres.detached or not postgres.alive,
        "oldest_wal": postgres.oldest_wal,
        "gives_wal": s.replica.gives_wal,
        # A loop that hangs takes no Lease, whatever its threads hear.
        "reaches_api": turns and hears_the_api(observation.lease, observation.now, settings),
        "slow_ago": None if fitness.slow_ago == inf else fitness.slow_ago,
        "well": fitness.may_lead,
    }


def _data_for_sure(s: Situation) -> str | None:
    """Return what is in the data directory; None where bootstrap does not know.

    One that may not look into the directory finds nothing there, which must not pass for empty.
    Nor must what has vanished: where it has from all, nobody is to make a new database.
    """
    bootstrap = s.observation.bootstrap
    if s.data.has_vanished and not s.observation.postgres.alive:
        return DataState.BROKEN.value
    if bootstrap.data is None:
        return None
    if bootstrap.refusal is not None and bootstrap.data in _MAY_BE_UNSEEN:
        return None
    return bootstrap.data.value


def read_peer(name: str, status: dict[str, Any]) -> Peer:
    """Return a peer's own words as a value; KeyError, TypeError or ValueError for other words.

    An older sidecar does not have all of them, which is no reason not to believe the rest.
    """
    return Peer(
        name=name,
        has_data=None if status["data"] is None else status["data"] in _DATA,
        broken=status["data"] == DataState.BROKEN.value,
        system_identifier=_text(status["system_identifier"]),
        timeline=_number(status["timeline"]),
        position=_number(status["position"]),
        running=status["running"] is True,
        writable=status.get("writable", False) is True,
        detached=status.get("detached", False) is True,
        reaches_api=status.get("reaches_api", True) is True,
        well=status.get("well", True) is True,
        slow_ago=_seconds(status.get("slow_ago")),
        to_replay=_number(status.get("to_replay")),
        oldest_wal=_number(status.get("oldest_wal")),
        gives_wal=status.get("gives_wal", False) is True,
    )


def _seconds(value: Any) -> float:
    if value is None:
        return inf
    return float(value) if 0 <= value < _LONG_AGO else _LONG_AGO


def _number(value: Any) -> int | None:
    if value is None or (type(value) is int and 0 <= value < _MOST):
        return value
    raise ValueError(f"not a position, nor a timeline: {value!r:.99}")


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"not a system identifier: {value!r:.99}")


def comparable_positions(observation: Observation, peers: Mapping[str, Peer]) -> dict[str, int]:
    """Return how far peers are whose WAL can be compared with what the server here has written.

    All are on the recorded timeline. The server has stopped, or is in its recovery: there it
    answers nobody, writes no WAL and receives none.
    """
    record = observation.lease.record if observation.lease else None
    postgres = observation.postgres
    writes_none = not postgres.alive or postgres.progress_at is not None
    if postgres.state is not ServerState.DOWN or not writes_none:
        return {}
    if record is None or record.timeline is None:
        return {}
    return {
        name: peer.position
        for name, peer in peers.items()
        if peer.timeline == record.timeline
        and peer.position is not None
        and peer.system_identifier == record.system_identifier
    }
