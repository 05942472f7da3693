"""The primary as a member that has no data yet sees it: through its Service, before a clone."""

from typing import Final

import psycopg
from psycopg.pq import ExecStatus

from sidecar.postgres.configuration import conninfo

_SYSTEM_IDENTIFIER_COLUMN: Final = 0


class UpstreamError(Exception):
    """The primary cannot be cloned now; the message says why, in the server's own words."""


def identify(parameters: dict[str, str], password: str) -> str:
    """Return the system identifier of the server behind these libpq parameters.

    By the replication protocol and role, so that what stops a clone is met here, where it can be
    told to the operator, and not in the log of an init container. Raises UpstreamError.
    """
    target = conninfo(parameters | {"password": password, "replication": "true"})
    try:
        with psycopg.connect(target, autocommit=True) as connection:
            result = connection.pgconn.exec_(b"IDENTIFY_SYSTEM")
            if result.status != ExecStatus.TUPLES_OK:
                raise UpstreamError(result.get_error_message())
            value = result.get_value(0, _SYSTEM_IDENTIFIER_COLUMN)
            assert value is not None  # noqa: S101 - the protocol gives every column a value
            return value.decode()
    except psycopg.Error as error:
        raise UpstreamError(str(error).strip()) from error
