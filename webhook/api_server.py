"""The two ways in which the webhook reads from the API server, as its pod's ServiceAccount.

The `kubernetes` client would do the same, but to import it takes half of the webhook's memory.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlencode

import urllib3

from sidecar.contract import TOKEN_DIRECTORY
from webhook import codec
from webhook.json_patch import Json
from webhook.lines import lines
from webhook.settings import InvalidEnvironmentError

CA_FILE: Final = "ca.crt"
TOKEN_FILE: Final = "token"  # noqa: S105 - a file's name

CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 10.0

OK: Final = 200

MAX_ANSWER: Final = 4 * 2**20
"""Bytes of an object or a list: more than the largest object has, and, once it is read, a quarter
of the memory that this process may have."""

MAX_EVENT: Final = 256 * 2**10
"""Bytes of one event of a watch: a Lease of a set has some 2 kB. Whoever may create Leases in a
namespace may write ten of a megabyte each second, and the time that they take is the reviews."""


class ApiError(Exception):
    """Try again later: the API server did not answer as it should. The message is for the log."""


class TooLargeError(ApiError):
    """Ask for fewer objects at once, or do without a single one that is too large or too deep."""

    def __init__(self, message: str, beginning: bytes) -> None:
        """`beginning`: of the answer, up to `MAX_ANSWER`."""
        super().__init__(message)
        self.beginning = beginning


class ApiServer:
    """One API server. Create it only after gunicorn's fork: connections don't survive a fork."""

    def __init__(
        self,
        base_url: str,
        directory: Path,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        """Take its address, and the directory of the CA that it is verified by and of our token."""
        self._base_url = base_url
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._token_file = directory / TOKEN_FILE
        self._pool = urllib3.PoolManager(ca_certs=str(directory / CA_FILE), retries=False)

    @classmethod
    def in_cluster(cls, environment: Mapping[str, str]) -> Self:
        """Use the kubelet's variables. Raises InvalidEnvironmentError where they are missing."""
        for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
            if not environment.get(name):
                raise InvalidEnvironmentError(
                    f"env {name} is missing: the kubelet sets it in every container"
                )
        host = environment["KUBERNETES_SERVICE_HOST"]
        address = f"[{host}]" if ":" in host else host
        port = environment["KUBERNETES_SERVICE_PORT"]
        return cls(f"https://{address}:{port}", Path(TOKEN_DIRECTORY))

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Return an object or a list. Raises ApiError; TooLargeError beyond `MAX_ANSWER`, or where
        it is nested too deeply to be read, as whoever writes managedFields can have it."""
        try:
            response = self._send(path, query or {}, self._read_seconds)
            try:
                content = response.read(MAX_ANSWER + 1)
            finally:
                response.close()
            if len(content) > MAX_ANSWER:
                raise TooLargeError(f"GET {path}: over {MAX_ANSWER} bytes", content)
            try:
                return _decoded(content)
            except RecursionError as error:
                raise TooLargeError(f"GET {path}: too deep", content) from error
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise ApiError(f"GET {path}: {error}") from error

    def watch(self, path: str, query: Mapping[str, str], seconds: int) -> Iterator[Json]:
        """Yield events for so many seconds, then end. Raises ApiError if it ends otherwise.

        One that is too large, or nested too deeply to be read, is passed over.
        """
        parameters = {**query, "watch": "true", "timeoutSeconds": str(seconds)}
        try:
            response = self._send(path, parameters, seconds + 5.0)
            try:
                for line in lines(response.stream(None), MAX_EVENT):
                    with contextlib.suppress(RecursionError):
                        yield _event(_decoded(line))
            finally:
                response.close()
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise ApiError(f"watch of {path}: {error}") from error

    def _send(
        self, path: str, query: Mapping[str, str], seconds: float
    ) -> urllib3.BaseHTTPResponse:
        # Read each time: the kubelet renews it long before it expires.
        token = self._token_file.read_text().strip()
        response = self._pool.request(
            "GET",
            f"{self._base_url}{path}" + (f"?{urlencode(query)}" if query else ""),
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=urllib3.Timeout(connect=self._connect_seconds, read=seconds),
            preload_content=False,
        )
        if response.status != OK:
            said = response.data.decode(errors="replace")[:200]
            raise ApiError(f"GET {path}: {response.status} {said}")
        return response


def _decoded(content: bytes) -> Json:
    try:
        decoded: Any = codec.decode(content)
    except ValueError as error:
        raise ApiError(f"an answer that is not JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise ApiError("an answer that is not a JSON object")
    return decoded


def _event(event: Json) -> Json:
    if event["type"] == "ERROR":
        status = event["object"]
        raise ApiError(f"the watch has ended: {status.get('code')} {status.get('message')}")
    return event
