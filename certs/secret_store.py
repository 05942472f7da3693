"""Where the trust is kept: one Secret, written under optimistic concurrency."""

from dataclasses import dataclass
from typing import Final

from kubernetes import client

from certs.authority import Pair
from certs.renewal import Trust
from certs.secret import Secret, decoded

AUTHORITY_CERTIFICATE: Final = "ca.crt"
AUTHORITY_KEY: Final = "ca.key"
CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
"""The Secret's keys; those of a `kubernetes.io/tls` Secret, and the CA's beside them."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The Secret as it was read."""

    trust: Trust | None
    """None where a key is missing or isn't base64."""
    resource_version: str


class SecretStore:
    """The Secret of the trust."""

    def __init__(self, api: client.CoreV1Api, namespace: str, name: str) -> None:
        """Take the API client and the Secret's place."""
        self._secret = Secret(api, namespace, name, "Opaque")

    def read(self) -> Stored | None:
        """Return what is stored, None if there is no Secret. Raises ApiException."""
        secret = self._secret.read()
        if secret is None:
            return None
        return Stored(_trust(secret.data or {}), secret.metadata.resource_version)

    def create(self, trust: Trust) -> None:
        """Create the Secret; ReadAgainError if there is one already."""
        self._secret.create(_content(trust))

    def replace(self, trust: Trust, read: Stored) -> None:
        """Overwrite what was read; ReadAgainError if it has changed or gone since."""
        self._secret.replace(_content(trust), read.resource_version)


def _content(trust: Trust) -> dict[str, bytes]:
    return {
        AUTHORITY_CERTIFICATE: trust.authority.certificate,
        AUTHORITY_KEY: trust.authority.key,
        CERTIFICATE: trust.leaf.certificate,
        KEY: trust.leaf.key,
    }


def _trust(data: dict[str, str]) -> Trust | None:
    values = decoded(data, (AUTHORITY_CERTIFICATE, AUTHORITY_KEY, CERTIFICATE, KEY))
    if values is None:
        return None
    return Trust(authority=Pair(values[0], values[1]), leaf=Pair(values[2], values[3]))
