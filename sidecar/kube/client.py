"""Requests to the API server with the pod's own token, each with one deadline for all of it."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlencode

import urllib3

from sidecar import clock
from sidecar.contract import TOKEN_DIRECTORY
from sidecar.request_deadline import keep_deadlines

Json = dict[str, Any]

CONNECT_SECONDS: Final = 1.0
READ_SECONDS: Final = 2.0
"""A request that takes longer is given up, so that the loop can fence in time."""

_LEAST_SECONDS: Final = 0.2
"""What a request gets after the deadline: a healthy API server answers within that."""

_WATCH_SECONDS: Final = 290
_WATCH_SILENCE: Final = 75.0
"""The API server sends a bookmark about every minute; a watch silent for longer is broken."""

_SOCKET_OPTIONS: Final = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]
"""A watch that was cut off ends after 8 s, so that a new one begins when the network is back."""

_TOKEN_AGE: Final = 60.0
"""The kubelet renews the projected token in its file long before it expires."""

_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_READING_VERBS: Final = ("get", "list", "watch")


class ApiError(Exception):
    """The API server did not do what was asked. The message is for the log."""

    answered = False
    """Whether the API server said so itself."""


class RetryLaterError(ApiError):
    """No answer, or a passing fault: the request may or may not have been carried out."""


class ConflictError(ApiError):
    """Somebody else changed the object first: look again before deciding."""


class NotFoundError(ApiError):
    """There is no such object."""


class GoneError(ApiError):
    """The watch's starting point is too old: list again."""


class ForbiddenError(ApiError):
    """The service account lacks a right: the operator has to grant it."""


_ERRORS: Final[dict[int, type[ApiError]]] = {
    401: ForbiddenError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    # Only one thing that we write can be invalid: the UID of a pod that was re-created meanwhile.
    422: ConflictError,
}


class ApiClient:
    """One API server, as the pod's ServiceAccount."""

    def __init__(
        self,
        base_url: str,
        ca_file: Path,
        token_file: Path,
        *,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        """Take the address of the API server, the CA that it is verified by, and our token.

        `read_seconds`: for an answer.
        """
        self._base_url = base_url
        self._read_seconds = read_seconds
        self._token_file = token_file
        self._hurry = threading.local()
        self._counted = dict.fromkeys((*_READING_VERBS, *_VERBS.values()), 0)
        self._counting = threading.Lock()
        self._token = ""
        self._token_read_at = float("-inf")
        self._pool, self._watches = _pool(ca_file), _pool(ca_file)
        # A watch is read for minutes; it is only never to be silent for long.
        keep_deadlines(self._pool)

    @classmethod
    def in_cluster(cls, environment: dict[str, str]) -> "ApiClient":
        """Use what the kubelet gives every container."""
        host = environment["KUBERNETES_SERVICE_HOST"]
        port = environment["KUBERNETES_SERVICE_PORT"]
        address = f"[{host}]" if ":" in host else host
        directory = Path(TOKEN_DIRECTORY)
        return cls(f"https://{address}:{port}", directory / "ca.crt", directory / "token")

    def hurry(self, deadline: float) -> None:
        """Let no request of this thread wait for over 0.2 s beyond this moment of `sidecar.clock`.

        The loop that renews also fences, so it must be back in time however the network hangs. A
        list that a slow API server answers for a watch has no such hurry.
        """
        self._hurry.deadline = deadline

    def requests(self) -> Mapping[str, int]:
        """Return how many requests were sent, answered or not, by the API's verb."""
        with self._counting:
            return dict(self._counted)

    def get(
        self, path: str, query: dict[str, str] | None = None, *, seconds: float | None = None
    ) -> Json:
        """Return one object or list. Raises RetryLaterError if that takes longer than `seconds`."""
        return self._request("GET", path, query=query, seconds=seconds)

    def create(self, path: str, body: Json) -> Json:
        """Create an object. Raises ConflictError if there is one already."""
        return self._request("POST", path, body=body)

    def replace(self, path: str, body: Json) -> Json:
        """Write an object, by compare-and-swap on its resourceVersion."""
        return self._request("PUT", path, body=body)

    def merge(self, path: str, patch: Json) -> Json:
        """Apply an RFC 7386 merge patch."""
        return self._request("PATCH", path, body=patch, content="application/merge-patch+json")

    def delete(self, path: str, uid: str) -> None:
        """Delete the object that has this UID. Raises ConflictError if it has another by now."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        self._request("DELETE", path, body=options)

    def watch(self, path: str, query: dict[str, str]) -> Iterator[Json]:
        """Yield watch events until the server ends the watch. Raises as every request does."""
        parameters = query | {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        timeout = self._watch_timeout()
        response = self._send("GET", path, query=parameters, timeout=timeout, stream=True)
        try:
            buffer = b""
            for chunk in response.stream(None, decode_content=True):
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    yield self._event(json.loads(line))
        except urllib3.exceptions.HTTPError as error:
            raise RetryLaterError(f"watch of {path}: {error}") from error
        except ValueError as error:
            raise RetryLaterError(f"watch of {path}: a line that is not JSON") from error
        finally:
            response.close()

    @staticmethod
    def _event(event: Json) -> Json:
        if event["type"] == "ERROR":
            status = event["object"]
            raise _ERRORS.get(status.get("code", 0), RetryLaterError)(status.get("message", ""))
        return event

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Json | None = None,
        content: str = "application/json",
        seconds: float | None = None,
    ) -> Json:
        timeout = self._timeout(seconds)
        response = self._send(
            method, path, query=query or {}, body=body, content=content, timeout=timeout
        )
        try:
            return cast(Json, response.json())
        except ValueError as error:
            raise RetryLaterError(f"{method} {path}: an answer that is not JSON") from error

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str],
        body: Json | None = None,
        content: str = "",
        timeout: urllib3.Timeout,
        stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        url = f"{self._base_url}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Authorization": f"Bearer {self._fresh_token()}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content
        self._count(_verb(method, query, stream=stream))
        try:
            response = (self._watches if stream else self._pool).request(
                method,
                url,
                headers=headers,
                body=None if body is None else json.dumps(body),
                timeout=timeout,
                preload_content=not stream,
            )
        except urllib3.exceptions.HTTPError as error:
            raise RetryLaterError(f"{method} {path}: {error}") from error
        if response.status >= 300:  # noqa: PLR2004 - HTTP's own line between success and not
            refusal = _ERRORS.get(response.status, RetryLaterError)(
                f"{method} {path}: {response.status} {_message(response)}"
            )
            refusal.answered = True
            raise refusal
        return response

    def _count(self, verb: str) -> None:
        with self._counting:
            self._counted[verb] += 1

    def _timeout(self, seconds: float | None) -> urllib3.Timeout:
        deadline: float = getattr(self._hurry, "deadline", float("inf"))
        left = max(_LEAST_SECONDS, deadline - clock.now())
        total = min(CONNECT_SECONDS + self._read_seconds, left, seconds or float("inf"))
        return urllib3.Timeout(total=total, connect=CONNECT_SECONDS, read=self._read_seconds)

    def _watch_timeout(self) -> urllib3.Timeout:
        return urllib3.Timeout(connect=CONNECT_SECONDS, read=_WATCH_SILENCE)

    def _fresh_token(self) -> str:
        now = time.monotonic()
        if now - self._token_read_at > _TOKEN_AGE:
            try:
                self._token = self._token_file.read_text().strip()
            except OSError as error:
                raise RetryLaterError(f"cannot read the service account token: {error}") from error
            self._token_read_at = now
        return self._token


def _pool(ca_file: Path) -> urllib3.PoolManager:
    return urllib3.PoolManager(
        ca_certs=str(ca_file),
        retries=False,
        maxsize=6,
        num_pools=2,
        socket_options=_SOCKET_OPTIONS,
    )


def _verb(method: str, query: dict[str, str], *, stream: bool) -> str:
    """Name a request as the API server's audit log and metrics do.

    A read with a selector is a list: single objects are asked for by name.
    """
    if method != "GET":
        return _VERBS[method]
    if stream:
        return "watch"
    return "list" if query else "get"


def _message(response: urllib3.BaseHTTPResponse) -> str:
    try:
        return str(response.json().get("message", ""))
    except ValueError:
        return response.data.decode(errors="replace")[:200]
    except urllib3.exceptions.HTTPError as error:
        return str(error)
    finally:
        response.close()
