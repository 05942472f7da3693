"""Whether this standby has WAL that its primary's history does not have.

Asked in a thread of its own, since a primary that is cut off answers late or never.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from sidecar import small_files
from sidecar.memory.fork import ForkMemory
from sidecar.observation import Fork, LeaseRecord, PostgresView
from sidecar.postgres.primary_queries import UpstreamError, history
from sidecar.postgres.timeline_history import (
    TimelineHistory,
    fork_point,
    leads_on_from,
    parse_history,
)
from sidecar.postgres.way_in import with_any
from sidecar.workers import Workers

_SECONDS_BETWEEN: Final = 1.0


class ForkFinder:
    """Asks the primary where its history left this member's timeline."""

    def __init__(
        self,
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
        self._parameters = parameters
        self._passwords = passwords
        self._data_directory = data_directory
        self._clock = clock
        self._on_change = on_change
        self._asked_at = float("-inf")
        self._busy = False
        self._worker = Workers("fork", 1, most_waiting=1)
        self._memory = ForkMemory()

    def start(self) -> None:
        """Start the thread that asks, once: with the process."""
        self._worker.start()

    def find(
        self, postgres: PostgresView, record: LeaseRecord | None, address: str | None
    ) -> Fork | None:
        """Return the fork as far as it is known; asked for where the member does not stream."""
        question = self._memory.question(postgres, record)
        fork = self._memory.answer(question)
        if question is None or fork is not None:
            return fork
        directory = self._data_directory()
        if address is not None and directory and (passwords := self._passwords()):
            self._ask(question, directory, address, passwords)
        return None

    def _ask(
        self,
        question: tuple[int, int],
        directory: Path,
        address: str,
        passwords: Sequence[str],
    ) -> None:
        if self._busy or self._clock() - self._asked_at < _SECONDS_BETWEEN:
            return
        self._asked_at = self._clock()
        self._busy = True
        self._worker.take(partial(self._look, question, directory, address, passwords))

    def _look(
        self,
        question: tuple[int, int],
        directory: Path,
        address: str,
        passwords: Sequence[str],
    ) -> None:
        mine, primarys = question
        parameters = self._parameters | {"host": address}
        try:
            known, _ = with_any(passwords, lambda password: history(parameters, password, primarys))
            kept = kept_history(directory, primarys)
        except (UpstreamError, OSError):
            # A primary that does not answer, or one that does not know its successor's timeline.
            return
        finally:
            self._busy = False
        comes_there = leads_on_from(known, kept, mine)
        self._memory.learn(question, fork_point(known, mine) if comes_there else None)
        self._on_change()


def kept_history(directory: Path, timeline: int) -> TimelineHistory:
    """Return the history of that number in this data directory; nothing where there is none.
    Raises OSError."""
    text = small_files.read_text(directory / "pg_wal" / f"{timeline:08X}.history")
    try:
        return parse_history(text)
    except ValueError:
        return ((0, 0),)
