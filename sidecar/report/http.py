"""The sidecar's HTTP answers: a table of paths, each a pure function of the newest snapshot.

Paths and codes are Patroni's where it has the same, so that its HAProxy recipes work: 200 for
yes, 503 for no. GET, HEAD and OPTIONS answer alike, the last two without a body. Two go further:
`/status?fresh=1` looks at PostgreSQL anew, and `POST /failsafe` is answered by
`sidecar.promises.Respondent`.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from sidecar import failsafe
from sidecar.observation import PostgresView, ServerState
from sidecar.promises import Respondent
from sidecar.report.metrics import Metrics
from sidecar.report.snapshot import Reporter, Snapshot
from sidecar.report.status import (
    is_alive,
    is_in_sync,
    is_primary,
    is_replica,
    status,
    with_fresh,
)
from sidecar.settings import InvalidSettingError, Settings, parse_size

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_STATUS_LINES: Final = {
    200: "200 OK",
    400: "400 Bad Request",
    401: "401 Unauthorized",
    403: "403 Forbidden",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    409: "409 Conflict",
    413: "413 Content Too Large",
    503: "503 Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status code and its body."""

    code: int
    body: bytes
    content_type: str = "application/json"
    signature: str | None = None


class Application:
    """The WSGI application."""

    def __init__(
        self,
        reporter: Reporter,
        metrics: Metrics,
        settings: Settings,
        *,
        refresh: Callable[[], PostgresView] | None = None,
        respondent: Respondent | None = None,
    ) -> None:
        """Answer from `reporter`; `refresh` looks at PostgreSQL anew, and takes 0.3 s at most."""
        self._reporter = reporter
        self._metrics = metrics
        self._settings = settings
        self._refresh = refresh
        self._respondent = respondent
        self._answers: Mapping[str, Callable[[Mapping[str, list[str]]], Answer]] = {
            "/liveness": lambda _: self._yes_or_no(self._turns()),
            "/healthz": lambda _: self._yes_or_no(True),
            "/readyz": lambda _: self._about(
                lambda s: s.observation.postgres.state is not ServerState.DOWN
            ),
            "/primary": lambda _: self._about(is_primary),
            "/replica": self._replica,
            "/sync": lambda _: self._about(is_in_sync),
            "/status": self._status,
            "/metrics": lambda _: Answer(
                200, self._metrics.render(), "text/plain; version=0.0.4; charset=utf-8"
            ),
        }

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        if environ["PATH_INFO"] == failsafe.PATH:
            answer = self._failsafe(environ)
        else:
            answer = self.answer(
                environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", "")
            )
        # HEAD tells the length of what GET would bring; any other method's is that of its body.
        body = b"" if environ["REQUEST_METHOD"] == "OPTIONS" else answer.body
        headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(body)))]
        if answer.signature is not None:
            headers.append((failsafe.SIGNATURE_HEADER, answer.signature))
        start_response(_STATUS_LINES[answer.code], headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def answer(self, method: str, path: str, query: str) -> Answer:
        """Return the answer to a request, `query` being the text after the question mark."""
        if method not in ("GET", "HEAD", "OPTIONS"):
            return _json(405, {"error": f"method {method} is not allowed; allowed: GET, HEAD"})
        if path not in self._answers:
            allowed = ", ".join(self._answers)
            return _json(404, {"error": f"there is no {path}; there are: {allowed}"})
        return self._answers[path](parse_qs(query))

    def _failsafe(self, environ: "WSGIEnvironment") -> Answer:
        if environ["REQUEST_METHOD"] != "POST":
            method = environ["REQUEST_METHOD"]
            return _json(405, {"error": f"method {method} is not allowed; allowed: POST"})
        length = environ.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal() or int(length) > failsafe.MAX_BODY:
            return _json(413, {"error": f"a question has at most {failsafe.MAX_BODY} bytes"})
        if self._respondent is None:
            return _json(503, {"error": "nothing has been observed yet"})
        body = environ["wsgi.input"].read(int(length))
        response = self._respondent.respond(body, environ.get("HTTP_PGSET_SIGNATURE", ""))
        if isinstance(response.body, bytes):
            return Answer(response.code, response.body, signature=response.signature)
        return _json(response.code, response.body)

    def _status(self, query: Mapping[str, list[str]]) -> Answer:
        fresh = self._refresh if query.get("fresh") == ["1"] else None
        if fresh is None:
            return self._about(lambda _: True)
        view = fresh()
        return self._about(lambda _: True, lambda snapshot: with_fresh(snapshot, view))

    def _turns(self) -> bool:
        return is_alive(self._reporter.age(), self._settings)

    def _replica(self, query: Mapping[str, list[str]]) -> Answer:
        try:
            max_lag = parse_size("lag", query["lag"][0]) if "lag" in query else None
        except InvalidSettingError as error:
            return _json(400, {"error": f'parameter lag: {error.allowed}; not "{error.value}"'})
        limit = self._settings.max_lag if max_lag is None else max_lag
        return self._about(lambda snapshot: is_replica(snapshot, limit))

    def _about(
        self,
        says: Callable[[Snapshot], bool],
        amend: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot,
    ) -> Answer:
        newest = self._reporter.newest()
        if newest is None:
            return _json(503, {"error": "nothing has been observed yet"})
        snapshot = amend(newest)
        body = status(snapshot, self._settings, turns=self._turns())
        return _json(200 if says(snapshot) else 503, body)

    @staticmethod
    def _yes_or_no(yes: bool) -> Answer:
        return _json(200 if yes else 503, {"ok": yes})


def _json(code: int, body: dict[str, Any]) -> Answer:
    return Answer(code, json.dumps(body).encode() + b"\n")
