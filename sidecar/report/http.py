"""The sidecar's HTTP answers: a table of paths, each a pure function of the newest snapshot.

Paths and codes are Patroni's where it has the same, so that its HAProxy recipes work: 200 for
yes, 503 for no. GET, HEAD and OPTIONS answer alike, the last two without a body.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from sidecar.contract import VERSION
from sidecar.observation import ServerState
from sidecar.peers import describe
from sidecar.report.metrics import Metrics
from sidecar.report.snapshot import Reporter, Snapshot
from sidecar.settings import InvalidSettingError, Settings, parse_size

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_STATUS_LINES: Final = {
    200: "200 OK",
    400: "400 Bad Request",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    503: "503 Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status code and its body."""

    code: int
    body: bytes
    content_type: str = "application/json"


def is_alive(age: float, settings: Settings) -> bool:
    """Tell whether the loop still turns: a turn may wait out an API request of 3 s, not more."""
    return age < max(4.0, settings.ttl / 2)


def is_primary(snapshot: Snapshot) -> bool:
    """Tell whether this member is writable by right."""
    return snapshot.decision.situation == "Leading"


def is_replica(snapshot: Snapshot, max_lag: int) -> bool:
    """Tell whether this member follows, no further behind than `max_lag` bytes."""
    return (
        snapshot.decision.situation == "Following"
        and (snapshot.observation.postgres.lag or 0) <= max_lag
    )


def status(snapshot: Snapshot) -> dict[str, Any]:
    """Return Patroni's keys where it has the same, and under "pgset" what is ours."""
    postgres = snapshot.observation.postgres
    running = postgres.state is not ServerState.DOWN
    return {
        "state": "running" if running else "stopped",
        "role": "primary" if postgres.state is ServerState.WRITABLE else "replica",
        "timeline": postgres.timeline,
        "xlog": {"location": postgres.position, "lag": postgres.lag},
        "replication_state": "streaming" if postgres.streaming else None,
        "replication": [
            {"application_name": name, "state": "streaming"} for name in postgres.followers
        ],
        "database_system_identifier": postgres.system_identifier,
        "pgset": describe(snapshot.observation)
        | {
            "version": VERSION,
            "situation": snapshot.decision.situation,
            "sentence": snapshot.decision.sentence,
            "problem": snapshot.problem,
        },
    }


class Application:
    """The WSGI application."""

    def __init__(self, reporter: Reporter, metrics: Metrics, settings: Settings) -> None:
        """Answer from `reporter`."""
        self._reporter = reporter
        self._metrics = metrics
        self._settings = settings
        self._answers: Mapping[str, Callable[[Mapping[str, list[str]]], Answer]] = {
            "/liveness": lambda _: self._yes_or_no(is_alive(self._reporter.age(), self._settings)),
            "/healthz": lambda _: self._yes_or_no(True),
            "/readyz": lambda _: self._about(
                lambda s: s.observation.postgres.state is not ServerState.DOWN
            ),
            "/primary": lambda _: self._about(is_primary),
            "/replica": self._replica,
            "/status": lambda _: self._about(lambda _: True),
            "/metrics": lambda _: Answer(
                200, self._metrics.render(), "text/plain; version=0.0.4; charset=utf-8"
            ),
        }

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        answer = self.answer(
            environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        )
        # HEAD tells the length of what GET would bring; any other method's is that of its body.
        body = b"" if environ["REQUEST_METHOD"] == "OPTIONS" else answer.body
        start_response(
            _STATUS_LINES[answer.code],
            [("Content-Type", answer.content_type), ("Content-Length", str(len(body)))],
        )
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def answer(self, method: str, path: str, query: str) -> Answer:
        """Return the answer to a request, `query` being the text after the question mark."""
        if method not in ("GET", "HEAD", "OPTIONS"):
            return _json(405, {"error": f"method {method} is not allowed; allowed: GET, HEAD"})
        if path not in self._answers:
            allowed = ", ".join(self._answers)
            return _json(404, {"error": f"there is no {path}; there are: {allowed}"})
        return self._answers[path](parse_qs(query))

    def _replica(self, query: Mapping[str, list[str]]) -> Answer:
        try:
            max_lag = parse_size("lag", query["lag"][0]) if "lag" in query else None
        except InvalidSettingError as error:
            return _json(400, {"error": f'parameter lag: {error.allowed}; not "{error.value}"'})
        limit = self._settings.max_lag if max_lag is None else max_lag
        return self._about(lambda snapshot: is_replica(snapshot, limit))

    def _about(self, question: Callable[[Snapshot], bool]) -> Answer:
        snapshot = self._reporter.newest()
        if snapshot is None:
            return _json(503, {"error": "nothing has been observed yet"})
        return _json(200 if question(snapshot) else 503, status(snapshot))

    @staticmethod
    def _yes_or_no(yes: bool) -> Answer:
        return _json(200 if yes else 503, {"ok": yes})


def _json(code: int, body: dict[str, Any]) -> Answer:
    return Answer(code, json.dumps(body).encode() + b"\n")
