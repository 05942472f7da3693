"""Makes the registrations trust the CA: `caBundle` of every webhook in one configuration."""

import base64
from http import HTTPStatus
from typing import Final

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from certs.secret_store import ReadAgainError

TIMEOUT: Final = (3.0, 10.0)
"""To connect and to read, in seconds."""


class NotRegisteredError(Exception):
    """Go on and look again later: the configuration isn't there."""


def publish(
    api: client.AdmissionregistrationV1Api, configuration: str, authority: bytes
) -> list[str]:
    """Write the CA's PEM into every webhook of a MutatingWebhookConfiguration that lacks it.

    Returns the names of the webhooks that were changed. Raises NotRegisteredError where there
    is no such configuration, ReadAgainError where it changed meanwhile, ApiException otherwise.
    """
    present = _read(api, configuration)
    bundle = base64.b64encode(authority).decode()
    lacking = [webhook.name for webhook in present.webhooks or [] if not _trusts(webhook, bundle)]
    if lacking:
        version = present.metadata.resource_version
        _patch(api, configuration, _patch_body(lacking, bundle, version))
    return lacking


def _trusts(webhook: client.V1MutatingWebhook, bundle: str) -> bool:
    return bool(webhook.client_config.ca_bundle == bundle)


def _patch_body(names: list[str], bundle: str, resource_version: str) -> dict[str, object]:
    return {
        "metadata": {"resourceVersion": resource_version},
        "webhooks": [{"name": name, "clientConfig": {"caBundle": bundle}} for name in names],
    }


def _read(
    api: client.AdmissionregistrationV1Api, configuration: str
) -> client.V1MutatingWebhookConfiguration:
    try:
        return api.read_mutating_webhook_configuration(configuration, _request_timeout=TIMEOUT)
    except ApiException as error:
        if error.status == HTTPStatus.NOT_FOUND:
            raise NotRegisteredError(
                f"there is no MutatingWebhookConfiguration {configuration} yet"
            ) from error
        raise


def _patch(
    api: client.AdmissionregistrationV1Api, configuration: str, body: dict[str, object]
) -> None:
    # The client sends an object as a strategic merge patch, which merges `webhooks` by name
    # and leaves their other fields whatever they have become.
    try:
        api.patch_mutating_webhook_configuration(configuration, body, _request_timeout=TIMEOUT)
    except ApiException as error:
        if error.status in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
            raise ReadAgainError(
                f"MutatingWebhookConfiguration {configuration} changed meanwhile"
            ) from error
        raise
