"""What the members of a set share and nobody else knows, made of the superuser's password.

Two secrets: the replication role's password, and the key of the seal by which members believe each
other. Both can be tested by who sees what is signed by them, and so could guesses at the password
that they are made of. Hence scrypt: a guess costs 16 MiB and some 50 ms, where up to version 0.2.0
it was one HMAC. It is paid once, when the sidecar starts.

**During an update** members of version 0.2.0 know the quick secrets alone. As long as the API
server shows a pod of theirs, the primary gives the role the quick password, and they are asked and
answered by the quick key; a member of this version never uses that key for a pod of this version.
A standby finds out by itself which password the primary takes (`sidecar.postgres.way_in`), so it
does not matter who leads. When the last old pod is gone, only the slow secrets are used.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sidecar.failsafe import Seal
from sidecar.observation import Pod

_N: Final = 2**14
_R: Final = 8
"""scrypt's cost (RFC 7914): 128 * N * R bytes are 16 MiB, of the 128 that the sidecar may have."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What is made of one password in one way."""

    replication: str
    """The replication role's password."""
    seal: bytes


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
    """The secrets of one set, as one member knows them."""

    def __init__(self, password: str, namespace: str, set_name: str) -> None:
        """Derive them. Of no password nothing is made: anybody could."""
        self._set = (set_name, namespace)
        made = (password, namespace, set_name)
        self._slow: Secret | None = slow(*made) if password else None
        self._quick: Secret | None = quick(*made) if password else None

    def seal(self) -> Seal:
        """Return what signs, and knows who has signed; without a password, nobody has."""
        if self._slow is None or self._quick is None:
            return Seal(*self._set, key=b"")
        return Seal(*self._set, key=self._slow.seal, quick=self._quick.seal)

    def replication_password(self, pods: Iterable[Pod] | None) -> str | None:
        """Return what the role's password has to be while the set has these pods.

        None where there is no superuser's password. `pods`: None while they are not known.
        """
        if self._slow is None or self._quick is None:
            return None
        updated = all(pod.signs for pod in pods or ())
        return (self._slow if updated else self._quick).replication

    def replication_passwords(self, pods: Iterable[Pod] | None) -> tuple[str, ...]:
        """Return all that a primary may ask for, the likeliest first."""
        likeliest = self.replication_password(pods)
        if likeliest is None or self._slow is None or self._quick is None:
            return ()
        return tuple(
            dict.fromkeys((likeliest, self._slow.replication, self._quick.replication)),
        )


def _hmac(key: bytes, label: str) -> bytes:
    return hmac.new(key, label.encode(), hashlib.sha256).digest()
