"""Which CAs the API server trusts: the `caBundle` of every webhook in one configuration."""

import base64
import binascii
from dataclasses import dataclass
from http import HTTPStatus

from cryptography.hazmat.primitives.serialization import Encoding
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from certs.authority import made_at
from certs.rotation import Authorities, authorities_in
from certs.writes import TIMEOUT, read_again_on_conflict


@dataclass(frozen=True, slots=True)
class Registered:
    """The caBundles as they were read, by the name of their webhook."""

    bundles: dict[str, Authorities]
    resource_version: str


class Registrations:
    """One MutatingWebhookConfiguration."""

    def __init__(self, api: client.AdmissionregistrationV1Api, configuration: str) -> None:
        """Take the API client and the configuration's name."""
        self._api = api
        self._configuration = configuration

    def read(self) -> Registered | None:
        """Return what is registered, None if nothing is. Raises ApiException."""
        try:
            present = self._api.read_mutating_webhook_configuration(
                self._configuration, _request_timeout=TIMEOUT
            )
        except ApiException as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        bundles = {webhook.name: _bundle(webhook) for webhook in present.webhooks or []}
        return Registered(bundles, present.metadata.resource_version)

    def publish(self, authorities: Authorities, read: Registered) -> None:
        """Make every caBundle that was read hold these CAs; ReadAgainError if it has changed."""
        bundle = base64.b64encode(pem(authorities)).decode()
        body = {
            "metadata": {"resourceVersion": read.resource_version},
            "webhooks": [
                {"name": name, "clientConfig": {"caBundle": bundle}}
                for name, present in read.bundles.items()
                if present != authorities
            ],
        }
        # The client sends an object as a strategic merge patch, which merges `webhooks` by
        # name and leaves their other fields whatever they have become.
        with read_again_on_conflict(f"MutatingWebhookConfiguration {self._configuration}"):
            self._api.patch_mutating_webhook_configuration(
                self._configuration, body, _request_timeout=TIMEOUT
            )


def _bundle(webhook: client.V1MutatingWebhook) -> Authorities:
    try:
        return authorities_in(base64.b64decode(webhook.client_config.ca_bundle or ""))
    except binascii.Error:
        return frozenset()


def pem(authorities: Authorities) -> bytes:
    """Return the CAs, newest first, so that a person who looks sees which one comes next."""
    newest_first = sorted(authorities, key=made_at, reverse=True)
    return b"".join(it.public_bytes(Encoding.PEM) for it in newest_first)
