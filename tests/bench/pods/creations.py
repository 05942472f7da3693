"""The pods that are created: as the StatefulSet controller makes them, and never scheduled."""

import copy
import json
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any, Final

from sidecar import contract
from tests.deploy.manifests import document
from tests.webhook import objects
from webhook.mutate import mutate_pod


class Kind(StrEnum):
    """What is compared."""

    OPTED_IN = "opted in"
    """Of a set: the API server asks the webhook, which makes it a member."""
    WRITTEN_OUT = "written out"
    """A member's containers and volumes, without the stamp: the webhook is not asked."""
    PLAIN = "plain"


EXAMPLE: Final = "examples/volume-claim-templates/statefulset.yaml"
MEMBERS: Final = 5
"""Pods of one set."""
_OWNERS: Final = {Kind.OPTED_IN: "set", Kind.WRITTEN_OUT: "written", Kind.PLAIN: "plain"}


@dataclass(frozen=True)
class Creation:
    """One pod to be created."""

    kind: Kind
    body: bytes
    """The Pod, in JSON."""


def creations(pods: int, seed: int) -> list[Creation]:
    """Return so many pods of each kind, mixed at random."""
    statefulset = document(EXAMPLE)
    made = [_creation(statefulset, number, kind) for number in range(pods) for kind in Kind]
    Random(seed).shuffle(made)  # noqa: S311 - no secret
    return made


def _creation(statefulset: dict[str, Any], number: int, kind: Kind) -> Creation:
    index, ordinal = divmod(number, MEMBERS)
    owner = f"{_OWNERS[kind]}-{index}"
    pod = _pod(statefulset, owner, ordinal)
    if kind is Kind.OPTED_IN:
        pod = _stamped(pod, owner)
    if kind is Kind.WRITTEN_OUT:
        pod = _written_out(pod, owner)
    return Creation(kind, json.dumps(pod, separators=(",", ":")).encode())


def _pod(statefulset: dict[str, Any], owner: str, ordinal: int) -> dict[str, Any]:
    name = f"{owner}-{ordinal}"
    template = copy.deepcopy(statefulset["spec"]["template"])
    template["metadata"].update(name=name)
    template["metadata"]["labels"] |= {
        "apps.kubernetes.io/pod-index": str(ordinal),
        "statefulset.kubernetes.io/pod-name": name,
    }
    volumes = [
        {"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{name}"}}
        for claim in (it["metadata"]["name"] for it in statefulset["spec"]["volumeClaimTemplates"])
    ]
    # A pod that has no node is also deleted without a grace period.
    template["spec"] |= {
        "hostname": name,
        "subdomain": owner,
        "volumes": volumes,
        "schedulerName": "nobody",
    }
    return {"apiVersion": "v1", "kind": "Pod", **template}


def _stamped(pod: dict[str, Any], set_name: str) -> dict[str, Any]:
    """Mark a pod as the webhook has marked the template that it is made of."""
    stamped = copy.deepcopy(pod)
    stamped["metadata"]["labels"][contract.SET_LABEL] = set_name
    stamped["metadata"]["annotations"] = {contract.ENABLED: "true", contract.CONTAINER: "postgres"}
    return stamped


def _written_out(pod: dict[str, Any], set_name: str) -> dict[str, Any]:
    stamped = _stamped(pod, set_name)
    verdict = mutate_pod(objects.review_of(stamped), objects.IMAGE, objects.never_led)
    return {**pod, "spec": objects.patched(stamped, verdict)["spec"]}
