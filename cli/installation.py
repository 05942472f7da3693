"""What is installed of pgset in a cluster, as values, and whether a bundle of CAs is one."""

from __future__ import annotations

import base64
import binascii
import datetime
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cli.pod_spec import Json

PARTS: Final = {"pgset-certs": 2, "pgset-webhook": 2, "pgset-caretaker": 1}
"""The Deployments, in the order in which they need each other, and their replicas."""


INJECTED_FROM: Final = "cert-manager.io/inject-ca-from"
HELM: Final = "meta.helm.sh/release-name"


@dataclass(frozen=True)
class Unread:
    """What the user may not read."""

    what: str
    why: str


@dataclass(frozen=True)
class Part:
    """A Deployment of ours."""

    name: str
    wanted: int
    available: int
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Installation:
    """All of it, as far as it may be read."""

    namespace: str
    registered: bool | None
    """Whether the API server asks the webhook; None: not known."""
    bundles: tuple[bytes, ...] = ()
    """The CAs that the API server believes, in PEM, for each of the webhook's paths."""
    parts: tuple[Part, ...] | None = None
    """None: not known."""
    unread: tuple[Unread, ...] = ()
    by_cert_manager: bool = False
    """Whether it writes the bundles, and so the installation has no certs."""
    by_helm: bool = False
    """Whether values of the chart may have left out a part."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """The Deployments that may be missing on purpose."""
        return (
            *(["pgset-certs"] if self.by_cert_manager else []),
            *(["pgset-caretaker"] if self.by_helm else []),
        )

    @classmethod
    def from_json(
        cls,
        namespace: str,
        registrations: Sequence[Json] | None,
        deployments: Sequence[Json] | None,
        unread: tuple[Unread, ...] = (),
    ) -> Installation:
        """Read what was found; None: it could not be read."""
        webhooks = [it for found in registrations or [] for it in found.get("webhooks") or []]
        return cls(
            namespace=namespace,
            registered=None if registrations is None else bool(webhooks),
            bundles=tuple(
                _decoded((it.get("clientConfig") or {}).get("caBundle", "")) for it in webhooks
            ),
            parts=None
            if deployments is None
            else tuple(_part(it) for it in deployments if it["metadata"]["name"] in PARTS),
            unread=unread,
            by_cert_manager=any(INJECTED_FROM in _annotations(it) for it in registrations or []),
            by_helm=any(HELM in _annotations(it) for it in deployments or []),
        )

    def part(self, name: str) -> Part | None:
        """Return one of the Deployments."""
        return next((it for it in self.parts or () if it.name == name), None)


def _annotations(found: Json) -> Json:
    annotations: Json = (found.get("metadata") or {}).get("annotations") or {}
    return annotations


def _part(deployment: Json) -> Part:
    spec, status = deployment.get("spec") or {}, deployment.get("status") or {}
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or []
    return Part(
        name=deployment["metadata"]["name"],
        wanted=spec.get("replicas", 1),
        available=status.get("availableReplicas") or 0,
        images=tuple(it.get("image", "") for it in containers),
    )


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def fault_of(bundle: bytes, now: datetime.datetime) -> str:
    """Return why nobody can be believed by these CAs, as a clause; "" if somebody can."""
    if not bundle.strip():
        return "is empty"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=bundle.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError):
        return "is not one"
    if context.cert_store_stats()["x509"] > len(context.get_ca_certs()):
        return ""  # a server's own certificate, too, is believed; its end is not told here
    ends = [ssl.cert_time_to_seconds(str(it["notAfter"])) for it in context.get_ca_certs()]
    return "" if any(it > now.timestamp() for it in ends) else "has expired"
