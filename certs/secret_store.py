"""Where the trust is kept: one Secret, written under optimistic concurrency."""

import base64
import binascii
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from certs.authority import Pair
from certs.renewal import Trust
from certs.writes import TIMEOUT, read_again_on_conflict

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
    """One Secret in one namespace."""

    def __init__(self, api: client.CoreV1Api, namespace: str, name: str) -> None:
        """Take the API client and the Secret's place."""
        self._api = api
        self._namespace = namespace
        self._name = name

    def read(self) -> Stored | None:
        """Return what is stored, None if there is no Secret. Raises ApiException."""
        try:
            secret = self._api.read_namespaced_secret(
                self._name, self._namespace, _request_timeout=TIMEOUT
            )
        except ApiException as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        return Stored(_decoded(secret.data or {}), secret.metadata.resource_version)

    def create(self, trust: Trust) -> None:
        """Create the Secret; ReadAgainError if there is one already."""
        with read_again_on_conflict(f"Secret {self._name}"):
            self._api.create_namespaced_secret(
                self._namespace, self._secret(trust, None), _request_timeout=TIMEOUT
            )

    def replace(self, trust: Trust, read: Stored) -> None:
        """Overwrite what was read; ReadAgainError if it has changed or gone since."""
        with read_again_on_conflict(f"Secret {self._name}"):
            self._api.replace_namespaced_secret(
                self._name,
                self._namespace,
                self._secret(trust, read.resource_version),
                _request_timeout=TIMEOUT,
            )

    def _secret(self, trust: Trust, resource_version: str | None) -> client.V1Secret:
        return client.V1Secret(
            metadata=client.V1ObjectMeta(
                name=self._name,
                namespace=self._namespace,
                resource_version=resource_version,
                labels={"app.kubernetes.io/name": "pgset"},
            ),
            type="Opaque",
            data={
                AUTHORITY_CERTIFICATE: _encoded(trust.authority.certificate),
                AUTHORITY_KEY: _encoded(trust.authority.key),
                CERTIFICATE: _encoded(trust.leaf.certificate),
                KEY: _encoded(trust.leaf.key),
            },
        )


def _encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def _decoded(data: dict[str, str]) -> Trust | None:
    try:
        values = [
            base64.b64decode(data[key])
            for key in (AUTHORITY_CERTIFICATE, AUTHORITY_KEY, CERTIFICATE, KEY)
        ]
    except (KeyError, binascii.Error):
        return None
    return Trust(authority=Pair(values[0], values[1]), leaf=Pair(values[2], values[3]))
