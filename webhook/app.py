"""The HTTP layer: paths, status codes, counting and logging; `mutate` decides what to answer."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from webhook import codec, logs, mutate, review, selects
from webhook.errors import DeniedError, MalformedReviewError, Reason
from webhook.framing import MAX_BODY
from webhook.json_patch import Json
from webhook.metrics import CONTENT_TYPE, Metrics
from webhook.review import Review, Verdict
from webhook.settings import SidecarImage
from webhook.tls import NoCertificateError

JSON: Final = "application/json"

Answer = tuple[Json, int]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """What connects the application to the world."""

    image: SidecarImage
    lease_state: mutate.LeaseStates
    metrics: Metrics
    check_certificate: Callable[[], object]
    """Raises NoCertificateError while there is no certificate to serve with."""
    own_accounts: bool = False
    """Whether a caretaker makes a service account for each set."""


def create_app(adapters: Adapters) -> Flask:
    """Build the WSGI application."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.register_error_handler(HTTPException, _http_error)
    mutations = _mutations(adapters)
    for path, answer in mutations.items():
        _add_mutation(app, path, answer)
    app.wsgi_app = _before_flask(mutations, app.wsgi_app)  # type: ignore[assignment,method-assign]
    _add_health(app, adapters)
    return app


_Mutation = Callable[[str, bytes], tuple[int, bytes]]
"""Content-Type and body in, status and body out."""


def _mutations(adapters: Adapters) -> dict[str, _Mutation]:
    """Return the mutation for each path."""

    def mutate_pod(reviewed: Review) -> Verdict:
        return mutate.mutate_pod(
            reviewed, adapters.image, adapters.lease_state, own_accounts=adapters.own_accounts
        )

    def mutate_statefulset(reviewed: Review) -> Verdict:
        return mutate.mutate_statefulset(reviewed, adapters.image.resources)

    def answering(kind: str, mutation: Callable[[Review], Verdict]) -> _Mutation:
        return lambda content_type, body: _answer(
            kind, content_type, body, mutation, adapters.metrics
        )

    return {
        "/mutate/statefulsets": answering("StatefulSet", mutate_statefulset),
        "/mutate/pods": answering("Pod", mutate_pod),
        "/mutate/services": answering("Service", selects.mutate_service),
    }


def _before_flask(mutations: Mapping[str, _Mutation], flask: WSGIApplication) -> WSGIApplication:
    """Answer reviews directly: Flask's objects for it cost as much as the mutation itself.

    A request unlike an API server's goes on to Flask, which says what is wrong with it.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = mutations.get(environ["PATH_INFO"])
        length = environ.get("CONTENT_LENGTH", "")
        usual = environ["REQUEST_METHOD"] == "POST" and length.isdecimal()
        if answer is None or not usual or int(length) > MAX_BODY:
            return flask(environ, start_response)
        body = environ["wsgi.input"].read(int(length))
        status, answered = answer(environ.get("CONTENT_TYPE", ""), body)
        headers = [("Content-Type", JSON), ("Content-Length", str(len(answered)))]
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [answered]

    return application


def _add_mutation(app: Flask, path: str, answer: _Mutation) -> None:
    def view() -> Response:
        status, answered = answer(request.content_type or "", request.get_data())
        return Response(answered, status, content_type=JSON)

    app.add_url_rule(path, path, view, methods=["POST"])


def _add_health(app: Flask, adapters: Adapters) -> None:
    @app.get("/livez")
    def livez() -> Answer:
        return {"status": "ok"}, 200

    @app.get("/readyz")
    def readyz() -> Answer:
        try:
            adapters.check_certificate()
        except NoCertificateError as error:
            return {"error": str(error)}, 503
        return {"status": "ok"}, 200

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(adapters.metrics.exposition(), content_type=CONTENT_TYPE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judgement:
    """The answer to one request, and what is counted and logged about it."""

    answer: Json
    status: int = 200
    outcome: str
    reason: Reason = ""
    logged: Json


def _answer(
    kind: str,
    content_type: str,
    body: bytes,
    mutation: Callable[[Review], Verdict],
    metrics: Metrics,
) -> tuple[int, bytes]:
    with metrics.in_flight(kind):
        started = time.perf_counter()
        judgement = _judge(kind, content_type, body, mutation)
        answered = codec.encode(judgement.answer)
        seconds = time.perf_counter() - started
    metrics.answered(kind, judgement.outcome, judgement.reason, seconds)
    fields = {"kind": kind, "outcome": judgement.outcome, "seconds": round(seconds, 6)}
    # Never the object or the patch: they hold the user's environment.
    _log.info("admission", extra={logs.FIELDS: {**fields, **judgement.logged}})
    return judgement.status, answered


def _judge(
    kind: str, content_type: str, body: bytes, mutation: Callable[[Review], Verdict]
) -> _Judgement:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != JSON:
        said = {"error": f'the body\'s Content-Type is "{media_type}"; allowed: {JSON}'}
        return _Judgement(
            answer=said, status=415, outcome="error", reason="content-type", logged=said
        )
    try:
        reviewed = Review.parse(body, kind=kind)
    except MalformedReviewError as error:
        said = {"error": str(error)}
        return _Judgement(answer=said, status=400, outcome="error", reason="review", logged=said)
    logged = {
        "uid": reviewed.uid,
        "operation": reviewed.operation,
        "namespace": reviewed.namespace,
        "name": reviewed.name,
        "dry_run": reviewed.dry_run,
    }
    try:
        verdict = mutation(reviewed)
        answer = review.admitted(reviewed, verdict)
    except DeniedError as error:
        return _Judgement(
            answer=review.denied(reviewed, str(error)),
            outcome="denied",
            reason=error.reason,
            logged={**logged, "reason": str(error)},
        )
    except RecursionError:
        said = {"error": review.TOO_DEEP}
        return _Judgement(answer=said, status=400, outcome="error", reason="review", logged=logged)
    except Exception:
        # A bug of ours: the API server applies failurePolicy, and the log has the traceback.
        _log.exception("a review could not be answered", extra={logs.FIELDS: logged})
        said = {"error": "the webhook failed on this object: see its log"}
        return _Judgement(answer=said, status=500, outcome="error", reason="fault", logged=logged)
    return _Judgement(
        answer=answer,
        outcome=verdict.outcome,
        logged={**logged, **verdict.audit},
    )


def _http_error(error: HTTPException) -> Answer:
    return {"error": f"{error.code} {error.name}: {error.description}"}, error.code or 500
