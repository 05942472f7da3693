"""The review that all servers are asked to answer, and the answer that the Go webhook is given."""

import json
from pathlib import Path
from typing import Any, Final

from tests.webhook import objects
from webhook.mutate import mutate_pod

CASE: Final = "volume-claim-templates"
VARIABLES: Final = 24
"""Env entries beside the golden pod's own, so that the review has about 8 KB."""

REVIEW: Final = "review.json"
PATCH: Final = "patch.json"
POD: Final = "pod.json"


def pod() -> dict[str, Any]:
    """Return a pod as an API server sent it, with managedFields and a longer environment."""
    made = objects.golden(CASE, "pod")
    made["spec"]["containers"][0]["env"] += [
        {"name": f"ORDERS_SETTING_{number:02}", "value": f"value {number} of the shop's orders"}
        for number in range(VARIABLES)
    ]
    managed = {"f:metadata": _managed(made["metadata"]), "f:spec": _managed(made["spec"])}
    made["metadata"]["managedFields"] = [
        {
            "manager": "kube-controller-manager",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": managed,
        }
    ]
    return made


def _managed(value: Any) -> dict[str, Any]:
    """Name all fields of a value as FieldsV1 does; items of a list by their name."""
    if isinstance(value, dict):
        return {f"f:{name}": _managed(inner) for name, inner in value.items()}
    if isinstance(value, list) and all("name" in item for item in value):
        return {f'k:{{"name":"{item["name"]}"}}': {".": {}, **_managed(item)} for item in value}
    return {}


def review() -> bytes:
    """Return the body of the request, without spaces as an API server writes it."""
    user = {
        "username": "system:serviceaccount:kube-system:statefulset-controller",
        "uid": "5b0c9c2e-7d5f-4f0e-8a0c-5d0f4b4a7f21",
        "groups": ["system:serviceaccounts", "system:authenticated"],
    }
    pods = {"group": "", "version": "v1", "resource": "pods"}
    options = {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}
    made = objects.admission_review(
        pod(), resource=pods, requestResource=pods, userInfo=user, options=options
    )
    return json.dumps(made, separators=(",", ":")).encode()


def write(folder: Path) -> None:
    """Write the request, our operations for it, and the pod with these applied."""
    original = pod()
    verdict = mutate_pod(objects.review_of(original), objects.IMAGE, objects.never_led)
    (folder / REVIEW).write_bytes(review())
    (folder / PATCH).write_text(json.dumps(verdict.patch))
    (folder / POD).write_text(json.dumps(objects.patched(original, verdict)))
