"""What the webhook serves: a Secret that the kubelets bring into its pods.

Not the one that the trust is kept in, which holds the CA's key. Its type and keys are those that
cert-manager writes, so that either may take it over from the other.
"""

import base64
import binascii
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from certs.authority import Pair
from certs.renewal import Trust
from certs.rotation import Served
from certs.writes import TIMEOUT, read_again_on_conflict

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
    """One Secret in one namespace."""

    def __init__(self, api: client.CoreV1Api, namespace: str, name: str) -> None:
        """Take the API client and the Secret's place."""
        self._api = api
        self._namespace = namespace
        self._name = name

    def read(self) -> Serving | None:
        """Return what is served, None if there is no Secret. Raises ApiException."""
        try:
            secret = self._api.read_namespaced_secret(
                self._name, self._namespace, _request_timeout=TIMEOUT
            )
        except ApiException as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        return Serving(_decoded(secret.data or {}), secret.metadata.resource_version)

    def write(self, trust: Trust, read: Serving | None) -> None:
        """Have the trust served; ReadAgainError if the Secret has changed since it was read."""
        with read_again_on_conflict(f"Secret {self._name}"):
            if read is None:
                self._api.create_namespaced_secret(
                    self._namespace, self._secret(trust, None), _request_timeout=TIMEOUT
                )
            else:
                self._api.replace_namespaced_secret(
                    self._name,
                    self._namespace,
                    self._secret(trust, read.resource_version),
                    _request_timeout=TIMEOUT,
                )

    def _secret(self, trust: Trust, resource_version: str | None) -> client.V1Secret:
        content = {
            AUTHORITY_CERTIFICATE: trust.authority.certificate,
            CERTIFICATE: trust.leaf.certificate,
            KEY: trust.leaf.key,
        }
        return client.V1Secret(
            metadata=client.V1ObjectMeta(
                name=self._name,
                namespace=self._namespace,
                resource_version=resource_version,
                labels={"app.kubernetes.io/name": "pgset"},
            ),
            type="kubernetes.io/tls",
            data={key: base64.b64encode(value).decode() for key, value in content.items()},
        )


def _decoded(data: dict[str, str]) -> Served | None:
    try:
        certificate, key = (base64.b64decode(data[it]) for it in (CERTIFICATE, KEY))
        authority = base64.b64decode(data.get(AUTHORITY_CERTIFICATE, ""))
    except (KeyError, binascii.Error):
        return None
    return Served(authority, Pair(certificate, key)) if certificate and key else None
