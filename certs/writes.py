"""What every write to the API server has in common: a time limit, and bound to what was read."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from kubernetes.client.exceptions import ApiException

TIMEOUT: Final = (3.0, 10.0)
"""To connect and to read, in seconds; reads have the same."""


class ReadAgainError(Exception):
    """Somebody else wrote first: read again, and decide again."""


@contextmanager
def read_again_on_conflict(what: str) -> Iterator[None]:
    """Raise ReadAgainError where `what`, such as "Secret pgset-webhook-tls", is not as it was read.

    409 is both AlreadyExists and Conflict; 404 is an object deleted before its update.
    """
    try:
        yield
    except ApiException as error:
        if error.status in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
            raise ReadAgainError(f"{what} has changed since it was read: {error.reason}") from error
        raise
