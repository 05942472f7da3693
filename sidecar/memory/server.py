"""This pod's PostgreSQL: since when it is in its state, and whether it may be writable unseen."""

from typing import Final

from sidecar.observation import BootstrapView, PostgresView, ServerState

ANSWER_SECONDS: Final = 3.0
"""A look has no disk to wait for: a server that takes longer is taken for one that is down."""


class ServerMemory:
    """Remembers from look to look what a single one does not show."""

    def __init__(self, now: float, answer_seconds: float = ANSWER_SECONDS) -> None:
        """It counts as down until it has answered, and when it has not for so many seconds."""
        self._answer_seconds = answer_seconds
        self._state = ServerState.DOWN
        self._since = now
        self._answered_at = now
        self._prepared_since: float | None = None
        """The leadership, by when it began, for which everything was made."""
        self._promoting_since: float | None = None

    def told_to_start(self, now: float) -> None:
        """Up to now nobody had told PostgreSQL to start: its time to come up begins here."""
        self._since = now

    def see(self, state: ServerState, now: float) -> bool:
        """Take in a look that has ended, DOWN where it failed; return whether that is a change."""
        before, since = self.look(now)
        changed = state is not before
        if changed:
            self._promoting_since = None
        self._state, self._since, self._answered_at = state, now if changed else since, now
        return changed

    def look(self, now: float) -> tuple[ServerState, float]:
        """Return the state and since when it is so; one that is silent counts as down."""
        silent_from = _silent_from(self._state, self._answered_at, now, self._answer_seconds)
        if silent_from is None:
            return self._state, self._since
        return ServerState.DOWN, silent_from

    @property
    def answered_at(self) -> float:
        """When the last look ended."""
        return self._answered_at

    @property
    def since(self) -> float:
        """When the state that was seen last began: a leadership, where it is WRITABLE."""
        return self._since

    @property
    def promoting_since(self) -> float | None:
        """When it was first asked to be promoted, in the state that it is in."""
        return self._promoting_since

    def asked_to_be_promoted(self, now: float) -> None:
        """From now on it is about to be writable."""
        if self._promoting_since is None:
            self._promoting_since = now

    @property
    def prepared(self) -> bool:
        """The replication role and its pg_hba line were made in this leadership."""
        return self._state is ServerState.WRITABLE and self._prepared_since == self._since

    def was_prepared(self, since: float) -> None:
        """They were made in the leadership that began then, which may be over by now."""
        self._prepared_since = since

    def was_prepared_elsewhere(self) -> None:
        """They were made in another database than the one that is looked at now."""
        self._prepared_since = None


class LastTimeline:
    """On which timeline a server was that may be down now: it may have been promoted since
    bootstrap read what its files say."""

    def __init__(self) -> None:
        """None was seen yet."""
        self._seen: int | None = None
        self._reported: tuple[int | None, int | None] = (None, None)

    def look(self, timeline: int | None, bootstrap: BootstrapView) -> int | None:
        """Take in a look (None: it is down), and return the last one's that had any; None where
        bootstrap has read the files again since."""
        reported = bootstrap.timeline, bootstrap.position
        if reported != self._reported:
            self._reported, self._seen = reported, None
        self._seen = timeline or self._seen
        return self._seen


def as_of(
    view: PostgresView, answered_at: float, now: float, answer_seconds: float = ANSWER_SECONDS
) -> PostgresView:
    """Return what can be said now of a server that was seen so by a look that ended then."""
    silent_from = _silent_from(view.state, answered_at, now, answer_seconds)
    if silent_from is None:
        return view
    problem = f"PostgreSQL has not answered for {now - answered_at:.0f} s"
    return PostgresView(ServerState.DOWN, since=silent_from, problem=problem)


def _silent_from(
    state: ServerState, answered_at: float, now: float, seconds: float
) -> float | None:
    """Return since when a server counts as down that has not answered; None if it does not."""
    silent_from = answered_at + seconds
    return None if state is ServerState.DOWN or now <= silent_from else silent_from


def has_written(postmaster: int | None, last_writer: int | None, *, starts_writable: bool) -> bool:
    """Tell whether this postmaster (None: there is none) may be writable, whatever it says.

    `last_writer`: the postmaster that was last seen writable, or asked to be promoted.
    """
    return postmaster is not None and (postmaster == last_writer or starts_writable)
