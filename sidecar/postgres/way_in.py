"""By which of the set's replication passwords the primary lets this member in.

During an update of pgset, or of the superuser's password, a primary may know another than the usual
one. It is asked with each in turn; by SCRAM, so that none is sent. But who answers in its place can
then test guesses at what was tried: hence nothing is tried that is cheap to guess, once the last
member is gone that knows no other (`sidecar.keys`).
"""

import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import Final, TypeVar

from sidecar.keys import Keys
from sidecar.observation import Pod, PostgresView, ServerState
from sidecar.postgres.configuration import password_file_line
from sidecar.postgres.primary_queries import PasswordRefusedError, UpstreamError, identify
from sidecar.workers import Workers

_SECONDS_BETWEEN: Final = 1.0
_SECONDS_BETWEEN_WHILE_STREAMING: Final = 10.0
"""Each time that the primary still has the other password, its log gets a line."""

SECONDS: Final = 20.0
"""For an answer to the loop: three passwords, each with a connection and a question of 3 s."""

_Answer = TypeVar("_Answer")


def with_any(passwords: Iterable[str], ask: Callable[[str], _Answer]) -> tuple[_Answer, str]:
    """Return the answer to who has one of these passwords, and which. Raises UpstreamError.

    Where none is let in, it is the first refusal: that one may have been about something else than
    the likeliest password, which libpq does not tell apart, and the others' would hide it.
    """
    refused: UpstreamError | None = None
    for password in passwords:
        try:
            return ask(password), password
        except PasswordRefusedError as error:
            refused = refused or error
    raise refused or UpstreamError("there is no password to try")


class WayIn:
    """Keeps the password that a standby's libpq reads the one that the primary takes."""

    def __init__(
        self,
        parameters: dict[str, str],
        keys: Keys,
        *,
        keep: Callable[[str | None], None],
        clock: Callable[[], float],
        seconds: float = SECONDS,
    ) -> None:
        """`parameters`: libpq's for a primary. `keep` puts a password file's line where libpq reads
        it at its next attempt, None: no file at all, and raises OSError where it cannot. `seconds`:
        for `ask`."""
        self._parameters = parameters
        self._keys = keys
        self._keep = keep
        self._clock = clock
        self._seconds = seconds
        self._asked_at = float("-inf")
        self._busy = False
        self._worker = Workers("way-in", 1, most_waiting=1)
        self._kept: str | None = None
        """What was put last, if that is known to have been done."""

    def start(self) -> None:
        """Start the thread that asks, once: with the process."""
        self._worker.start()

    def leave(self, pods: Iterable[Pod] | None) -> None:
        """Let libpq begin with the likeliest one. Raises OSError."""
        self._put(self._keys.replication_password(pods))

    def ask(
        self, pods: Iterable[Pod] | None, question: Callable[[str], _Answer]
    ) -> tuple[_Answer, str]:
        """Return what the primary answers, and the password by which. Raises UpstreamError.

        By the thread, as whoever answers in its place may have libpq compute for an hour, by a
        number of iterations that SCRAM sets no limit to: the loop goes on.
        """
        if self._busy:
            raise UpstreamError("the primary has been asked, and has yet to answer")
        passwords, answer = self._keys.replication_passwords(pods), Future[tuple[_Answer, str]]()

        def work() -> None:
            try:
                found = with_any(passwords, question)
            except Exception as error:
                # Before the answer: the loop may ask again at once.
                self._busy = False
                answer.set_exception(error)
            else:
                self._busy = False
                answer.set_result(found)

        self._worker.start()
        self._busy = True
        self._worker.take(work)
        try:
            return answer.result(self._seconds)
        except TimeoutError as error:
            raise UpstreamError(f"the primary has not let us in for {self._seconds:g} s") from error

    def look(self, postgres: PostgresView, pods: Iterable[Pod] | None, address: str | None) -> None:
        """Have a standby that receives nothing try the others, and one that does the usual one."""
        usual = self._keys.replication_password(pods)
        streaming, standby = postgres.streaming, postgres.state is ServerState.RECOVERY
        if usual is None or address is None or not standby or (streaming and self._kept == usual):
            return
        if self._is_busy(streaming=streaming):
            return
        passwords = (usual,) if streaming else self._keys.replication_passwords(pods)
        self._asked_at = self._clock()
        self._busy = True
        self._worker.take(partial(self._find, passwords, address, streaming=streaming))

    def _is_busy(self, *, streaming: bool) -> bool:
        pause = _SECONDS_BETWEEN_WHILE_STREAMING if streaming else _SECONDS_BETWEEN
        return self._busy or self._clock() - self._asked_at < pause

    def _find(self, passwords: tuple[str, ...], address: str, *, streaming: bool) -> None:
        target = self._parameters | {"host": address}
        try:
            with contextlib.suppress(UpstreamError, OSError):
                if not streaming and self._kept not in passwords:
                    # libpq would go on giving away one that may be used no more.
                    self._put(passwords[0])
                _, found = with_any(passwords, lambda password: identify(target, password))
                # Even if it should be there: a write that was given up may have come later.
                self._put(found)
        finally:
            self._busy = False

    def _put(self, password: str | None) -> None:
        # What fails, or takes too long, may be done later all the same.
        self._kept = None
        self._keep(None if password is None else password_file_line(password))
        self._kept = password
