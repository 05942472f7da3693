"""The other members' sidecars: what each says of its data, and whether it lets a holder stay.

`GET /status` is for the first, `POST /failsafe` for the second. All are asked at the same time, and
nobody waits for one that is silent. Both are signed in both directions, with a nonce; an answer
that is not, or that answers another question, is none. Pods made by version 0.2.0 or before, as the
API server shows them, don't sign their status: as long as there are any, they are believed.
"""

import concurrent.futures
import json
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Final, TypeVar

from sidecar import http_client
from sidecar.clock import now
from sidecar.contract import SIDECAR_PORT
from sidecar.failsafe import (
    PATH,
    SIGNATURE_HEADER,
    Question,
    Reply,
    Seal,
    is_status_answer,
    status_question,
)
from sidecar.http_client import Request, Timeouts
from sidecar.memory.status import read_peer
from sidecar.observation import Identity, LeaseRecord, Peer, Pod
from sidecar.workers import Workers

SECONDS: Final = 0.6
"""For all answers: within a pod network each takes milliseconds, and a leader is waited for."""
STAY_SECONDS: Final = 0.45
"""For all answers to whether a holder may stay: it commits meanwhile, and may be cut off."""

_AT_ONCE: Final = 32
"""More than any set has members: a silent one must not keep the others from being asked."""

_MAX_ANSWER: Final = 262144
"""Bytes. A member's account has a few kB; an address may have passed to anybody by now."""

_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")
_ERRORS: Final = (*http_client.ERRORS, KeyError, TypeError, RecursionError)
"""What asking ends with where nobody answers, or somebody who is no sidecar."""


class Peers:
    """Asks the other members, all together and with a deadline."""

    heard_at = float("-inf")
    """When any of them answered last, be it with a no."""

    def __init__(
        self,
        me: Identity,
        *,
        seal: Seal | None = None,
        ttl: int = 0,
        clock: Callable[[], float] = now,
        port: int = SIDECAR_PORT,
        seconds: float = SECONDS,
        stay_seconds: float = STAY_SECONDS,
    ) -> None:
        """`me` is not asked. `ttl`: seconds for which a holder asks to stay, signing by `seal`."""
        self._me = me
        self._seal = seal
        self._ttl = ttl
        self._clock = clock
        self._port = port
        self._seconds = seconds
        self._stay_seconds = stay_seconds
        self._workers = Workers("peer", _AT_ONCE, most_waiting=_AT_ONCE)

    def start(self) -> None:
        """Start the threads that ask, once: with the process."""
        self._workers.start()

    def ask(self, pods: Sequence[Pod], *, fresh: bool = False) -> dict[str, Peer]:
        """Return the answers by pod name; who does not answer in time is left out.

        `fresh`: each first looks at its PostgreSQL anew, and does not tell what it saw up to a
        second ago.
        """
        asked = [pod for pod in pods if pod.name != self._me.name and pod.ip is not None]
        answers = self._of_all(lambda pod: self._ask_one(pod, fresh=fresh), asked, self._seconds)
        return {peer.name: peer for peer in answers if peer is not None}

    def ask_to_stay(self, pods: Sequence[Pod], members: Iterable[str], record: LeaseRecord) -> bool:
        """Tell whether all these members leave the Lease to this holder, for a ttl from before now.

        `pods`: the last that were known; a member that is not among them can't be asked, and so
        has not said yes. `record`: the newest, which names this pod as its holder.
        """
        if self._seal is None:
            return False
        seal, others = self._seal, set(members) - {self._me.name}
        asked = [pod for pod in pods if pod.name in others and pod.ip is not None]
        answers = self._of_all(
            lambda pod: self._ask_one_to_stay(pod, record, seal), asked, self._stay_seconds
        )
        # Two pods of one name can't be, but they would not make up for one that is missing.
        return {pod.name for pod in asked} == others and answers == [True] * len(asked)

    def _of_all(
        self, ask: Callable[[Pod], _Answer], pods: Sequence[Pod], seconds: float
    ) -> list[_Answer]:
        """Return what came in time; the order tells nothing."""
        self.start()
        answers = [self._begin(ask, pod) for pod in pods]
        in_time, late = concurrent.futures.wait(answers, timeout=seconds)
        for answer in late:
            answer.cancel()
        return [answer.result() for answer in in_time if answer.exception() is None]

    def _begin(self, ask: Callable[[Pod], _Answer], pod: Pod) -> "Future[_Answer]":
        """Let a thread ask; where they all wait for silent ones, the answer does not come."""
        answer: Future[_Answer] = Future()

        def work() -> None:
            if not answer.set_running_or_notify_cancel():
                return
            try:
                answer.set_result(ask(pod))
            except Exception as error:
                answer.set_exception(error)
                _log.warning("%s could not be asked: %r", pod.name, error)

        if not self._workers.take(work):
            answer.set_exception(TimeoutError("too many are being asked"))
        return answer

    def _ask_one(self, pod: Pod, *, fresh: bool) -> Peer | None:
        query = "fresh=1" if fresh else ""
        seal = self._seal if pod.signs else None
        nonce = secrets.token_hex(16)
        try:
            path = f"/status?{query}" if query else "/status"
            headers = {} if seal is None else status_question(seal, nonce, pod.uid, query)
            told, signature = self._send(pod, Request("GET", path, headers))
            if seal is not None and not is_status_answer(seal, nonce, pod.uid, told, signature):
                return None
            status = json.loads(told)["pgset"]
            # An address may have passed to another pod by now.
            if status["uid"] != pod.uid:
                return None
            self.heard_at = self._clock()
            return read_peer(pod.name, status)
        except _ERRORS:
            return None

    def _ask_one_to_stay(self, pod: Pod, record: LeaseRecord, seal: Seal) -> bool:
        question = Question(
            set=seal.set_name,
            namespace=seal.namespace,
            holder=record.holder,
            resource_version=record.resource_version,
            to=pod.name,
            nonce=secrets.token_hex(16),
            ttl=self._ttl,
        )
        if not pod.signs:
            seal = seal.for_older_members()
        try:
            challenged, _ = self._post(pod, question, seal)
            challenge = json.loads(challenged)["challenge"]
            told, signature = self._post(pod, replace(question, challenge=challenge), seal)
            if not seal.is_mine("answer", told, signature):
                return False
            reply = Reply.decode(told)
        except _ERRORS:
            return False
        if (reply.nonce, reply.by) != (question.nonce, pod.name):
            return False
        self.heard_at = self._clock()
        return not reply.refusal

    def _post(self, pod: Pod, question: Question, seal: Seal) -> tuple[bytes, str]:
        body = question.encode()
        headers = {
            SIGNATURE_HEADER: seal.sign("question", body),
            "Content-Type": "application/json",
        }
        return self._send(pod, Request("POST", PATH, headers, body))

    def _send(self, pod: Pod, asked: Request) -> tuple[bytes, str]:
        """Return the body and its signature; ValueError where it is larger than a sidecar's."""
        host = f"[{pod.ip}]" if ":" in (pod.ip or "") else pod.ip
        server = http_client.Server(f"http://{host}:{self._port}")
        timeouts = Timeouts(self._seconds, self._seconds, self._seconds)
        # One request to a connection: the sidecar's server closes it.
        with server.stream(asked, timeouts, one_deadline=True) as response:
            told = response.read(_MAX_ANSWER + 1)
            if len(told) > _MAX_ANSWER:
                raise ValueError(f"an answer has at most {_MAX_ANSWER} bytes")
            return told, response.headers.get(SIGNATURE_HEADER, "")
