"""Objects that the tests put through the webhook, and what carries them there."""

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonpatch

from tests.support import documents as yaml
from webhook.initial_role import LeaseState
from webhook.review import Review, Verdict
from webhook.settings import SidecarImage

GOLDEN = Path(__file__).parents[1] / "golden"
"""Objects as a real API server 1.36 sent them, and what the webhook makes of them."""

IMAGE = SidecarImage(name="pgset:0.2.0", pull_policy="IfNotPresent")


def golden(case: str, name: str) -> dict[str, Any]:
    """Return a copy of one's own."""
    document: dict[str, Any] = copy.deepcopy(_read(GOLDEN / case / f"{name}.yaml"))
    return document


@functools.cache
def _read(path: Path) -> Any:
    return yaml.document(path.read_text())


def article_statefulset() -> dict[str, Any]:
    return golden("article", "statefulset")


def article_pod() -> dict[str, Any]:
    return golden("article", "pod")


def written_statefulset() -> dict[str, Any]:
    """One as somebody writes it, without what an API server fills in."""
    container = {
        "name": "postgres",
        "image": "postgres:15",
        "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "orders", "annotations": {"pgset.dev/enabled": "true"}},
        "spec": {
            "serviceName": "orders",
            "selector": {"matchLabels": {"app": "orders"}},
            "template": {
                "metadata": {"labels": {"app": "orders"}},
                "spec": {"containers": [container]},
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
        },
    }


def admission_review(reviewed: dict[str, Any], **request: Any) -> dict[str, Any]:
    metadata = reviewed["metadata"]
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {
                "group": "apps" if reviewed["kind"] == "StatefulSet" else "",
                "version": "v1",
                "kind": reviewed["kind"],
            },
            "operation": "CREATE",
            "namespace": metadata.get("namespace", "shop"),
            "name": metadata.get("name", ""),
            "dryRun": False,
            "object": reviewed,
            "oldObject": None,
            **request,
        },
    }


def review_of(
    reviewed: dict[str, Any], operation: str = "CREATE", old: dict[str, Any] | None = None
) -> Review:
    return Review(
        uid="705ab4f5-6393-11e8-b7cc-42010a800002",
        kind=reviewed["kind"],
        operation=operation,
        namespace=reviewed["metadata"].get("namespace", "shop"),
        name=reviewed["metadata"].get("name", ""),
        dry_run=False,
        object=reviewed,
        old_object=old,
    )


def patched(reviewed: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    """Apply the verdict as the API server does; the argument stays as it is."""
    document: dict[str, Any] = jsonpatch.apply_patch(copy.deepcopy(reviewed), verdict.patch)
    return document


def changed(original: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return a copy that `change` was let loose on."""
    document = copy.deepcopy(original)
    change(document)
    return document


def never_led(_namespace: str, _set_name: str) -> LeaseState:
    return LeaseState.NEVER_LED


def has_led(_namespace: str, _set_name: str) -> LeaseState:
    return LeaseState.HAS_LED
