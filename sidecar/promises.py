"""What this member has promised to a holder, kept against its own wish to take the Lease.

Promises live in memory. A sidecar that is started anew has forgotten them, but sees the Lease for
the first time then, and waits for a ttl from there before it takes the Lease for expired.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.failsafe import Challenges, Question, Reply, Seal, refusal, should_give_way
from sidecar.observation import Identity, LeaseRecord, LeaseView, Pod


class PromisedError(Exception):
    """The Lease may not be taken yet. The message is for the log."""


class Promises:
    """The promise in force, and the lock between promising and taking. Safe from any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: monotonic seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._taking = False
        self._holder = ""
        self._version = 0
        self._until = float("-inf")

    def until(self) -> float | None:
        """Return until when a Lease that was not released must be left alone; None if no more."""
        until = self._until
        return until if self._clock() < until else None

    def promise(
        self, question: Question, until: float, refusal: Callable[[], str | None]
    ) -> str | None:
        """Promise it, or return why not. `refusal` is asked while no take can begin."""
        version = int(question.resource_version)
        with self._lock:
            if self._taking:
                return "this member is just taking the Lease"
            if reason := refusal():
                return reason
            if until <= self._clock():
                return "the question came too late"
            other = self._holder != question.holder
            if other and self._clock() < self._until and version <= self._version:
                return f"this member has promised the same to {self._holder}"
            self._holder, self._version = question.holder, version
            self._until = max(until, self._until)
            return None

    @contextlib.contextmanager
    def taking(self, record: LeaseRecord | None) -> Iterator[None]:
        """Take the Lease inside: nothing is promised meanwhile. Raises PromisedError.

        `record`: the one that is to be replaced. One that its holder has released may be taken in
        spite of a promise, for the promise was to let it hold.
        """
        with self._lock:
            released = record is not None and not record.holder
            if self._clock() < self._until and not released:
                raise PromisedError(f"{self._holder} was promised to go on without the API server")
            self._taking = True
        try:
            yield
        finally:
            with self._lock:
                self._taking = False


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back over HTTP."""

    code: int
    body: bytes | dict[str, Any]
    signature: str | None = None


class Respondent:
    """Answers the failsafe question for one member, from any thread."""

    def __init__(
        self,
        me: Identity,
        seal: Seal,
        promises: Promises,
        *,
        lease: Callable[[], LeaseView | None],
        pods: Callable[[], Sequence[Pod] | None],
        clock: Callable[[], float],
        paused: Callable[[], bool] = lambda: False,
    ) -> None:
        """`lease` and `pods` return the newest that is known. `clock`: monotonic seconds.

        `paused`: nobody takes over now.
        """
        self._me = me
        self._seal = seal
        self._promises = promises
        self._lease = lease
        self._pods = pods
        self._challenges = Challenges(clock)
        self._clock = clock
        self._paused = paused

    def respond(self, body: bytes, signature: str) -> Response:
        """Return 200 or 409 with a signed reply, 401 with a challenge, or what is wrong."""
        if not self._seal.is_mine("question", body, signature):
            return Response(403, {"error": "this question is not signed by a member of the set"})
        try:
            question = Question.decode(body)
        except ValueError as error:
            return Response(400, {"error": f"this is no question: {error}"})
        issued_at = self._challenges.issued_at(question.challenge)
        if issued_at is None:
            return Response(401, {"challenge": self._challenges.issue()})
        reason = self._promises.promise(
            question, issued_at + question.ttl, lambda: self._refusal(question)
        )
        reply = Reply(question.nonce, self._me.name, reason or "").encode()
        return Response(409 if reason else 200, reply, self._seal.sign("answer", reply))

    def _refusal(self, question: Question) -> str | None:
        lease, pods = self._lease(), self._pods() or ()
        refused = refusal(question, self._me, self._seal, lease, pods)
        if refused or self._paused():
            return refused
        now = self._clock()
        return should_give_way(question.holder, question.ttl, self._me, lease, pods, now=now)
