"""Kubernetes Events on this pod, for `kubectl describe pod`, or on its StatefulSet."""

import secrets
from typing import Final

from sidecar.action import Attention
from sidecar.contract import SIDECAR_CONTAINER
from sidecar.kube.client import ApiClient, Json
from sidecar.kube.lease_record import now_text
from sidecar.observation import Identity

_MAX_MESSAGE: Final = 1024
"""Characters; the API server refuses longer ones."""


class Events:
    """The recorder of this pod's Events."""

    def __init__(self, client: ApiClient, namespace: str, me: Identity) -> None:
        """Events are about pod `me`."""
        self._client = client
        self._namespace = namespace
        self._me = me
        self._pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": namespace,
            "name": me.name,
            "uid": me.uid,
        }

    def record(
        self, reason: str, message: str, attention: Attention, about: Json | None = None
    ) -> None:
        """Create one Event. Raises ApiError. `about`: an involvedObject other than this pod."""
        now = now_text("seconds")
        self._client.create(
            f"/api/v1/namespaces/{self._namespace}/events",
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {
                    "name": f"{self._me.name}.{secrets.token_hex(8)}",
                    "namespace": self._namespace,
                },
                "involvedObject": about or self._pod,
                "type": attention.value,
                "reason": reason,
                "message": message[:_MAX_MESSAGE],
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
                "source": {"component": SIDECAR_CONTAINER},
            },
        )
