"""The bootstrap container of a pod: says what it finds in the directory, and obeys orders."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from sidecar.observation import DataState
from tests.simulator.node import Host
from tests.simulator.postgres.directory import Branch, Directory
from tests.simulator.postgres.server import Server
from tests.simulator.world import World

_SESSIONS: Final = itertools.count(1)


class BootstrapPod(Host, Protocol):
    """What bootstrap needs of the pod that it runs in."""

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


class Bootstrap:
    """One run of the container."""

    def __init__(
        self, world: World, pod: BootstrapPod, directory: Directory, identifiers: Iterator[int]
    ) -> None:
        self._world = world
        self._pod = pod
        self._directory = directory
        self._identifiers = identifiers
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
            self._changed()

    def _waits(self, call: object) -> bool:
        if self._pod.node.frozen:
            self._world.after(1.0, call)  # type: ignore[arg-type]
            return True
        return False

    def _changed(self) -> None:
        self.changes += 1
        self._pod.bootstrap_changed()

    def order(self, verb: str) -> None:
        """Begin to carry out an order: initdb, clone, rewind, reclone or start."""
        if self.busy is not None or self.done or self._ended or not self.reported:
            return
        self.busy, self.failure = verb, None
        self.number += 1
        self.changes += 1
        chance = self._world.chance
        begin, seconds = {
            "initdb": (self._begin_initdb, chance.uniform(1.0, 3.0)),
            "clone": (self._begin_clone, chance.uniform(1.0, 8.0)),
            "reclone": (self._begin_reclone, chance.uniform(1.0, 8.0)),
            "rewind": (self._begin_rewind, chance.uniform(0.5, 3.0)),
            "start": (self._begin_start, 0.1),
        }[verb]
        begin()
        self._world.note(self._pod.name, f"bootstrap: {verb}")
        self._world.after(seconds, self._finish, verb)

    def _finish(self, verb: str) -> None:
        if self._ended or self._waits_for(verb):
            return
        self.busy = None
        self.done_with = self.number
        finish = {
            "initdb": self._initdb,
            "clone": self._clone,
            "reclone": self._clone,
            "rewind": self._rewind,
            "start": self._start,
        }[verb]
        self.failure = finish()
        if self.failure is not None:
            self._world.note(self._pod.name, f"bootstrap: {verb} failed: {self.failure}")
        self._changed()

    def _waits_for(self, verb: str) -> bool:
        if self._pod.node.frozen:
            self._world.after(1.0, self._finish, verb)
            return True
        return False

    def _begin_initdb(self) -> None:
        self._world.publish(OverwritingBegins(self._pod, self._directory, "initdb"))
        if self._directory.data is DataState.EMPTY:
            self._directory.data = DataState.INTERRUPTED

    def _initdb(self) -> str | None:
        directory = self._directory
        if directory.full:
            return "no space left"
        directory.data = DataState.PRESENT
        directory.system_identifier = str(next(self._identifiers))
        directory.branch, directory.position = Branch(1), 1000
        directory.checkpoint = (1, 1000)
        directory.clean = True
        directory.standby_signal = True
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
        self.rewind_failed = False
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
        directory.standby_signal = True
        self.done = True
        self._pod.bootstrap_done()
        return None
