"""What holds for every request, whatever is in it.

* No exception leaves the handler, and none is answered with a 500: it is a valid AdmissionReview of
  the same uid, or a 4xx that says why.
* Every patch applies, and what comes out is reviewed again without anything left to do.
"""

import base64
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import jsonpatch

from tests.fuzz.mutation import Request
from tests.webhook import objects
from webhook.app import Adapters, create_app
from webhook.metrics import Metrics
from webhook.review import MAX_WARNING

Handler = Callable[[str, bytes], tuple[int, Any]]


class BrokenClaimError(AssertionError):
    """The webhook did with a request what it must not."""


def handler(lease_state: str) -> Handler:
    """Return the application as a function: path and body in, status and JSON out."""
    application = create_app(
        Adapters(
            image=objects.IMAGE,
            lease_state=getattr(objects, lease_state),
            metrics=Metrics(leases_known=lambda: True, leases_age=lambda: 0.0),
            check_certificate=lambda: None,
        )
    )

    def post(path: str, body: bytes) -> tuple[int, Any]:
        statuses: list[str] = []
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "SERVER_NAME": "webhook",
            "SERVER_PORT": "443",
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(body),
        }
        parts = application(environ, lambda status, *_: statuses.append(status))
        answer = json.loads(b"".join(parts), parse_constant=_not_json)
        return int(statuses[0].split()[0]), answer

    return post


HANDLERS = {name: handler(name) for name in ("never_led", "has_led")}


def check(request: Request) -> str:
    """Return the outcome in a word or two; BrokenClaimError where a claim doesn't hold."""
    post = HANDLERS[request.lease_state]
    status, answer = post(request.path, request.body)
    if status != 200:
        _claim(400 <= status < 500, f"status {status}: {answer}")
        _claim(isinstance(answer["error"], str) and bool(answer["error"]), "a 4xx says why")
        return f"{status}"
    with _deeper():
        review = json.loads(request.body)
    response = answer["response"]
    _claim(answer["kind"] == "AdmissionReview", "the answer is an AdmissionReview")
    _claim(response["uid"] == review["request"]["uid"], "the answer has the request's uid")
    _claim(all(len(text) <= MAX_WARNING for text in response.get("warnings", [])), "warnings")
    if response["allowed"] is False:
        _claim(response["status"]["code"] == 422 and "patch" not in response, "a denial is whole")
        _claim("; " in response["status"]["message"], "a denial says what is allowed")
        return "denied"
    if "patch" not in response:
        return "unchanged"
    patch = json.loads(base64.b64decode(response["patch"]), parse_constant=_not_json)
    review["request"]["object"] = _applied(patch, review["request"]["object"])
    with _deeper():
        patched = json.dumps(review).encode()
    _, again = post(request.path, patched)
    _claim(again["response"]["allowed"], f"what was patched is allowed: {again}")
    _claim("patch" not in again["response"], f"nothing is left to do: {again}")
    return "patched"


def _applied(patch: Any, document: Any) -> Any:
    try:
        with _deeper():
            return jsonpatch.apply_patch(document, patch, in_place=True)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise BrokenClaimError(f"the patch applies: {error!r} of {patch}") from error


@contextmanager
def _deeper() -> Iterator[None]:
    """Let Python's JSON and jsonpatch go as deep as the webhook's, which has another limit."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10 * limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _claim(holds: bool, claim: str) -> None:
    if not holds:
        raise BrokenClaimError(claim)


def _not_json(name: str) -> NoReturn:
    raise BrokenClaimError(f"the answer is JSON; it holds {name}")
