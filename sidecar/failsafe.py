"""May a holder go on while the API server is away? The question, the reply, the reasons to refuse.

An API server outage is not a database outage (design §4). A holder that cannot renew asks every
member recorded in the Lease: "I lead; will you leave the Lease alone for a ttl?" Only if all say
yes it stays writable, for a ttl from before it asked. `POST /failsafe` carries the question; what
a yes binds is kept by `sidecar.pledges`.

**Who may ask, and answer.** Question and answer are signed with a key that all members derive from
the superuser's password (`sidecar.keys`), so nobody else in the pod network can stop an election by
asking, or keep an isolated primary alive by answering. Without a password there is no failsafe.

**Replays.** The network is not secret: whoever has seen a question or an answer may send it again.
An old *answer* is of no use, for it repeats the nonce of its question. An old *question* would
extend a pledge to a holder that may be dead by now. Nodes' clocks can't be compared, so a date in
the question would prove nothing, and a list of nonces seen would forget with each restart. Instead
the asked member hands out a challenge, signed by itself with a secret of this process and dated on
its own monotonic clock, and the question has to bring it back within `CHALLENGE_SECONDS`. The
pledge then counts from that date: it begins after the holder began to ask, which is from where
the holder counts, and a question that is repeated extends nothing, as it has the same date.
"""

import dataclasses
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Self

from sidecar.observation import Identity, LeaseRecord, LeaseView, Pod
from sidecar.settings import MAX_TTL

PATH: Final = "/failsafe"
SIGNATURE_HEADER: Final = "Pgset-Signature"
NONCE_HEADER: Final = "Pgset-Nonce"

MAX_BODY: Final = 4096
"""Bytes. A question has under 1000."""

CHALLENGE_SECONDS: Final = 2.0
"""The holder waits 0.45 s for all of it (`sidecar.peers`)."""

UNREADY_PATIENCE: Final = 10.0
"""Seconds for which a holder may stay whose pod is not ready: to have it stopped takes as long."""

LABEL_PATIENCE: Final = 5.0
"""Seconds after a holder's last renewal in which its pod may get the label of the primary."""

MAX_SIGNATURES: Final = 4
"""More than a member makes: by its key and a former one."""

Kind = Literal["question", "answer", "status question", "status answer"]
"""Part of what is signed, so that none can be sent back as the other."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What the members of one set know, and nobody else."""

    set_name: str
    namespace: str
    key: bytes
    """Empty where the set has no password, and then nothing is believed."""
    quick: bytes = b""
    """The key of members up to version 0.2.0, which gives the password away to who can guess it."""
    former: list[bytes] = field(default_factory=list)
    """Keys made of a password that was changed, which other members may still have. Found later."""

    def for_older_members(self) -> Self:
        """Return the seal that members up to version 0.2.0 have."""
        return replace(self, key=self.quick, quick=b"", former=[])

    def sign(self, kind: Kind, body: bytes) -> str:
        """Return the signatures of a body of this kind, one by each key, in hexadecimal digits."""
        return " ".join(self._signatures(kind, body))

    def is_mine(self, kind: Kind, body: bytes, signature: str) -> bool:
        """Tell whether a member of this set has signed that, by one of these keys."""
        mine = self._signatures(kind, body) if self.key else []
        given = signature.encode().split(b" ")[:MAX_SIGNATURES]
        return any(hmac.compare_digest(a.encode(), b) for a in mine for b in given)

    def _signatures(self, kind: Kind, body: bytes) -> list[str]:
        keys = (self.key, *self.former)
        content = kind.encode() + b"\n" + body
        return [hmac.new(key, content, hashlib.sha256).hexdigest() for key in keys]


@dataclass(frozen=True, slots=True)
class Question:
    """What a holder asks one member."""

    set: str
    namespace: str
    holder: str
    """`str(Identity)`, as in the Lease."""
    resource_version: str
    """Of the record that the holder knows."""
    to: str
    """The name of the pod that is asked."""
    nonce: str
    ttl: int
    """Seconds for which the Lease is to be left alone."""
    challenge: str = ""
    """By the asked member; empty in the first try, which is answered with one."""

    def encode(self) -> bytes:
        """Return the body that carries it; `decode` reads it back."""
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read a body. ValueError if it is not a question."""
        question = cls(**_object(body, cls))
        if not 1 <= question.ttl <= MAX_TTL or not question.resource_version.isdecimal():
            raise ValueError("ttl or resource_version is out of range")
        return question


@dataclass(frozen=True, slots=True)
class Reply:
    """What the member says to it."""

    nonce: str
    """The question's."""
    by: str
    """The name of the pod that answers."""
    refusal: str = ""
    """Why not, as a clause; empty for a yes."""

    def encode(self) -> bytes:
        """Return the body that carries it; `decode` reads it back."""
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read a body. ValueError if it is not a reply."""
        return cls(**_object(body, cls))


def _object(body: bytes, kind: type[Question] | type[Reply]) -> dict[str, Any]:
    """Return the fields of `kind` in a JSON object of exactly these, each of its type."""
    content = json.loads(body)
    fields = {field.name: field.type for field in dataclasses.fields(kind)}
    if not isinstance(content, dict) or content.keys() != fields.keys():
        raise ValueError(f"expected an object with {', '.join(fields)}")
    if any(type(content[name]) is not fields[name] for name in fields):
        raise ValueError("a value has another type than expected")
    return content


def status_question(seal: Seal, nonce: str, uid: str, query: str) -> dict[str, str]:
    """Return the header fields by which a member asks the pod of that uid what it has.

    The nonce keeps an older answer from being one to this question.
    """
    signature = seal.sign("status question", f"{nonce} {uid} {query}".encode())
    return {NONCE_HEADER: nonce, SIGNATURE_HEADER: signature}


def status_signature(
    seal: Seal, headers: Mapping[str, str], uid: str, query: str, body: bytes
) -> str | None:
    """Return what the pod of that uid signs its answer with; None where no member has asked.

    `headers`: of the question, by names in lower case. A stranger gets nothing to try guesses on.
    """
    if not is_status_question(seal, headers, uid, query):
        return None
    nonce = headers.get(NONCE_HEADER.lower(), "")
    return seal.sign("status answer", _status_answer(nonce, uid, body))


def is_status_question(seal: Seal, headers: Mapping[str, str], uid: str, query: str) -> bool:
    """Tell whether a member has asked the pod of that uid so; `headers`: by lower-case names."""
    asked = f"{headers.get(NONCE_HEADER.lower(), '')} {uid} {query}".encode()
    return seal.is_mine("status question", asked, headers.get(SIGNATURE_HEADER.lower(), ""))


def is_status_answer(seal: Seal, nonce: str, uid: str, body: bytes, signature: str) -> bool:
    """Tell whether the pod of that uid has answered so, to the question with this nonce.

    Where the set has no password, there is no key, and whoever answers there is believed.
    """
    signed = seal.is_mine("status answer", _status_answer(nonce, uid, body), signature)
    return signed or not seal.key


def _status_answer(nonce: str, uid: str, body: bytes) -> bytes:
    return f"{nonce} {uid}\n".encode() + body


def refusal(
    question: Question, me: Identity, seal: Seal, lease: LeaseView | None, pods: Sequence[Pod]
) -> str | None:
    """Return why this member cannot let the holder stay, as a clause; None if it can.

    A member that does not know the Lease, or knows an older one, may say yes: what it learns later
    does not release it, since the pledge holds by time. `lease` and `pods`: the newest it knows.
    """
    holder, _, uid = question.holder.partition("_")
    record = lease.record if lease else None
    known = record.holder if record else ""
    is_news = record is not None and _number(record.resource_version) >= int(
        question.resource_version
    )
    reasons = (
        (
            (question.set, question.namespace) != (seal.set_name, seal.namespace),
            f"this is a member of set {seal.set_name} in namespace {seal.namespace}",
        ),
        (question.to != me.name, f"this is {me.name}"),
        (
            any(pod.name == me.name and pod.uid != me.uid for pod in pods),
            "another pod has taken this one's place",
        ),
        (holder == me.name, "the holder and this member have the same name"),
        (
            any(pod.name == holder and pod.uid != uid for pod in pods),
            "the holder's pod has been re-created",
        ),
        (known == str(me), "this member holds the Lease itself"),
        (
            is_news and known != question.holder,
            f"a newer version of the Lease names {known or 'nobody'} as its holder",
        ),
        (
            lease is not None and lease.uncertain_take,
            "this member has tried to take the Lease, and does not know whether it did",
        ),
    )
    return next((sentence for holds, sentence in reasons if holds), None)


def should_give_way(
    holder: str,
    ttl: float,
    me: Identity,
    lease: LeaseView | None,
    pods: Sequence[Pod],
    *,
    now: float,
    primary: str,
) -> str | None:
    """Return why this member should lead in place of the holder, which new clients don't reach.

    A clause; None if it can't take over, or would be no better off: if nobody hears the API
    server, or every node is taken for lost, stopping the holder would help nobody.
    `now`: by the clock of `lease` and `pods`. `primary`: the value of the role label.
    """
    pod = next((it for it in pods if it.identity == holder), None)
    mine = next((it for it in pods if it.uid == me.uid), None)
    if pod is None or mine is None or lease is None or lease.record is None:
        return None
    # A live holder renews every quarter of the ttl or sooner, and a member that hears nothing asks.
    hears = now - lease.heard_at < ttl / 2
    # A pod with a role follows the holder, within max-lag.
    follows = mine.role is not None and not mine.deleting and mine.unready_since is None
    if not (hears and follows and _may_lead(me, lease.record)):
        return None
    if pod.deleting:
        return "the holder's pod is being deleted, which it may not have heard"
    if pod.unready_since is not None and now - pod.unready_since >= UNREADY_PATIENCE:
        return "the holder's pod is not ready, so new clients don't reach it"
    if pod.role != primary and now - lease.changed_at > LABEL_PATIENCE:
        return "the holder's pod does not have the primary's label, so new clients don't reach it"
    return None


def reason_to_refuse(
    question: Question,
    me: Identity,
    seal: Seal,
    lease: LeaseView | None,
    pods: Sequence[Pod],
    *,
    now: float,
    primary: str,
    nobody_takes_over: bool,
) -> str | None:
    """Return why the holder does not get the pledge, as a clause; None if it does.

    `primary`: the value of the role label. `nobody_takes_over`: the set is paused, or was opted
    out.
    """
    refused = refusal(question, me, seal, lease, pods)
    if refused or nobody_takes_over:
        return refused
    return should_give_way(question.holder, question.ttl, me, lease, pods, now=now, primary=primary)


def _may_lead(me: Identity, record: LeaseRecord) -> bool:
    known = not record.lives or str(me) in record.lives
    return known and me.name in record.members and (not record.voters or me.name in record.voters)


def _number(resource_version: str) -> int:
    """Return a number that grows; versions of one resource type may be compared so (KEP-5504)."""
    return int(resource_version) if resource_version.isdecimal() else 0


class Challenges:
    """Proofs that a question was asked just now, without remembering any."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: monotonic seconds."""
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def issue(self) -> str:
        """Return a new one."""
        date = self._clock().hex()
        return f"{date}/{self._sign(date)}"

    def issued_at(self, challenge: str) -> float | None:
        """Return when this process issued it; None if it did not, or too long ago."""
        date, _, signature = challenge.partition("/")
        if not hmac.compare_digest(self._sign(date).encode(), signature.encode()):
            return None
        issued_at = float.fromhex(date)
        return issued_at if self._clock() - issued_at <= CHALLENGE_SECONDS else None

    def _sign(self, date: str) -> str:
        return hmac.new(self._key, date.encode(), hashlib.sha256).hexdigest()
