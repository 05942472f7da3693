"""One Secret in one namespace, read and written under optimistic concurrency."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from certs.writes import TIMEOUT, read_again_on_conflict


class Secret:
    """The Secret, whatever is in it."""

    def __init__(self, api: client.CoreV1Api, namespace: str, name: str, kind: str) -> None:
        """Take the API client, the Secret's place and its type."""
        self._api = api
        self._namespace = namespace
        self._name = name
        self._kind = kind

    def read(self) -> client.V1Secret | None:
        """Return it, None if there is none. Raises ApiException."""
        try:
            return self._api.read_namespaced_secret(
                self._name, self._namespace, _request_timeout=TIMEOUT
            )
        except ApiException as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def create(self, content: Mapping[str, bytes]) -> None:
        """Create it; ReadAgainError if there is one already."""
        with read_again_on_conflict(f"Secret {self._name}"):
            self._api.create_namespaced_secret(
                self._namespace, self._made_of(content, None), _request_timeout=TIMEOUT
            )

    def replace(self, content: Mapping[str, bytes], resource_version: str) -> None:
        """Overwrite what was read; ReadAgainError if it has changed or gone since."""
        with read_again_on_conflict(f"Secret {self._name}"):
            self._api.replace_namespaced_secret(
                self._name,
                self._namespace,
                self._made_of(content, resource_version),
                _request_timeout=TIMEOUT,
            )

    def _made_of(
        self, content: Mapping[str, bytes], resource_version: str | None
    ) -> client.V1Secret:
        return client.V1Secret(
            metadata=client.V1ObjectMeta(
                name=self._name,
                namespace=self._namespace,
                resource_version=resource_version,
                labels={"app.kubernetes.io/name": "pgset", "app.kubernetes.io/part-of": "pgset"},
            ),
            type=self._kind,
            data={key: base64.b64encode(value).decode() for key, value in content.items()},
        )


def decoded(data: Mapping[str, str], keys: Sequence[str]) -> list[bytes] | None:
    """Return the values under these keys; None where one is missing or isn't base64."""
    try:
        return [base64.b64decode(data[key]) for key in keys]
    except (KeyError, binascii.Error):
        return None
