"""What this member has pledged to a holder, kept against its own wish to take the Lease.

`sidecar.memory.pledge` with a lock, and in front of HTTP.
"""

import contextlib
import ipaddress
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sidecar.failsafe import (
    NONCE_HEADER,
    Challenges,
    Kind,
    Question,
    Reply,
    Seal,
    is_status_question,
    reason_to_refuse,
    status_signature,
)
from sidecar.memory.pledge import Pledge
from sidecar.observation import Identity, LeaseView, Pod

_REMEMBERED: Final = 4096
"""Nonces: what the members of a set ask in minutes of trouble. Each takes some 100 bytes."""


class PledgedError(Exception):
    """The Lease may not be taken yet. The message is for the log."""


class Pledges:
    """The pledge in force, and the lock between pledging and taking. Safe from any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: monotonic seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._pledge = Pledge()

    def until(self) -> float | None:
        """Return until when a Lease that was not released must be left alone; None if no more."""
        return self._pledge.until(self._clock())

    def give(
        self, question: Question, until: float, refusal: Callable[[], str | None]
    ) -> str | None:
        """Pledge it, or return why not. `refusal` is asked while no take can begin."""
        version = int(question.resource_version)
        with self._lock:
            return self._pledge.give(question.holder, version, until, refusal, self._clock())

    @contextlib.contextmanager
    def taking(self, lease: LeaseView | None) -> Iterator[None]:
        """Take the Lease inside: nothing is pledged meanwhile. Raises PledgedError.

        `lease`: the one that is to be replaced.
        """
        with self._lock:
            reason = self._pledge.begin_to_take(lease, self._clock())
            if reason is not None:
                raise PledgedError(reason)
        try:
            yield
        finally:
            with self._lock:
                self._pledge.end_of_take()


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
        pledges: Pledges,
        *,
        lease: Callable[[], LeaseView | None],
        pods: Callable[[], Sequence[Pod] | None],
        clock: Callable[[], float],
        primary: str,
        paused: Callable[[], bool] = lambda: False,
    ) -> None:
        """`lease` and `pods` return the newest that is known. `clock`: monotonic seconds.

        `primary`: the value of the role label. `paused`: nobody takes over now.
        """
        self._me = me
        self._seal = seal
        self._pledges = pledges
        self._lease = lease
        self._pods = pods
        self._challenges = Challenges(clock)
        self._clock = clock
        self._primary = primary
        self._paused = paused
        self._asked: dict[str, None] = {}
        """The nonces of members' last questions for the status, the oldest first."""

    def respond(self, body: bytes, signature: str) -> Response:
        """Return 200 or 409 with a signed reply, 401 with a challenge, or what is wrong."""
        seal = self._seal_of("question", body, signature)
        if seal is None:
            return Response(403, {"error": "this question is not signed by a member of the set"})
        try:
            question = Question.decode(body)
        except ValueError as error:
            return Response(400, {"error": f"this is not a question: {error}"})
        issued_at = self._challenges.issued_at(question.challenge)
        if issued_at is None:
            return Response(401, {"challenge": self._challenges.issue()})
        reason = self._pledges.give(
            question, issued_at + question.ttl, lambda: self._refusal(question)
        )
        reply = Reply(question.nonce, self._me.name, reason or "").encode()
        return Response(409 if reason else 200, reply, seal.sign("answer", reply))

    def is_signed(self, body: bytes, signature: str) -> bool:
        """Tell whether a member of the set has signed that question."""
        return self._seal_of("question", body, signature) is not None

    def is_asked_by_a_member(self, headers: Mapping[str, str], query: str) -> bool:
        """Tell whether a member has signed its question for the status, and asks it for the first
        time: who has seen it pass may send it again, by the thousand. From one thread."""
        if not is_status_question(self._seal, headers, self._me.uid, query):
            return False
        nonce = headers.get(NONCE_HEADER.lower(), "")
        if nonce in self._asked:
            return False
        self._asked[nonce] = None
        if len(self._asked) > _REMEMBERED:
            del self._asked[next(iter(self._asked))]
        return True

    def is_a_members(self, address: str) -> bool:
        """Tell whether there is a pod of the set at the address, or may be: that is not known."""
        pods = self._pods()
        return pods is None or _plain(address) in {_plain(pod.ip) for pod in pods if pod.ip}

    def sign_status(self, headers: Mapping[str, str], query: str, body: bytes) -> str | None:
        """Return the signature of this member's status; None for who is no member of the set."""
        return status_signature(self._seal, headers, self._me.uid, query, body)

    def _seal_of(self, kind: Kind, body: bytes, signature: str) -> Seal | None:
        """Return the seal by which a member has signed that, None if nobody has.

        The quick key counts, and is used, only as long as there is a pod that has no other, or may
        be: while the pods are not known, a holder of version 0.2.0 would have to stop without need.
        """
        pods = self._pods()
        older = pods is None or any(not pod.signs for pod in pods)
        seals = (self._seal, *((self._seal.for_older_members(),) if older else ()))
        return next((it for it in seals if it.is_mine(kind, body, signature)), None)

    def _refusal(self, question: Question) -> str | None:
        return reason_to_refuse(
            question,
            self._me,
            self._seal,
            self._lease(),
            self._pods() or (),
            now=self._clock(),
            primary=self._primary,
            nobody_takes_over=self._paused(),
        )


def _plain(address: str) -> object:
    """Return an address as it compares: a socket of both families has IPv4 mapped into IPv6."""
    try:
        read = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(read, "ipv4_mapped", None) or read
