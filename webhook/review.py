"""AdmissionReview (admission.k8s.io/v1) in and out.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from webhook.errors import MalformedReviewError
from webhook.json_patch import Json, Patch

API_VERSION: Final = "admission.k8s.io/v1"

MAX_WARNING: Final = 120
"""Characters; what the API's documentation asks of a webhook, since clients cut longer ones."""

UNPROCESSABLE: Final = 422
"""The status of a denial: the request was understood, and the object is what has to change."""


@dataclass(frozen=True, slots=True)
class Review:
    """One admission request."""

    uid: str
    kind: str
    operation: str
    namespace: str
    name: str
    """Empty where the object only has a generateName."""
    dry_run: bool
    object: Json

    @classmethod
    def parse(cls, body: bytes, *, kind: str) -> Self:
        """Read a request body; MalformedReviewError unless it reviews an object of `kind`."""
        request = _object(_decode(body), "request")
        uid = request.get("uid")
        if not isinstance(uid, str) or not uid:
            raise MalformedReviewError("request.uid is missing from the AdmissionReview")
        found = _object(request, "kind", "request.").get("kind")
        if found != kind:
            raise MalformedReviewError(
                f'request.kind.kind is "{found}", and this path takes only {kind}'
            )
        reviewed = _object(request, "object", "request.")
        metadata = _object(reviewed, "metadata", "request.object.")
        _object(reviewed, "spec", "request.object.")
        return cls(
            uid=uid,
            kind=kind,
            operation=str(request.get("operation", "")),
            namespace=str(request.get("namespace", "")),
            name=str(metadata.get("name", "")),
            dry_run=bool(request.get("dryRun")),
            object=reviewed,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of an admitted object."""

    patch: Patch = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    audit: Mapping[str, str] = field(default_factory=dict)
    """Audit annotations; the API server puts the webhook's name before each key."""

    @property
    def outcome(self) -> str:
        """`patched` or `unchanged`."""
        return "patched" if self.patch else "unchanged"


def admitted(review: Review, verdict: Verdict) -> Json:
    """Write the answer that admits the object as the verdict has it."""
    response: Json = {"uid": review.uid, "allowed": True}
    if verdict.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(verdict.patch).encode()).decode()
    if verdict.warnings:
        response["warnings"] = [_shortened(warning) for warning in verdict.warnings]
    if verdict.audit:
        response["auditAnnotations"] = dict(verdict.audit)
    return _answer(response)


def denied(review: Review, message: str) -> Json:
    """Write the answer that refuses the object with one sentence."""
    return _answer(
        {
            "uid": review.uid,
            "allowed": False,
            "status": {"code": UNPROCESSABLE, "reason": "Invalid", "message": message},
            "auditAnnotations": {"denied": message},
        }
    )


def _answer(response: Json) -> Json:
    return {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}


def _shortened(warning: str) -> str:
    return warning if len(warning) <= MAX_WARNING else warning[: MAX_WARNING - 1] + "…"


def _decode(body: bytes) -> Json:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise MalformedReviewError(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise MalformedReviewError("the body is not an AdmissionReview, but no JSON object at all")
    if document.get("kind") != "AdmissionReview" or document.get("apiVersion") != API_VERSION:
        raise MalformedReviewError(
            f"the body is {document.get('apiVersion')} {document.get('kind')}; "
            f"allowed: {API_VERSION} AdmissionReview"
        )
    return document


def _object(parent: Json, name: str, where: str = "") -> Json:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise MalformedReviewError(f"{where}{name} of the AdmissionReview is not a JSON object")
    return value
