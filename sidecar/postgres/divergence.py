"""Whether this standby has WAL that its primary's history does not have.

Asked in a thread of its own, since a primary that is cut off answers late or never.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import Final

from sidecar.observation import Fork, LeaseRecord, PostgresView, ServerState
from sidecar.postgres.primary_queries import UpstreamError, fork_point, history

_SECONDS_BETWEEN: Final = 1.0


class ForkFinder:
    """Asks the primary where its history left this member's timeline."""

    def __init__(
        self,
        parameters: dict[str, str],
        password: str | None,
        *,
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        """`parameters`: libpq's for a primary; without a password it is never asked.

        `on_change` is called with each new answer.
        """
        self._parameters = parameters
        self._password = password
        self._clock = clock
        self._on_change = on_change
        self._asked_at = float("-inf")
        self._thread: threading.Thread | None = None
        self._found: tuple[int, Fork] | None = None
        """The primary's timeline and the fork."""

    def find(
        self, postgres: PostgresView, record: LeaseRecord | None, address: str | None
    ) -> Fork | None:
        """Return the fork as far as it is known; asked for where the member does not stream."""
        if postgres.state is not ServerState.RECOVERY or record is None or not record.holder:
            return None
        mine, primarys = postgres.timeline, record.timeline
        if mine is None or primarys is None or mine >= primarys or postgres.streaming:
            return None
        found = self._found
        if found is not None and (found[0], found[1].timeline) == (primarys, mine):
            return found[1]
        if address is not None and self._password is not None:
            self._ask(mine, primarys, address, self._password)
        return None

    def _ask(self, mine: int, primarys: int, address: str, password: str) -> None:
        busy = self._thread is not None and self._thread.is_alive()
        if busy or self._clock() - self._asked_at < _SECONDS_BETWEEN:
            return
        self._asked_at = self._clock()
        self._thread = threading.Thread(
            target=self._look, args=(mine, primarys, address, password), name="fork", daemon=True
        )
        with contextlib.suppress(RuntimeError):  # the pod has as many threads as it may have
            self._thread.start()

    def _look(self, mine: int, primarys: int, address: str, password: str) -> None:
        parameters = self._parameters | {"host": address}
        try:
            position = fork_point(history(parameters, password, primarys), mine)
        except UpstreamError:
            # A primary that does not answer, or one that does not know its successor's timeline.
            return
        # A timeline that is not in the primary's history at all was left before it began.
        self._found = (primarys, Fork(mine, position or 0))
        self._on_change()
