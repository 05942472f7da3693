"""What a member sees of its bootstrap container, and of its data directory."""

import itertools
import math
from dataclasses import replace
from typing import Final

from sidecar.memory.heartbeat import Beat
from sidecar.memory.vanished import Sight
from sidecar.observation import BootstrapView, DataState
from tests.simulator.member.member import Member

_BEATS: Final = itertools.count(1)


class DirectoryView:
    """As `sidecar.bootstrap`."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._view: tuple[object, BootstrapView] | None = None
        self._silent_since: float | None = None
        """Since when the volume has answered nothing."""
        self._other: str | None = None
        """Another pod that wrote to the directory at the last look into it."""

        self._vanished = False

    @property
    def is_silent(self) -> bool:
        """Whether a look into the directory hangs already."""
        return self._silent_since is not None

    def bootstrap(self, now: float) -> BootstrapView:
        member = self._member
        bootstrap, directory = member.pod.bootstrap, member.pod.directory
        if not bootstrap.reported:
            return BootstrapView(data=None, running=True)
        if not member.pod.volume_hangs:
            stalled = self._silent_since is not None
            self._other = self._other_writer(now, stalled=stalled)
            self._vanished = member.vanished.look(self._sight(), now, stalled=stalled)
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now
        other = self._other
        failures = member.attempts.look(
            bootstrap.session, bootstrap.done_with, bootstrap.failure, now
        )
        key = (
            *(bootstrap, bootstrap.changes, directory.data, directory.system_identifier),
            *(directory.broken, directory.returns, directory.full, directory.slow),
            *(other, failures, self._silent_since, directory.found, self._vanished),
        )
        if self._view is not None and self._view[0] == key:
            return self._view[1]
        # What pg_controldata told bootstrap: it looks no more once PostgreSQL may start.
        found = bootstrap.found
        has_data = found.data in (DataState.PRESENT, DataState.BROKEN)
        view = BootstrapView(
            data=found.data,
            running=not bootstrap.done,
            busy=bootstrap.busy,
            write_failure=self._write_failure(),
            silent_since=self._silent_since,
            slow_ago=0.0 if directory.slow else math.inf,
            refusal=bootstrap.refusal,
            failure=bootstrap.failure,
            failures=failures,
            system_identifier=found.system_identifier if has_data else None,
            timeline=found.timeline if has_data else None,
            position=found.position if has_data else None,
            other_writer=other,
            can_rewind=True if has_data else None,
            rewind_failed=bootstrap.rewind_failed or found.data is DataState.BROKEN,
            rewound=bootstrap.rewound,
            copied=bootstrap.copied,
            promoting_from=directory.promoting_from,
            promoted_by_hand_at=directory.promoted_by_hand_at,
            returns=directory.returns,
            reached_data=bootstrap.done and not directory.full,
            refused=found.refused,
            objection=found.objection,
            left_alone=bootstrap.left_alone,
            started_writable=bootstrap.started_writable,
            found_standby=directory.found == "standby",
            vanished=self._vanished,
        )
        self._view = (key, view)
        return view

    def _write_failure(self) -> str | None:
        if self._silent_since is not None:
            return "the data directory does not answer"
        return "no space left" if self._member.pod.directory.full else None

    def _sight(self) -> Sight:
        bootstrap, directory = self._member.pod.bootstrap, self._member.pod.directory
        if not bootstrap.done:
            return Sight.UNCLEAR
        if directory.unseen or directory.system_identifier is None:
            return Sight.NOTHING
        same = directory.system_identifier == bootstrap.found.system_identifier
        return Sight.THERE if same else Sight.ANOTHER

    def _other_writer(self, now: float, *, stalled: bool) -> str | None:
        member, directory = self._member, self._member.pod.directory
        started = member.pod.bootstrap.done
        beat, owner = directory.beat, directory.owner
        lives = owner is not None and owner.beats
        if lives and beat is not None and beat.uid != member.me.uid:
            # Its heart beats every two seconds, however seldom the fake looks.
            directory.beat = beat = replace(beat, count=str(next(_BEATS)))
        other = member.heartbeat.look(beat, now, started=started, stalled=stalled)
        if other is None and not directory.full:
            directory.owner = member.pod.agent
            generation, ttl = member.heartbeat.generation, member.settings.ttl
            directory.beat = Beat(member.me.uid, str(next(_BEATS)), generation, ttl)
        return other
