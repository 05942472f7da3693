"""The cluster's keys and certificates, made afresh for each cluster by the openssl program.

One authority signs everything. Keys are P-256: an RSA key takes 20 times as long to make.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.local import paths
from deploy.local.layout import (
    API_SERVICE_ADDRESS,
    CLUSTER_DOMAIN,
    CONTROL_PLANE_ADDRESS,
    NODES,
)
from deploy.local.shell import run

_DAYS = "365"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")


@dataclass(frozen=True)
class Identity:
    """One certificate: its file name, its user and group for Kubernetes, where it serves."""

    file: str
    user: str
    group: str = ""
    alternative_names: str = ""

    @property
    def subject(self) -> str:
        """The X.509 subject: CN is the user, O is the group."""
        return (f"/O={self.group}" if self.group else "") + f"/CN={self.user}"


def folder() -> Path:
    """Where the keys and certificates are."""
    return paths.state() / "pki"


def certificate(file: str) -> Path:
    """The path of a certificate by its file name."""
    return folder() / f"{file}.crt"


def key(file: str) -> Path:
    """The path of a private key by its file name."""
    return folder() / f"{file}.key"


def identities() -> Iterator[Identity]:
    """Every certificate that the cluster needs."""
    yield Identity("api-server", "kube-apiserver", alternative_names=_api_server_names())
    yield Identity("kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
    yield Identity("admin", "admin", "system:masters")
    yield Identity("controller-manager", "system:kube-controller-manager")
    yield Identity("scheduler", "system:kube-scheduler")
    yield Identity("proxy", "system:kube-proxy")
    for node in NODES:
        names = f"IP:{node.address},DNS:{node.name}"
        yield Identity(f"kubelet-{node.name}", f"system:node:{node.name}", "system:nodes", names)


def create() -> None:
    """Make the authority, every identity, and the key that signs ServiceAccount tokens."""
    folder().mkdir(parents=True, mode=0o700)
    _create_authority()
    with ThreadPoolExecutor() as pool:
        list(pool.map(_issue, identities()))
    _create_token_key()


def _api_server_names() -> str:
    addresses = ("127.0.0.1", API_SERVICE_ADDRESS, CONTROL_PLANE_ADDRESS)
    service = "kubernetes.default.svc"
    names = ("localhost", "kubernetes", "kubernetes.default", service)
    full_names = (*names, f"{service}.{CLUSTER_DOMAIN}")
    return ",".join([*(f"IP:{it}" for it in addresses), *(f"DNS:{it}" for it in full_names)])


def _create_authority() -> None:
    _create_certificate("ca", "/CN=pgset-local")


def _issue(identity: Identity) -> None:
    options: list[str | Path] = ["-CA", certificate("ca"), "-CAkey", key("ca")]
    options += ["-addext", "basicConstraints=critical,CA:FALSE"]
    options += ["-addext", "extendedKeyUsage=clientAuth,serverAuth"]
    if identity.alternative_names:
        options += ["-addext", f"subjectAltName={identity.alternative_names}"]
    _create_certificate(identity.file, identity.subject, *options)


def _create_certificate(file: str, subject: str, *options: str | Path) -> None:
    files = ("-keyout", key(file), "-out", certificate(file))
    run(["openssl", "req", "-x509", *_NEW_KEY, "-days", _DAYS, "-subj", subject, *files, *options])


def _create_token_key() -> None:
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key("tokens")])
    run(["openssl", "ec", "-in", key("tokens"), "-pubout", "-out", token_public_key()])


def token_public_key() -> Path:
    """The public half of the key that signs ServiceAccount tokens."""
    return folder() / "tokens.pub"
