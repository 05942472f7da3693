"""Other webhooks that a pod template asks for, where what they inject and pgset meet.

Only the template is looked at: what a whole namespace or cluster injects is not known here.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sidecar import contract
from webhook.json_patch import Json

NEED_THE_TOKEN: Final = (
    "vault.hashicorp.com/agent-inject",
    "vault.security.banzaicloud.io/vault-addr",
    "secrets-webhook.security.bank-vaults.io/vault-addr",
    "dapr.io/enabled",
)
"""Annotations by which injectors come that log in by the pod's token. Vault's refuses a pod none of
whose containers has it: hashicorp/vault-k8s, agent-inject/agent/agent.go, serviceaccount()."""

MEMBERS_PORTS: Final = (contract.POSTGRES_PORT, contract.SIDECAR_PORT)
API_PORT: Final = 443
"""Of Service `kubernetes`, which the sidecar asks before a proxy of the usual kind runs."""


_RANGE: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mesh:
    """A service mesh whose proxy is injected into pods that ask for it."""

    name: str
    asked_by: Mapping[str, tuple[str, ...]]
    """Labels or annotations, with the values that ask; no values: any."""
    inbound: str
    """The annotation with the ports that go by the proxy, separated by commas."""
    outbound: str


MESHES: Final = (
    Mesh(
        "Istio",
        {"sidecar.istio.io/inject": ("true",), "istio.io/rev": ()},
        "traffic.sidecar.istio.io/excludeInboundPorts",
        "traffic.sidecar.istio.io/excludeOutboundPorts",
    ),
    Mesh(
        "Linkerd",
        {"linkerd.io/inject": ("enabled", "ingress")},
        "config.linkerd.io/skip-inbound-ports",
        "config.linkerd.io/skip-outbound-ports",
    ),
    Mesh(
        "Kuma",
        {"kuma.io/sidecar-injection": ("enabled", "true")},
        "traffic.kuma.io/exclude-inbound-ports",
        "traffic.kuma.io/exclude-outbound-ports",
    ),
    Mesh(
        "Consul",
        {"consul.hashicorp.com/connect-inject": ("true",)},
        "consul.hashicorp.com/transparent-proxy-exclude-inbound-ports",
        "consul.hashicorp.com/transparent-proxy-exclude-outbound-ports",
    ),
)


def needs_token(metadata: Json) -> bool:
    """Return whether a template or a pod asks for an injector that needs the API token."""
    annotations = metadata.get("annotations") or {}
    return any(annotations.get(name, "false") not in ("", "false") for name in NEED_THE_TOKEN)


def meshes_in_the_way(metadata: Json) -> Iterator[str]:
    """Yield a sentence for a mesh whose proxy would stand between the members.

    The kubelet's probes have no certificate of the mesh's, and while init containers run there may
    be no proxy yet, but no way around it either.
    """
    annotations = metadata.get("annotations") or {}
    marks = {**annotations, **(metadata.get("labels") or {})}
    for mesh in MESHES:
        if not _asks(mesh, marks):
            continue
        wanted = {mesh.inbound: MEMBERS_PORTS, mesh.outbound: (API_PORT, *MEMBERS_PORTS)}
        if all(_has(annotations.get(name, ""), ports) for name, ports in wanted.items()):
            continue
        allowed = " and ".join(
            f'{name}: "{",".join(map(str, ports))}"' for name, ports in wanted.items()
        )
        yield (
            f"spec.template asks for the proxy of {mesh.name}, which would keep the kubelet from "
            "the sidecar and the members from each other; allowed: a template without it, or with "
            f"the annotations {allowed}"
        )


def _asks(mesh: Mesh, marks: Mapping[str, str]) -> bool:
    if mesh.name == "Istio" and marks.get("sidecar.istio.io/inject") == "false":
        return False
    return any(
        name in marks and (not values or marks[name] in values)
        for name, values in mesh.asked_by.items()
    )


def _has(text: str, ports: tuple[int, ...]) -> bool:
    """Return whether a list of ports and of ranges such as 5000-6000 has all of these."""
    ranges = [_RANGE.fullmatch(item.strip()) for item in text.split(",")]
    known = [(int(it[1]), int(it[2] or it[1])) for it in ranges if it]
    return all(any(low <= port <= high for low, high in known) for port in ports)
