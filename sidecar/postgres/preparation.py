"""What a primary makes for its replicas: a role, its way in, and a bound on the WAL it keeps."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from sidecar.postgres import commands, replication_role
from sidecar.postgres.commands import NeedsOperatorError
from sidecar.postgres.connection import Connection

AGAIN_SECONDS: Final = 60.0
"""A member that does not follow may be kept out by what somebody has changed: the role's password
or rights, or pg_hba.conf. All is made again after so long, and again; where it is only away, that
costs little."""


class Preparation:
    """Made once for each leadership, and again for another password, or where a member does not
    follow."""

    def __init__(self) -> None:
        self._complete_at: float | None = None
        """When all members followed, or all was to be made again; None: not looked at yet."""
        self.done_with: str | None = None
        """The replication password for which everything was made last."""
        self._role_made: tuple[float, str] | None = None
        """The leadership, by when it began, in which the role got which password."""

    def forget(self) -> None:
        """Make all of it again: the server's database is another, in which rights are given."""
        self._role_made = None

    def is_due_again(self, slots: Sequence[str], followers: Sequence[object], now: float) -> bool:
        """Take in a look at who follows, of those that have a slot, and count a True as done."""
        if self._complete_at is None or len(followers) >= len(slots):
            self._complete_at = now
        if now - self._complete_at < AGAIN_SECONDS:
            return False
        self._complete_at = now
        self.forget()
        return True

    def make(self, connection: Connection, password: str | None, since: float) -> None:
        """Make all of it, as far as it can be made, in the leadership that began at `since`.

        `password` None: there is none to give, and nobody gets in by that role. Raises
        NeedsOperatorError with what is left to the operator, and psycopg.Error.
        """
        problems = []
        made_before = self._role_made
        for step in self._steps(password, since):
            try:
                step(connection)
            except NeedsOperatorError as error:
                problems.append(str(error))
        if not problems or password is None or self._role_made != made_before:
            connection.execute("SELECT pg_catalog.pg_reload_conf()")
        # Another password, or one at all, comes with another life of this pod.
        if not problems or password is None:
            self.done_with = password
        if problems:
            raise NeedsOperatorError("; ".join(problems))

    def _steps(self, password: str | None, since: float) -> Iterator[Callable[[Connection], None]]:
        """Yield what is to be done; one that fails keeps none of the others from it."""
        if password is None:
            self._role_made = None
            yield from (replication_role.refuse, replication_role.take_back, _need_password)
        else:
            # Asked again while something is left to the operator, it writes nothing again.
            if self._role_made != (since, password):
                yield partial(self._make_role, password, since)
            yield replication_role.admit
        yield commands.keep_wal
        yield commands.let_members_connect
        yield commands.let_members_use_slots

    def _make_role(self, password: str, since: float, connection: Connection) -> None:
        replication_role.make(connection, password)
        self._role_made = (since, password)


def _need_password(_: Connection) -> None:
    raise NeedsOperatorError(replication_role.WITHOUT_REPLICAS)
