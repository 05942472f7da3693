"""The HTTP layer: paths, status codes, counting and logging; what to answer is `mutate`'s."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from webhook import logs, mutate, review
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
    """What the application needs of the world."""

    image: SidecarImage
    lease_state: mutate.LeaseStates
    metrics: Metrics
    check_certificate: Callable[[], object]
    """Raises NoCertificateError while there is no certificate to serve with."""


def create_app(adapters: Adapters) -> Flask:
    """Build the WSGI application."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.register_error_handler(HTTPException, _http_error)
    _add_mutations(app, adapters)
    _add_health(app, adapters)
    return app


def _add_mutations(app: Flask, adapters: Adapters) -> None:
    @app.post("/mutate/statefulsets")
    def statefulsets() -> Answer:
        return _answer("StatefulSet", mutate.mutate_statefulset, adapters.metrics)

    @app.post("/mutate/pods")
    def pods() -> Answer:
        def mutate_pod(reviewed: Review) -> Verdict:
            return mutate.mutate_pod(reviewed, adapters.image, adapters.lease_state)

        return _answer("Pod", mutate_pod, adapters.metrics)


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
    """What one request is answered with, and what is counted and logged of it."""

    answer: Json
    status: int = 200
    outcome: str
    reason: Reason = ""
    logged: Json


def _answer(kind: str, mutation: Callable[[Review], Verdict], metrics: Metrics) -> Answer:
    body = request.get_data()
    with metrics.in_flight(kind):
        started = time.perf_counter()
        judgement = _judge(kind, request.mimetype, body, mutation)
        seconds = time.perf_counter() - started
    metrics.answered(kind, judgement.outcome, judgement.reason, seconds)
    fields = {"kind": kind, "outcome": judgement.outcome, "seconds": round(seconds, 6)}
    # Never the object or the patch: they hold the user's environment.
    _log.info("admission", extra={logs.FIELDS: {**fields, **judgement.logged}})
    return judgement.answer, judgement.status


def _judge(
    kind: str, content_type: str, body: bytes, mutation: Callable[[Review], Verdict]
) -> _Judgement:
    if content_type != JSON:
        said = {"error": f'the body\'s Content-Type is "{content_type}"; allowed: {JSON}'}
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
    except DeniedError as error:
        return _Judgement(
            answer=review.denied(reviewed, str(error)),
            outcome="denied",
            reason=error.reason,
            logged={**logged, "reason": str(error)},
        )
    except Exception:
        # A fault of ours: the API server applies failurePolicy, and the log has the trace.
        _log.exception("a review could not be answered", extra={logs.FIELDS: logged})
        said = {"error": "the webhook failed on this object, and its log says where"}
        return _Judgement(answer=said, status=500, outcome="error", reason="fault", logged=logged)
    return _Judgement(
        answer=review.admitted(reviewed, verdict),
        outcome=verdict.outcome,
        logged={**logged, **verdict.audit},
    )


def _http_error(error: HTTPException) -> Answer:
    return {"error": f"{error.code} {error.name}: {error.description}"}, error.code or 500
