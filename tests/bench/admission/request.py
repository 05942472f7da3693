"""The review that all servers are asked to answer, and the answer that the Go webhook is given."""

import json
from pathlib import Path
from typing import Any, Final

from tests.webhook import objects
from webhook.mutate import mutate_pod

CASE: Final = "volume-claim-templates"
VARIABLES: Final = 70
"""Env entries beside the golden pod's own, so that the review has about 8 KB."""

REVIEW: Final = "review.json"
PATCH: Final = "patch.json"
POD: Final = "pod.json"


def pod() -> dict[str, Any]:
    """Return a pod as an API server sent it, with the environment of a larger installation."""
    made = objects.golden(CASE, "pod")
    more = [
        {
            "name": f"ORDERS_SETTING_{number:02}",
            "value": f"value of the setting {number:02} of orders",
        }
        for number in range(VARIABLES)
    ]
    made["spec"]["containers"][0]["env"] += more
    return made


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
