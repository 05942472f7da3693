"""The pods that are created: as the StatefulSet controller makes them, and never scheduled."""

import copy
import json
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from sidecar import contract
from tests.deploy.manifests import document

EXAMPLE: Final = "examples/volume-claim-templates/statefulset.yaml"
MEMBERS: Final = 5
"""Pods of one set."""


@dataclass(frozen=True)
class Creation:
    """One pod to be created."""

    opted_in: bool
    body: bytes
    """The Pod, in JSON."""


def creations(pods: int, seed: int) -> list[Creation]:
    """Return so many pods of opted-in sets and as many plain ones, mixed at random."""
    statefulset = document(EXAMPLE)
    made = [
        _creation(statefulset, number, opted_in=opted_in)
        for number in range(pods)
        for opted_in in (True, False)
    ]
    Random(seed).shuffle(made)  # noqa: S311 - no secret
    return made


def _creation(statefulset: dict[str, Any], number: int, *, opted_in: bool) -> Creation:
    index, ordinal = divmod(number, MEMBERS)
    pod = _pod(statefulset, f"{'set' if opted_in else 'plain'}-{index}", ordinal)
    if opted_in:
        _stamp(pod["metadata"], f"set-{index}")
    return Creation(opted_in, json.dumps(pod, separators=(",", ":")).encode())


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


def _stamp(metadata: dict[str, Any], set_name: str) -> None:
    """Mark a pod as the webhook has marked the template that it is made of."""
    metadata["labels"][contract.SET_LABEL] = set_name
    metadata["annotations"] = {contract.ENABLED: "true", contract.CONTAINER: "postgres"}
