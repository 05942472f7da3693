"""Whether the end of this member's WAL is the primary's, for data that is new to the set.

Several volumes may be copies of one snapshot, and more than one of them written to: the databases
then have one system identifier and one timeline. A standby fetches the WAL file that it ends in
anew, from its beginning, and looks no further back than to where the record before its end began.
So PostgreSQL goes on from there where the same was written in both, but for the values, and else
repeats an error for ever. Either way its own WAL is overwritten by then, and so this is asked
before it follows anybody. In a thread of its own, since a primary that is cut off answers late or
never.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Final

from sidecar.memory.comparison import ComparisonMemory, Question
from sidecar.observation import BootstrapView, Identity, LeaseRecord, PostgresView
from sidecar.postgres.primary_queries import (
    UpstreamError,
    WalRemovedError,
    history,
    identify_with_timeline,
    wal,
)
from sidecar.postgres.timeline_history import fork_point
from sidecar.postgres.wal import end_of_wal
from sidecar.postgres.way_in import with_any
from sidecar.synchronous import WalPosition
from sidecar.workers import Workers

_SECONDS_BETWEEN: Final = 1.0

COMPARED: Final = 16 << 20
"""Bytes at the end. What was written apart is seen by its first commit, which has its time in
microseconds; so there must be one in here."""

_APPLICATION: Final = "pgset-compare"
"""Not the member's name: commits may wait for who streams under that."""


class Comparer:
    """Compares this member's WAL with the primary's, once for each end and primary."""

    def __init__(
        self,
        me: Identity,
        parameters: dict[str, str],
        passwords: Callable[[], Sequence[str]],
        *,
        data_directory: Callable[[], Path | None],
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        """`parameters`: libpq's for a primary; `passwords`: those to try, if any.

        `on_change` is called with each new answer.
        """
        self._me = me
        self._parameters = parameters | {"application_name": _APPLICATION}
        self._passwords = passwords
        self._data_directory = data_directory
        self._clock = clock
        self._on_change = on_change
        self._asked_at = float("-inf")
        self._busy = False
        self._worker = Workers("comparison", 1, most_waiting=1)
        self._memory = ComparisonMemory()

    def start(self) -> None:
        """Start the thread that compares, once: with the process."""
        self._worker.start()

    def find(
        self,
        postgres: PostgresView,
        record: LeaseRecord | None,
        bootstrap: BootstrapView,
        address: str | None,
    ) -> bool | None:
        """Return whether it is the same WAL, as far as that is known."""
        question = self._memory.question(postgres, record, bootstrap, self._me)
        answer = self._memory.answer(question)
        directory = self._data_directory()
        if question is None or answer is not None or address is None or directory is None:
            return answer
        due = self._clock() - self._asked_at >= _SECONDS_BETWEEN
        if due and not self._busy and (passwords := self._passwords()):
            self._asked_at = self._clock()
            self._busy = True
            identifier = postgres.system_identifier or ""
            ask = partial(self._compare, question, identifier, directory, address)
            self._worker.take(partial(self._look, question, ask, passwords))
        return None

    def _look(
        self, question: Question, ask: Callable[[str], bool | None], passwords: Sequence[str]
    ) -> None:
        try:
            answer, _ = with_any(passwords, ask)
        except (UpstreamError, OSError):
            # It is asked again: the primary may be about to be promoted, say.
            return
        finally:
            self._busy = False
        if answer is not None:
            self._memory.learn(question, answer)
            self._on_change()

    def _compare(
        self, question: Question, identifier: str, directory: Path, address: str, password: str
    ) -> bool | None:
        primary = self._parameters | {"host": address}
        return is_same_wal(primary, password, identifier, directory, question[1:])


def is_same_wal(
    primary: dict[str, str],
    password: str,
    identifier: str,
    directory: Path,
    end: WalPosition,
) -> bool | None:
    """Return whether the WAL in this data directory is the primary's, up to its end or to where the
    primary has left its timeline. False as well where that cannot be told any more.

    `primary`: libpq's parameters. None: it is no primary of this database; or it has removed the
    file in which this WAL ends, and so cannot be followed either. Raises UpstreamError, OSError.
    """
    found, primarys = identify_with_timeline(primary, password)
    if found != identifier:
        return None
    timeline, position = end
    known = history(primary, password, primarys)
    shared = position if primarys == timeline else min(position, fork_point(known, timeline) or 0)
    # Where it has not all of that any more: as much as PostgreSQL would fetch.
    for most in (COMPARED, None):
        ours = end_of_wal(directory, timeline, shared, most) if shared else None
        if ours is None:
            return False
        start, pieces = ours
        with suppress(WalRemovedError), closing(wal(primary, password, timeline, start)) as theirs:
            return are_equal(pieces, theirs)
    return None if shared == position else False


def are_equal(ours: Iterable[bytes], theirs: Iterator[bytes]) -> bool:
    """Return whether `theirs` begins with all of `ours`. No more of it is read."""
    rest = b""
    for piece in ours:
        compared = 0
        while compared < len(piece):
            rest = rest or next(theirs, b"")
            both = min(len(rest), len(piece) - compared)
            if not both or piece[compared : compared + both] != rest[:both]:
                return False
            compared, rest = compared + both, rest[both:]
    return True
