"""AdmissionReview (admission.k8s.io/v1) in and out.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

import base64
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from webhook import codec, shape
from webhook.errors import DeniedError, MalformedReviewError
from webhook.json_patch import Json, Patch

API_VERSION: Final = "admission.k8s.io/v1"

GROUP_VERSIONS: Final = {
    "Pod": ("", "v1"),
    "Service": ("", "v1"),
    "StatefulSet": ("apps", "v1"),
}
"""Group and version of the kinds that are reviewed."""

MAX_VALUES: Final = 100_000
"""Values in a body; a large pod has some hundred, and the annotations that hold JSON are counted by
their commas. Python needs up to 230 bytes for one that JSON writes in four, and while it looks at
100,000 mounts, say, nobody else is answered for some 0.4 s."""

TOO_DEEP: Final = "the body's JSON is nested too deeply"
"""Beyond the limit of `codec`, about 1000 levels."""

MAX_WARNING: Final = 120
"""Characters; the API's documentation asks webhooks for no more, since clients cut longer ones."""

MAX_SENTENCE: Final = 1000
"""Characters of one that becomes warnings: a path of megabytes takes long to be split."""

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
    """Empty if the object only has a generateName."""
    dry_run: bool
    object: Json
    old_object: Json | None = None
    """Before an update; None if there was none."""

    @classmethod
    def parse(cls, body: bytes, *, kind: str) -> Self:
        """Read a request body. Raises MalformedReviewError unless it reviews a `kind`."""
        request: Any = _decode(body).get("request")
        try:
            shape.check(request, shape.REQUEST, "request")
        except DeniedError as error:
            raise MalformedReviewError(f"AdmissionReview: {error}") from error
        if not request["uid"]:
            raise MalformedReviewError(
                "AdmissionReview: request.uid is empty; allowed: any other string"
            )
        _check_kind(request["kind"], kind)
        reviewed = request["object"]
        return cls(
            uid=request["uid"],
            kind=kind,
            operation=request.get("operation", ""),
            namespace=request.get("namespace", ""),
            name=reviewed["metadata"].get("name", ""),
            dry_run=request.get("dryRun", False),
            object=reviewed,
            old_object=request.get("oldObject"),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with an admitted object."""

    patch: Patch = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    audit: Mapping[str, str] = field(default_factory=dict)
    """Audit annotations; the API server puts the webhook's name before each key."""

    @property
    def outcome(self) -> str:
        """`patched` or `unchanged`."""
        return "patched" if self.patch else "unchanged"


def admitted(review: Review, verdict: Verdict) -> Json:
    """Build the response that admits the object, with the verdict's patch, warnings and audit
    annotations."""
    response: Json = {"uid": review.uid, "allowed": True}
    if verdict.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(codec.encode(verdict.patch)).decode()
    if verdict.warnings:
        response["warnings"] = [_shortened(warning) for warning in verdict.warnings]
    if verdict.audit:
        response["auditAnnotations"] = dict(verdict.audit)
    return _answer(response)


def wrapped(sentence: str) -> list[str]:
    """Return a sentence of any length as warnings."""
    return textwrap.wrap(sentence[:MAX_SENTENCE], MAX_WARNING)


def denied(review: Review, message: str) -> Json:
    """Build the response that denies the object, with one sentence."""
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
    if len(body) > MAX_VALUES:
        _check_values(body)
    try:
        document = codec.decode(body)
    except ValueError as error:
        raise MalformedReviewError(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise MalformedReviewError(TOO_DEEP) from error
    if not isinstance(document, dict):
        raise MalformedReviewError("the body is not a JSON object; allowed: an AdmissionReview")
    if document.get("kind") != "AdmissionReview" or document.get("apiVersion") != API_VERSION:
        raise MalformedReviewError(
            f"the body is {document.get('apiVersion')} {document.get('kind')}; "
            f"allowed: {API_VERSION} AdmissionReview"
        )
    return document


def _check_values(body: bytes) -> None:
    # Commas and brackets in strings are counted too: this is an upper bound.
    values = body.count(b",") + body.count(b"[") + body.count(b"{")
    if values > MAX_VALUES:
        raise MalformedReviewError(f"the body has {values} values; allowed: {MAX_VALUES}")


def _check_kind(reviewed: Json, kind: str) -> None:
    found = _api_version(reviewed.get("group", ""), reviewed["version"]), reviewed["kind"]
    allowed = _api_version(*GROUP_VERSIONS[kind]), kind
    if found != allowed:
        raise MalformedReviewError(
            f'request.kind is "{" ".join(found)}"; allowed on this path: {" ".join(allowed)}'
        )


def _api_version(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version
