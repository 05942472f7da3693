"""What the members of a set share and nobody else knows, made of the superuser's password.

Two secrets: the replication role's password, and the key of the seal by which members believe each
other. Both can be tested by who sees what is signed by them, and so could guesses at the password
that they are made of. Hence scrypt: a guess costs 16 MiB and some 50 ms, where up to version 0.2.0
it was one HMAC. It is paid once, when the sidecar starts.

**During an update** members of version 0.2.0 know the quick secrets alone. As long as the API
server shows a pod of theirs, the primary gives the role the quick password, and they are asked and
answered by the quick key; a member of this version never uses that key for a pod of this version.
A standby finds out by itself which password the primary takes (`sidecar.postgres.way_in`), so it
does not matter who leads. When the last old pod is gone, only the slow secrets are used: a standby
that has to log in then waits until the primary has given the role the slow password.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.failsafe import Seal
from sidecar.observation import Pod

_LINE: Final = re.compile(r"([0-9a-f]{64}) ([0-9a-f]{64})")

_N: Final = 2**14
_R: Final = 8
"""scrypt's cost (RFC 7914): 128 * N * R bytes are 16 MiB, of the 128 that the sidecar may have."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What is made of one password in one way."""

    replication: str
    """The replication role's password."""
    seal: bytes

    def encode(self) -> str:
        """Return the line that keeps it; `decode` reads it back."""
        return f"{self.replication} {self.seal.hex()}"

    @classmethod
    def decode(cls, line: str) -> "Secret | None":
        """Read a line; None where it is none of ours."""
        match = _LINE.fullmatch(line)
        return cls(match[1], bytes.fromhex(match[2])) if match else None


def slow(password: str, namespace: str, set_name: str) -> Secret:
    """Return the secrets of this version, after some 50 ms."""
    salt = f"pgset {namespace}/{set_name}".encode()
    master = hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=1, dklen=32)
    return Secret(_hmac(master, "replication").hex(), _hmac(master, "seal"))


def quick(password: str, namespace: str, set_name: str) -> Secret:
    """Return the secrets as versions up to 0.2.0 make them."""
    key = password.encode()
    replication = _hmac(key, f"pgset replication {set_name}").hex()
    return Secret(replication, _hmac(key, f"pgset failsafe {namespace}/{set_name}"))


class Keys:
    """The secrets of one set, as one member knows them.

    While a changed password reaches the pods one by one, a member that has the new one goes on by
    what its former pod had as well, which is on its volume: else it would neither stream nor be
    heard until the others have been rolled.
    """

    def __init__(self, password: str, namespace: str, set_name: str, *, pod_uid: str) -> None:
        """Derive them. Of no password nothing is made: anybody could. `pod_uid`: this member's."""
        self._pod_uid = pod_uid
        made = (password, namespace, set_name)
        self._slow: Secret | None = slow(*made) if password else None
        self._quick: Secret | None = quick(*made) if password else None
        self._former: list[Secret] = []
        self.has_learned = False
        """It is known what is kept on the volume."""
        self._seal = Seal(set_name, namespace, key=b"")
        if self._slow is not None and self._quick is not None:
            self._seal = Seal(set_name, namespace, key=self._slow.seal, quick=self._quick.seal)

    def seal(self) -> Seal:
        """Return what signs, and knows who has signed; without a password, nobody has."""
        return self._seal

    def lines_to_keep(self, kept: Sequence[str]) -> list[str]:
        """Return what to keep on the volume from now on, where `kept` was until now.

        The pod's UID, the present secrets, and what this pod's predecessor had if that was
        something else: so a former password counts in the first pod that has the new one, however
        often PostgreSQL is started in it, and in no later one.
        """
        if self._slow is None:
            return []
        mine = [self._pod_uid, self._slow.encode()]
        former = kept[2:] if list(kept[:2]) == mine else [it for it in kept[1:2] if it not in mine]
        return [*mine, *former]

    def learn(self, kept: Sequence[str]) -> None:
        """Take over the former secrets that are kept on the volume, and forget all others.

        `kept`: as the predecessor left it, or as this pod has written it.
        """
        self.has_learned = True
        if self._slow is None:
            return
        found = (Secret.decode(line) for line in self.lines_to_keep(kept))
        self._former = [it for it in found if it is not None and it != self._slow]
        self._seal.former[:] = [secret.seal for secret in self._former]

    def replication_password(self, pods: Iterable[Pod] | None) -> str | None:
        """Return what the role's password has to be while the set has these pods.

        None where there is no superuser's password. `pods`: None while they are not known.
        """
        if self._slow is None or self._quick is None:
            return None
        updated = all(pod.signs for pod in pods or ())
        return (self._slow if updated else self._quick).replication

    def replication_passwords(self, pods: Iterable[Pod] | None) -> tuple[str, ...]:
        """Return all that a primary may ask for, the likeliest first.

        The quick one only while a pod is known that has no other: whom it is given can guess.
        """
        likeliest = self.replication_password(pods)
        if likeliest is None or self._slow is None:
            return ()
        others = (self._slow, *self._former)
        return tuple(dict.fromkeys((likeliest, *(secret.replication for secret in others))))


def _hmac(key: bytes, label: str) -> bytes:
    return hmac.new(key, label.encode(), hashlib.sha256).digest()
