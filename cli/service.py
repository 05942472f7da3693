"""Services, as values."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cli.pod_spec import Json
from cli.times import last_change
from sidecar import contract

MADE_BY_US: Final = {"app.kubernetes.io/managed-by": "pgset-caretaker"}
"""The label on whatever the caretaker makes."""


@dataclass(frozen=True)
class Service:
    """A Service, whoever made it."""

    namespace: str
    name: str
    selector: Mapping[str, str] = field(default_factory=dict)
    headless: bool = False
    target_ports: frozenset[object] = frozenset({contract.POSTGRES_PORT})
    """Of the pods that it selects, by number or name; empty: all of them."""
    also_unready: bool = False
    """Whether it leads to unready pods too (publishNotReadyAddresses)."""
    selects: str = ""
    """The role that the webhook is asked to add to its selector; "" if none is."""
    added: str = ""
    """The label key that the webhook has added for that."""
    made_by_us: bool = False
    """Whether the caretaker made it."""
    changed: datetime.datetime | None = None
    """The API server's time of the last change of it."""

    @classmethod
    def from_json(cls, service: Json) -> Service:
        """Read a Service."""
        metadata, spec = service["metadata"], service.get("spec") or {}
        annotations = metadata.get("annotations") or {}
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            # Kubernetes keeps what was the selector before the type was changed to that.
            selector={} if spec.get("type") == "ExternalName" else spec.get("selector") or {},
            headless=spec.get("clusterIP") == "None",
            target_ports=frozenset(
                it.get("targetPort") or it["port"] for it in spec.get("ports") or []
            ),
            also_unready=bool(spec.get("publishNotReadyAddresses")),
            selects=annotations.get(contract.SELECTS, ""),
            added=annotations.get(contract.SELECTED_BY, ""),
            made_by_us=MADE_BY_US.items() <= (metadata.get("labels") or {}).items(),
            changed=last_change(metadata),
        )
