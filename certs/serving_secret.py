"""What the webhook serves: a Secret that the kubelets bring into its pods.

Not the one that the trust is kept in, which holds the CA's key. Its type and keys are those that
cert-manager writes, so that either may take it over from the other.
"""

from dataclasses import dataclass
from typing import Final

from kubernetes import client

from certs.authority import Pair
from certs.renewal import Trust
from certs.rotation import Served
from certs.secret import Secret, decoded

AUTHORITY_CERTIFICATE: Final = "ca.crt"
CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
"""The Secret's keys, and the files in the webhook's pods."""


@dataclass(frozen=True, slots=True)
class Serving:
    """The Secret as it was read."""

    served: Served | None
    """None where certificate or key is missing or isn't base64."""
    resource_version: str


class ServingSecret:
    """The Secret of what is served."""

    def __init__(self, api: client.CoreV1Api, namespace: str, name: str) -> None:
        """Take the API client and the Secret's place."""
        self._secret = Secret(api, namespace, name, "kubernetes.io/tls")

    def read(self) -> Serving | None:
        """Return what is served, None if there is no Secret. Raises ApiException."""
        secret = self._secret.read()
        if secret is None:
            return None
        return Serving(_served(secret.data or {}), secret.metadata.resource_version)

    def write(self, trust: Trust, read: Serving | None) -> None:
        """Have the trust served; ReadAgainError if the Secret has changed since it was read."""
        content = {
            AUTHORITY_CERTIFICATE: trust.authority.certificate,
            CERTIFICATE: trust.leaf.certificate,
            KEY: trust.leaf.key,
        }
        if read is None:
            self._secret.create(content)
        else:
            self._secret.replace(content, read.resource_version)


def _served(data: dict[str, str]) -> Served | None:
    values = decoded({AUTHORITY_CERTIFICATE: "", **data}, (AUTHORITY_CERTIFICATE, CERTIFICATE, KEY))
    if values is None:
        return None
    authority, certificate, key = values
    return Served(authority, Pair(certificate, key)) if certificate and key else None
