"""A set without a webhook: its manifest with what the webhook would have put into it."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from typing import Any, Final

from cli.kubectl import CannotError, Kubectl
from cli.text import Paint
from sidecar import contract

NEEDED: Final = (3, 11)
"""The webhook's own modules do the work, and they are written for the Python of our image."""

UNCHANGED: Final = ("patch", "--local", "--type=merge", "-p", "{}")
"""kubectl reads what it is given, and prints it as it is."""

OF_THE_CLUSTER: Final = frozenset(
    (
        "APIService", "CertificateSigningRequest", "ClusterRole", "ClusterRoleBinding",
        "ClusterTrustBundle", "CSIDriver", "CSINode", "CustomResourceDefinition",
        "DeviceClass", "FlowSchema", "IngressClass", "IPAddress", "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding", "MutatingWebhookConfiguration", "Namespace",
        "Node", "PersistentVolume", "PriorityClass", "PriorityLevelConfiguration",
        "ResourceSlice", "RuntimeClass", "ServiceCIDR", "StorageClass",
        "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration", "VolumeAttachment", "VolumeAttributesClass",
    )
)  # fmt: skip
"""Kubernetes' own kinds that are in no namespace (kubectl api-resources --namespaced=false)."""


def inject(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:  # noqa: ARG001 - as all
    """Print the file's objects, opted-in StatefulSets injected, and before each what it needs."""
    if sys.version_info < NEEDED:
        present = ".".join(map(str, sys.version_info[:2]))
        raise CannotError(f"inject needs Python 3.11 or newer, and this is {present}")
    # Only now: an older Python can't read it.
    from webhook import manifest  # noqa: PLC0415
    from webhook.errors import DeniedError  # noqa: PLC0415
    from webhook.settings import SidecarImage  # noqa: PLC0415

    image = SidecarImage(name=chosen.image, pull_policy=chosen.image_pull_policy)
    objects: list[Any] = []
    found = False
    read = _objects(kubectl, chosen.file)
    if chosen.namespace is not None:
        _put_into(chosen.namespace, read)
    for it in read:
        if (it.get("apiVersion"), it.get("kind")) != ("apps/v1", "StatefulSet"):
            objects.append(it)
            continue
        try:
            injected = manifest.inject(it, image)
        except DeniedError as error:
            raise CannotError(f'StatefulSet "{it["metadata"].get("name", "")}": {error}') from None
        if injected is None:
            objects.append(it)
            continue
        found = True
        objects += [made for made in injected.needs if not _is_among(made, read + objects)]
        objects.append(injected.statefulset)
        for warning in injected.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    if not found:
        raise CannotError(
            f"{chosen.file} has no StatefulSet with annotation {contract.ENABLED}: "
            '"true"; allowed: one at least'
        )
    print(_written(kubectl, objects, chosen.output), end="")
    return 0


def _put_into(namespace: str, objects: list[Any]) -> None:
    """As kubectl apply -n does: what has no namespace gets this one, and another is refused.

    Without a cluster nobody knows which kinds of others' have none; the API server takes it away
    from those.
    """
    for it in objects:
        metadata = it.get("metadata")
        group = str(it.get("apiVersion")).rpartition("/")[0]
        built_in = not group or group.endswith(".k8s.io")
        if not isinstance(metadata, dict) or (built_in and it.get("kind") in OF_THE_CLUSTER):
            continue
        present = metadata.setdefault("namespace", namespace)
        if present != namespace:
            raise CannotError(
                f'{it.get("kind")} "{metadata.get("name", "")}" is in namespace "{present}", and '
                f'-n names "{namespace}": leave one of them out'
            )


def _is_among(wanted: Any, objects: list[Any]) -> bool:
    """Whether there is an object of this kind and name: the user's own, or another set's."""

    def identity(it: Any) -> tuple[Any, Any]:
        return it.get("kind"), (it.get("metadata") or {}).get("name")

    return identity(wanted) in map(identity, objects)


def _objects(kubectl: Kubectl, file: str) -> list[Any]:
    """Return the objects of a file, whose YAML kubectl reads. It asks no cluster."""
    rest = kubectl.run(*UNCHANGED, "-o", "json", "-f", file).strip()
    objects: list[Any] = []
    while rest:
        try:
            value, end = json.JSONDecoder().raw_decode(rest)
        except ValueError:
            raise CannotError("kubectl: what it printed is no JSON") from None
        objects.append(value)
        rest = rest[end:].lstrip()
    return objects


def _written(kubectl: Kubectl, objects: list[Any], form: str) -> str:
    if form == "json":
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        return json.dumps(listed, indent=2) + "\n"
    # One by one: kubectl puts nothing between several.
    words = (*UNCHANGED, "-o", "yaml", "-f", "-")
    return "---\n".join(kubectl.run(*words, stdin=json.dumps(it)) for it in objects)
