"""Requests to the API server with the pod's own token, each with one deadline for all of it."""

import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlencode

from sidecar import clock, http_client
from sidecar.contract import TOKEN_DIRECTORY
from sidecar.http_client import Request, Timeouts

Json = dict[str, Any]

CONNECT_SECONDS: Final = 1.0
READ_SECONDS: Final = 2.0
"""A request that takes longer is given up, so that the loop can fence in time."""

_LEAST_SECONDS: Final = 0.2
"""What a request gets after the deadline: a healthy API server answers within that."""

_WATCH_SECONDS: Final = 290
_WATCH_SILENCE: Final = 75.0
"""The API server sends a bookmark about every minute; a watch silent for longer is broken."""

_TOKEN_AGE: Final = 60.0
"""The kubelet renews the projected token in its file long before it expires."""

_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_READING_VERBS: Final = ("get", "list", "watch")

_REFUSED: Final = 300
"""HTTP's own line between success and not."""


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


class TooLargeError(ApiError):
    """Ask for fewer objects at once, or do without a single one that is too large or too deep."""

    def __init__(self, message: str, beginning: bytes) -> None:
        """`beginning`: of the answer."""
        super().__init__(message)
        self.beginning = beginning


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
        self._server = http_client.Server(base_url, ca_file)
        self._read_seconds = read_seconds
        self._token_file = token_file
        self._hurry = threading.local()
        self._counted = dict.fromkeys((*_READING_VERBS, *_VERBS.values()), 0)
        self._counting = threading.Lock()
        self._token = ""
        self._token_read_at = float("-inf")

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
        self,
        path: str,
        query: dict[str, str] | None = None,
        *,
        seconds: float | None = None,
        most: int | None = None,
    ) -> Json:
        """Return one object or list. Raises RetryLaterError if that takes longer than `seconds`,
        TooLargeError if it has more than `most` bytes or is nested too deeply to be read."""
        return self._request("GET", path, query=query, seconds=seconds, most=most)

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

    def watch(self, path: str, query: dict[str, str], *, most: int | None = None) -> Iterator[Json]:
        """Yield watch events until the server ends the watch. Raises as every request does.

        With `most`, one of more bytes, or nested too deeply to be read, is passed over.
        """
        parameters = query | {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        asked = self._prepare("GET", path, parameters, stream=True)
        try:
            # It is read for minutes; it is only never to be silent for long.
            with self._server.stream(asked, self._watch_timeouts()) as response:
                if response.status >= _REFUSED:
                    raise _refusal("GET", path, response.status, response.read())
                for line in _lines(iter(response.read1, b""), most):
                    try:
                        event = json.loads(line)
                    except RecursionError:
                        if most is None:
                            raise
                    else:
                        yield self._event(event)
        except json.JSONDecodeError as error:
            raise RetryLaterError(f"watch of {path}: a line that is not JSON") from error
        except http_client.ERRORS as error:
            raise RetryLaterError(f"watch of {path}: {error}") from error

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
        most: int | None = None,
    ) -> Json:
        timeouts = self._timeouts(seconds)
        asked = self._prepare(method, path, query or {})
        if body is not None:
            asked.headers["Content-Type"] = content
            asked = asked._replace(body=json.dumps(body).encode())
        try:
            status, answer = self._server.request(asked, timeouts, most)
        except http_client.ERRORS as error:
            raise RetryLaterError(f"{method} {path}: {error}") from error
        if status >= _REFUSED:
            raise _refusal(method, path, status, answer)
        if most is not None and len(answer) > most:
            raise TooLargeError(f"{method} {path}: over {most} bytes", answer)
        try:
            return cast(Json, json.loads(answer))
        except RecursionError as error:
            raise TooLargeError(f"{method} {path}: nested too deeply", answer) from error
        except ValueError as error:
            raise RetryLaterError(f"{method} {path}: an answer that is not JSON") from error

    def _prepare(
        self, method: str, path: str, query: dict[str, str], *, stream: bool = False
    ) -> Request:
        """Return what is to be sent; it counts as that."""
        headers = {"Authorization": f"Bearer {self._fresh_token()}", "Accept": "application/json"}
        self._count(_verb(method, query, stream=stream))
        return Request(method, f"{path}?{urlencode(query)}" if query else path, headers)

    def _count(self, verb: str) -> None:
        with self._counting:
            self._counted[verb] += 1

    def _timeouts(self, seconds: float | None) -> Timeouts:
        deadline: float = getattr(self._hurry, "deadline", float("inf"))
        left = max(_LEAST_SECONDS, deadline - clock.now())
        total = min(CONNECT_SECONDS + self._read_seconds, left, seconds or float("inf"))
        return Timeouts(CONNECT_SECONDS, self._read_seconds, total)

    def _watch_timeouts(self) -> Timeouts:
        return Timeouts(CONNECT_SECONDS, _WATCH_SILENCE)

    def _fresh_token(self) -> str:
        now = time.monotonic()
        if now - self._token_read_at > _TOKEN_AGE:
            try:
                token = self._token_file.read_text("ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise RetryLaterError(f"cannot read the service account token: {error}") from error
            if not token.isprintable():
                # The error of who would send it has all of it, and would stand in the log.
                raise RetryLaterError("the service account token is not one line of text")
            self._token = token
            self._token_read_at = now
        return self._token


def _lines(chunks: Iterable[bytes], most: int | None) -> Iterator[bytes]:
    """Yield each line once its end has come; one of over `most` bytes is passed over."""
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            if most is None or size + len(end) <= most:
                yield b"".join((*parts, end))
            parts, size = [], 0
        size += len(rest)
        if most is None or size <= most:
            parts.append(rest)
        else:
            parts.clear()


def _verb(method: str, query: dict[str, str], *, stream: bool) -> str:
    """Name a request as the API server's audit log and metrics do.

    A read with a selector is a list: single objects are asked for by name.
    """
    if method != "GET":
        return _VERBS[method]
    if stream:
        return "watch"
    return "list" if query else "get"


def _refusal(method: str, path: str, status: int, answer: bytes) -> ApiError:
    try:
        said = str(json.loads(answer).get("message", ""))
    except (ValueError, AttributeError):
        said = answer.decode(errors="replace")[:200]
    refusal = _ERRORS.get(status, RetryLaterError)(f"{method} {path}: {status} {said}")
    refusal.answered = True
    return refusal
