"""The sidecar's HTTP answers: a table of paths, each a pure function of the newest snapshot.

Paths and codes are Patroni's where Patroni has them (`sidecar.report.patroni`), so that its HAProxy
recipes work: 200 for yes, 503 for no. GET, HEAD and OPTIONS get the same answer, the last two
without a body. Two do more: `/status?fresh=1` looks at PostgreSQL again, and `POST /failsafe` is
answered by `sidecar.pledges.Respondent`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final
from urllib.parse import parse_qs

from sidecar import failsafe
from sidecar.memory.status import with_fresh
from sidecar.observation import PostgresView, ServerState
from sidecar.pledges import Respondent
from sidecar.report import patroni
from sidecar.report.message import Answer, Content, Request
from sidecar.report.metrics import Metrics
from sidecar.report.server import Waiting
from sidecar.report.snapshot import Reporter, Snapshot
from sidecar.report.status import is_alive, status
from sidecar.settings import InvalidSettingError, Settings

_NOTHING_YET: Final = Answer.of(503, {"error": "nothing has been observed yet"})
_YES: Final = Answer.of(200, {"ok": True})
_NO: Final = Answer.of(503, {"ok": False})


class Application:
    """Answers requests, from any thread."""

    def __init__(
        self,
        reporter: Reporter,
        metrics: Metrics,
        settings: Settings,
        *,
        refresh: Callable[[], PostgresView] | None = None,
        respondent: Respondent | None = None,
    ) -> None:
        """Answer from `reporter`; `refresh` looks at PostgreSQL again, and takes 0.3 s at most."""
        self._reporter = reporter
        self._metrics = metrics
        self._settings = settings
        self._refresh = refresh
        self._respondent = respondent
        self._answers: Mapping[str, Callable[[Mapping[str, list[str]]], Answer]] = {
            "/liveness": lambda _: _yes_or_no(self._turns() and not reporter.probe_fails()),
            "/healthz": lambda _: _YES,
            # The kubelet calls these three again and again, and reads only the code.
            "/readyz": lambda _: _yes_or_no(self._accepts_connections()),
            **{path: partial(self._patroni, path) for path in patroni.PATHS},
            "/cluster": lambda _: self._known(lambda it: patroni.cluster(it, settings)),
            "/history": lambda _: self._known(patroni.history),
            "/config": lambda _: Answer.of(200, patroni.config(settings)),
            "/status": self._status,
            "/metrics": lambda _: Answer(
                200, self._metrics.render(), "text/plain; version=0.0.4; charset=utf-8"
            ),
        }

    def __call__(self, request: Request) -> Answer:
        """Answer one request."""
        if request.path == failsafe.PATH:
            answer = self._failsafe(request)
        else:
            answer = self.answer(request.method, request.path, request.query)
            if request.path == "/status":
                answer = self._signed(request, answer)
        return replace(answer, body=b"") if request.method == "OPTIONS" else answer

    def _signed(self, request: Request, answer: Answer) -> Answer:
        """Sign the status for a member that asks; anybody else may read it without."""
        if self._respondent is None:
            return answer
        signature = self._respondent.sign_status(request.headers, request.query, answer.body)
        if signature is None:
            return answer
        return replace(answer, headers=((failsafe.SIGNATURE_HEADER, signature),))

    def waits(self, request: Request) -> Waiting | None:
        """Return as what a request waits for PostgreSQL or a lock; None: a probe never does."""
        if request.path == failsafe.PATH:
            # What nobody has signed is refused at once, and keeps nobody from asking.
            return Waiting.FAILSAFE if self._asks_to_stay(request) else None
        if request.path != "/status":
            return None
        asks = self._respondent and self._respondent.is_asked_by_a_member(
            request.headers, request.query
        )
        return Waiting.MEMBER if asks else Waiting.STRANGER

    def _asks_to_stay(self, request: Request) -> bool:
        if self._respondent is None or len(request.body) > failsafe.MAX_BODY:
            return False
        signature = request.headers.get(failsafe.SIGNATURE_HEADER.lower(), "")
        return self._respondent.is_signed(request.body, signature)

    def answer(self, method: str, path: str, query: str) -> Answer:
        """Return the answer to a request, `query` being the text after the question mark."""
        if method not in ("GET", "HEAD", "OPTIONS"):
            return Answer.of(405, {"error": f"method {method} is not allowed; allowed: GET, HEAD"})
        if path not in self._answers:
            allowed = ", ".join(self._answers)
            return Answer.of(404, {"error": f"path {path} is unknown; allowed: {allowed}"})
        return self._answers[path](parse_qs(query) if query else {})

    def _failsafe(self, request: Request) -> Answer:
        if request.method != "POST":
            return Answer.of(
                405, {"error": f"method {request.method} is not allowed; allowed: POST"}
            )
        if len(request.body) > failsafe.MAX_BODY:
            said = f"the body is too long; allowed: at most {failsafe.MAX_BODY} bytes"
            return Answer.of(413, {"error": said})
        if self._respondent is None:
            return _NOTHING_YET
        signature = request.headers.get(failsafe.SIGNATURE_HEADER.lower(), "")
        response = self._respondent.respond(request.body, signature)
        if not isinstance(response.body, bytes):
            return Answer.of(response.code, response.body)
        signed = (failsafe.SIGNATURE_HEADER, response.signature or "")
        return Answer(response.code, response.body, headers=(signed,))

    def _status(self, query: Mapping[str, list[str]]) -> Answer:
        fresh = self._refresh if query.get("fresh") == ["1"] else None
        if fresh is None:
            return self._about(lambda _: True)
        view = fresh()
        return self._about(
            lambda _: True,
            lambda snapshot: replace(snapshot, observation=with_fresh(snapshot.observation, view)),
        )

    def _turns(self) -> bool:
        return is_alive(self._reporter.age(), self._settings)

    def _patroni(self, path: str, query: Mapping[str, list[str]]) -> Answer:
        try:
            asked = patroni.read_conditions(query)
        except InvalidSettingError as error:
            return Answer.of(
                400,
                {"error": f'parameter lag: "{error.value}" is not allowed; {error.allowed}'},
            )
        return self._about(lambda it: patroni.answers_yes(path, it, self._settings, asked))

    def _known(self, tell: Callable[[Snapshot], Content]) -> Answer:
        newest = self._reporter.newest()
        return _NOTHING_YET if newest is None else Answer.of(200, tell(newest))

    def _accepts_connections(self) -> bool:
        newest = self._reporter.newest()
        return newest is not None and newest.observation.postgres.state is not ServerState.DOWN

    def _about(
        self,
        says: Callable[[Snapshot], bool],
        amend: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot,
    ) -> Answer:
        newest = self._reporter.newest()
        if newest is None:
            return _NOTHING_YET
        snapshot = amend(newest)
        body = status(snapshot, self._settings, turns=self._turns())
        return Answer.of(200 if says(snapshot) else 503, body)


def _yes_or_no(yes: bool) -> Answer:
    return _YES if yes else _NO
