"""Other webhooks that a pod template asks for, where what they inject and pgset meet.

Of the template it is known what it asks for itself; what a label of its namespace injects shows in
the pods alone.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from sidecar import contract
from webhook.json_patch import Json

NEED_THE_TOKEN: Final = (
    "vault.hashicorp.com/agent-inject",
    *(
        f"{webhook}/{name}"
        for webhook in ("vault.security.banzaicloud.io", "secrets-webhook.security.bank-vaults.io")
        for name in ("vault-addr", "vault-role")
    ),
    "dapr.io/enabled",
    "org.infisical.com/inject",
    "conjur.org/inject",
    "akeyless/enabled",
    "consul.hashicorp.com/connect-inject",
    "consul.hashicorp.com/connect-inject-status",
    "kuma.io/sidecar-injection",
    "kuma.io/sidecar-injected",
)
"""Labels or annotations by which injectors come that log in by the pod's token, or that these leave
on a pod whose namespace has them come. Vault's and Consul's refuse a pod none of whose containers
has it: hashicorp/vault-k8s, agent-inject/agent/agent.go, serviceaccount(); hashicorp/consul-k8s,
findServiceAccountVolumeMount()."""

NOT_ASKED: Final = ("", "false", "no", "off", "disabled")
"""What such an annotation says where the injector is to stay away."""

BRING_NOTHING: Final = (
    f"{contract.DOMAIN}/",
    "checksum/",
    "cluster-autoscaler.kubernetes.io/",
    "kubectl.kubernetes.io/",
    "prometheus.io/",
)
"""How annotations begin by which nothing is injected."""

API_PORT: Final = 443
"""Of Service `kubernetes`, which the sidecar asks before a proxy of the usual kind runs."""


MAX_PORTS: Final = 4096
"""Characters of a list of ports that are read: nobody needs more."""
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
    proxy: str = ""
    """The name of the proxy's container; empty: one that other containers have as well."""
    off: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Labels or annotations by whose values nothing goes by the proxy, though it may be there."""
    inbound_only: str = ""
    """The annotation with the only ports that go by it; unset: all but the excluded."""
    unsure: tuple[str, ...] = ()
    """Annotations that may also let the members pass: of what they say, nothing is known here."""


MESHES: Final = (
    Mesh(
        "Istio",
        {"sidecar.istio.io/inject": ("true",), "istio.io/rev": ()},
        "traffic.sidecar.istio.io/excludeInboundPorts",
        "traffic.sidecar.istio.io/excludeOutboundPorts",
        "istio-proxy",
        off={
            "sidecar.istio.io/inject": ("false",),
            "sidecar.istio.io/interceptionMode": ("NONE",),
        },
        inbound_only="traffic.sidecar.istio.io/includeInboundPorts",
        unsure=(
            "inject.istio.io/templates",
            "traffic.sidecar.istio.io/excludeOutboundIPRanges",
            "traffic.sidecar.istio.io/includeOutboundIPRanges",
        ),
    ),
    Mesh(
        "Linkerd",
        {"linkerd.io/inject": ("enabled", "ingress")},
        "config.linkerd.io/skip-inbound-ports",
        "config.linkerd.io/skip-outbound-ports",
        "linkerd-proxy",
        unsure=("config.linkerd.io/skip-subnets",),
    ),
    Mesh(
        "Kuma",
        {"kuma.io/sidecar-injection": ("enabled", "true")},
        "traffic.kuma.io/exclude-inbound-ports",
        "traffic.kuma.io/exclude-outbound-ports",
        "kuma-sidecar",
        off={"kuma.io/transparent-proxying": ("disabled", "false")},
        unsure=(
            "traffic.kuma.io/exclude-inbound-ips",
            "traffic.kuma.io/exclude-outbound-ips",
        ),
    ),
    Mesh(
        "Consul",
        {"consul.hashicorp.com/connect-inject": ("true",)},
        "consul.hashicorp.com/transparent-proxy-exclude-inbound-ports",
        "consul.hashicorp.com/transparent-proxy-exclude-outbound-ports",
        "consul-dataplane",
        off={"consul.hashicorp.com/transparent-proxy": ("false",)},
        unsure=("consul.hashicorp.com/transparent-proxy-exclude-outbound-cidrs",),
    ),
    Mesh(
        "NGINX Service Mesh",
        {"injector.nsm.nginx.com/auto-inject": ("true",)},
        "config.nsm.nginx.com/ignore-incoming-ports",
        "config.nsm.nginx.com/ignore-outgoing-ports",
        "nginx-mesh-sidecar",
    ),
    Mesh(
        "Open Service Mesh",
        {"openservicemesh.io/sidecar-injection": ("enabled", "true", "yes")},
        "openservicemesh.io/inbound-port-exclusion-list",
        "openservicemesh.io/outbound-port-exclusion-list",
        unsure=(
            "openservicemesh.io/outbound-ip-range-exclusion-list",
            "openservicemesh.io/outbound-ip-range-inclusion-list",
        ),
    ),
)


def needs_token(metadata: Json) -> bool:
    """Return whether a template or a pod asks for an injector that needs the API token."""
    marks = {**(metadata.get("annotations") or {}), **(metadata.get("labels") or {})}
    return any(marks.get(name, "") not in NOT_ASKED for name in NEED_THE_TOKEN)


def may_bring_files(metadata: Json) -> bool:
    """Return whether an injector may come and mount what the template does not: any annotation that
    is of nobody known may ask for one."""
    annotations = metadata.get("annotations") or {}
    return any(not name.startswith(BRING_NOTHING) for name in annotations)


def meshes_in_the_way(template: Json, port: int) -> Iterator[str]:
    """Yield a sentence for a mesh whose proxy would stand between the members, be it that the
    template asks for it, or that somebody has injected it there (`istioctl kube-inject`).

    `port`: PostgreSQL's.

    The kubelet's probes have no certificate of the mesh's, and while init containers run there may
    be no proxy yet, but no way around it either.
    """
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    for mesh in _proxies(template, port):
        if not annotations.keys().isdisjoint(mesh.unsure):
            continue
        yield (
            f"spec.template has, or asks for, the proxy of {mesh.name}, which would keep the "
            "kubelet from the sidecar and the members from each other; allowed: a template without "
            "it, or with "
            f"the annotations {_allowing(mesh, port)}"
        )


def proxy_in_the_way(pod: Json, port: Callable[[], int]) -> str:
    """Return the mesh whose proxy this pod has, and the annotations that would let the members
    pass it, for messages; "" if there is none, or if it may let them pass.

    `port`: says PostgreSQL's, where that matters.
    """
    spec, annotations = pod["spec"], pod["metadata"].get("annotations") or {}
    names = _names(spec)
    for mesh in MESHES:
        may_pass = _is_off(mesh, {**annotations, **(pod["metadata"].get("labels") or {})})
        if mesh.proxy not in names or may_pass or not annotations.keys().isdisjoint(mesh.unsure):
            continue
        if not _lets_pass(mesh, annotations, number := port()):
            return f"{mesh.name}: {_allowing(mesh, number)}"
    return ""


def a_mesh_may_be_in_the_way(template: Json, port: int) -> bool:
    """Return whether a template asks for a proxy in a way of which it is not known what passes."""
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    return any(not annotations.keys().isdisjoint(mesh.unsure) for mesh in _proxies(template, port))


def _proxies(template: Json, port: int) -> Iterator[Mesh]:
    """Yield the meshes that are asked for or there, as far as they are not known to let members
    pass."""
    metadata = template.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    marks = {**annotations, **(metadata.get("labels") or {})}
    names = _names(template.get("spec") or {})
    for mesh in MESHES:
        wanted = mesh.proxy in names or _asks(mesh, marks)
        if wanted and not _is_off(mesh, marks) and not _lets_pass(mesh, annotations, port):
            yield mesh


def _names(spec: Json) -> set[str]:
    containers = (spec.get("containers") or []) + (spec.get("initContainers") or [])
    return {it["name"] for it in containers}


def _lets_pass(mesh: Mesh, annotations: Mapping[str, str], port: int) -> bool:
    only = annotations.get(mesh.inbound_only)
    ports = _passing(mesh, port)
    passes = {name: _has(annotations.get(name, ""), which) for name, which in ports.items()}
    if only is not None and not any(_has(only, (it,)) for it in (port, contract.SIDECAR_PORT)):
        passes[mesh.inbound] = True
    if mesh.name == "Istio" and _captures_no_outbound(annotations):
        passes[mesh.outbound] = True
    return all(passes.values())


def _allowing(mesh: Mesh, port: int) -> str:
    return " and ".join(
        f'{name}: "{",".join(map(str, ports))}"' for name, ports in _passing(mesh, port).items()
    )


def _passing(mesh: Mesh, port: int) -> dict[str, tuple[int, ...]]:
    """Return the ports that must not go by the proxy, by the annotation that excludes them."""
    members = (port, contract.SIDECAR_PORT)
    return {mesh.inbound: members, mesh.outbound: (API_PORT, *members)}


def _captures_no_outbound(annotations: Mapping[str, str]) -> bool:
    prefix = "traffic.sidecar.istio.io/includeOutbound"
    return annotations.get(f"{prefix}IPRanges") == "" and not annotations.get(f"{prefix}Ports")


def _asks(mesh: Mesh, marks: Mapping[str, str]) -> bool:
    ambient = marks.get("istio.io/dataplane-mode") == "ambient"  # by the node, without a sidecar
    return any(
        name in marks and (not values or marks[name] in values)
        for name, values in mesh.asked_by.items()
        if not (ambient and name == "istio.io/rev")
    )


def _is_off(mesh: Mesh, marks: Mapping[str, str]) -> bool:
    return any(marks.get(name) in values for name, values in mesh.off.items())


def _has(text: str, ports: tuple[int, ...]) -> bool:
    """Return whether a list of ports and of ranges such as 5000-6000 has all of these."""
    if text.strip() == "*":
        return True
    ranges = [_RANGE.fullmatch(item.strip()) for item in text[:MAX_PORTS].split(",")]
    known = [(int(it[1]), int(it[2] or it[1])) for it in ranges if it]
    return all(any(low <= port <= high for low, high in known) for port in ports)
