"""The bootstrap container of a pod: says what it finds in the directory, and obeys orders."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from sidecar.observation import DataState
from sidecar.refused_setting import RefusedSetting
from tests.simulator.node import Host
from tests.simulator.postgres.directory import Configured, Directory
from tests.simulator.postgres.server import Server
from tests.simulator.world import World

_SESSIONS: Final = itertools.count(1)

_MOUNTED: Final = (
    "a volume is mounted at /var/lib/postgresql/data/pg_wal, inside of the data directory, which "
    "therefore cannot be made anew: mount it elsewhere, or mend this member by hand"
)


class BootstrapPod(Host, Protocol):
    """What bootstrap needs of the pod that it runs in."""

    @property
    def configured(self) -> Configured: ...

    @property
    def volume_hangs(self) -> bool: ...

    def upstream(self, address: str | None) -> Server | None:
        """Return the server at this address, if it can be reached."""

    def bootstrap_changed(self) -> None: ...

    def bootstrap_done(self) -> None:
        """PostgreSQL may start."""


@dataclass(frozen=True, slots=True)
class OverwritingBegins:
    """An initdb or a clone is about to begin in a directory."""

    pod: Host
    directory: Directory
    verb: str


@dataclass(frozen=True, slots=True)
class Initialized:
    """An initdb has ended well."""

    pod: Host


@dataclass(frozen=True, slots=True)
class Found:
    """What the container's last look into the data directory has found, and its report says."""

    data: DataState = DataState.EMPTY
    system_identifier: str | None = None
    timeline: int = 0
    position: int = 0
    refused: tuple[RefusedSetting, ...] = ()
    objection: str | None = None


class Bootstrap:
    """One run of the container."""

    def __init__(
        self,
        world: World,
        pod: BootstrapPod,
        directory: Directory,
        identifiers: Iterator[int],
        *,
        deletes_others_histories: bool,
    ) -> None:
        self._world = world
        self._pod = pod
        self._directory = directory
        self._identifiers = identifiers
        self._deletes_others_histories = deletes_others_histories
        self.reported = False
        self.done = False
        """PostgreSQL may start."""
        self.busy: str | None = None
        self.failure: str | None = None
        self.session = str(next(_SESSIONS))
        self.number = self.done_with = 0
        """Of the last order, and of the last one that is carried out."""
        self.rewound = False
        self.rewind_failed = False
        self.copied = False
        self.found = Found()
        self.refusal: str | None = None
        self.started_writable = False
        self.left_alone = False
        self.changes = 0
        """Grows with every change, for who keeps a view of it."""
        self._ended = False
        self.address: str | None = None
        """Of the primary that an order is to copy from."""

    def start(self) -> None:
        self._world.after(self._world.chance.uniform(0.2, 0.6), self._report)

    def end(self) -> None:
        """It is killed; what is under way stays unfinished, and a rewind can't be begun again."""
        if self.busy == "rewind" and not self._ended:
            self._directory.broken = True
        self._ended = True

    def _report(self) -> None:
        if not self._ended and not self._waits(self._report):
            self.reported = True
            self.refusal = self._directory.refusal
            # What an earlier life was started with, beside its configuration.
            self._directory.raised = 0
            self._look()
            self._changed()

    def _waits(self, call: Callable[..., None], *arguments: object) -> bool:
        """Whether nothing gets on in this container: then this is called again later."""
        waits = self._pod.node.frozen or self._pod.volume_hangs
        if waits:
            self._world.after(1.0, call, *arguments)
        return waits

    def _look(self) -> None:
        """Into the directory, before it reports: pg_controldata and the marks beside it."""
        directory = self._directory
        data = directory.data
        if self.refusal is not None:
            # It may not even look into a directory of another user's.
            self.found = Found()
            return
        if directory.broken and data is DataState.PRESENT:
            data = DataState.BROKEN
        timeline, position = directory.checkpoint
        refused = self._refused_settings() if data is DataState.PRESENT else ()
        alone = data is DataState.PRESENT and not directory.found
        objection = directory.objection if alone else None
        self.found = Found(
            data, directory.system_identifier, timeline, position, refused, objection
        )

    def _refused_settings(self) -> tuple[RefusedSetting, ...]:
        value, origin = self._pod.configured.value, self._pod.configured.origin
        needed = self._directory.written_with
        if value >= needed:
            return ()
        return (RefusedSetting("max_connections", str(value), str(needed), origin),)

    def _changed(self) -> None:
        self.changes += 1
        self._pod.bootstrap_changed()

    def order(self, verb: str) -> None:
        """Begin to carry out an order: initdb, clone, rewind, reclone or start."""
        if self.busy is not None or self.done or self._ended or not self.reported:
            return
        if self.refusal is not None:
            return
        self.busy, self.failure = verb, None
        self._directory.held = False
        self.number += 1
        self.changes += 1
        chance = self._world.chance
        begin, seconds = {
            "initdb": (self._begin_initdb, chance.uniform(1.0, 3.0)),
            "clone": (self._begin_clone, chance.uniform(1.0, 8.0)),
            "reclone": (self._begin_reclone, chance.uniform(1.0, 8.0)),
            "rewind": (self._begin_rewind, chance.uniform(0.5, 3.0)),
            "start": (self._begin_start, 0.1),
            "start-writable": (self._begin_start, 0.1),
            "leave": (self._begin_start, 0.1),
        }[verb]
        begin()
        self._world.note(self._pod.title, f"bootstrap: {verb}")
        self._world.after(seconds, self._finish, verb)

    def _finish(self, verb: str) -> None:
        if self._ended or self._waits(self._finish, verb):
            return
        self.busy = None
        self.done_with = self.number
        finish = {
            "initdb": self._initdb,
            "clone": self._clone,
            "reclone": self._clone,
            "rewind": self._rewind,
            "start": self._start,
            "start-writable": self._start_writable,
            "leave": self._leave,
        }[verb]
        self.failure = self._why_it_fails_here(verb) or finish()
        self._look()
        if self.failure is not None:
            self._world.note(self._pod.title, f"bootstrap: {verb} failed: {self.failure}")
        self._changed()

    def _why_it_fails_here(self, verb: str) -> str | None:
        if not self._pod.node.copies_fail:
            return None
        return {
            "initdb": "initdb did not succeed: see the log of this container",
            "clone": "the clone did not succeed: see the log of this container",
            "rewind": _MOUNTED,
            "reclone": _MOUNTED,
        }.get(verb)

    def _begin_initdb(self) -> None:
        self._world.publish(OverwritingBegins(self._pod, self._directory, "initdb"))
        if self._directory.data is DataState.EMPTY:
            self._directory.data = DataState.INTERRUPTED

    def _initdb(self) -> str | None:
        directory = self._directory
        if directory.full:
            return "no space left"
        directory.make_database(str(next(self._identifiers)), standby=True)
        directory.found, directory.written_with = "writable", self._pod.configured.value
        self._world.publish(Initialized(self._pod))
        return None

    def _begin_clone(self) -> None:
        self._world.publish(OverwritingBegins(self._pod, self._directory, "clone"))
        self._directory.data = DataState.INTERRUPTED

    def _begin_reclone(self) -> None:
        """The old directory stays until the copy is whole, and then beside it."""

    def _clone(self) -> str | None:
        directory = self._directory
        source = self._pod.upstream(self.address)
        if source is None or source.directory is directory or not source.directory.prepared:
            return "the primary cannot be reached"
        if source.directory.data is not DataState.PRESENT or directory.full:
            return "the copy was interrupted"
        directory.copy_of(source.directory)
        self.rewind_failed, self.copied = False, True
        return None

    def _begin_rewind(self) -> None:
        self.rewound = False

    def _rewind(self) -> str | None:
        directory = self._directory
        source = self._pod.upstream(self.address)
        if source is None or source.directory is directory:
            return "the primary cannot be reached"
        if self._world.chance.random() < 0.15:
            self.rewind_failed = directory.broken = True
            return "pg_rewind could not find the WAL of the divergence"
        directory.copy_of(source.directory)
        self.rewound = True
        return None

    def _begin_start(self) -> None:
        pass

    def _start(self) -> str | None:
        directory = self._directory
        if directory.full:
            return "no space left"
        if directory.data is not DataState.PRESENT:
            return "there is no database to start"
        directory.found = directory.found or ("standby" if directory.standby_signal else "writable")
        if self._deletes_others_histories:
            directory.delete_others_histories()
        directory.standby_signal = True
        self.done = True
        self._pod.bootstrap_done()
        return None

    def _leave(self) -> None:
        self.done = self.left_alone = True
        self._pod.bootstrap_done()

    def _start_writable(self) -> str | None:
        failure = self._start()
        if failure is None:
            self._directory.standby_signal = False
            self.started_writable = True
        return failure
