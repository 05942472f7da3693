"""Kubeconfig files, as JSON (which YAML readers read), with the credentials inside."""

import base64
import json
from pathlib import Path

from deploy.local import pki
from deploy.local.layout import API_PORT, CONTROL_PLANE_ADDRESS

INSIDE = f"https://{CONTROL_PLANE_ADDRESS}:{API_PORT}"
"""The API server's address for what runs inside of the cluster's network."""


def render(server: str, authority: bytes, certificate: bytes, key: bytes) -> str:
    """The text of a kubeconfig whose only context is the cluster; credentials in PEM."""
    name = "pgset-local"
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": name,
                    "cluster": {"server": server, "certificate-authority-data": _base64(authority)},
                }
            ],
            "users": [
                {
                    "name": name,
                    "user": {
                        "client-certificate-data": _base64(certificate),
                        "client-key-data": _base64(key),
                    },
                }
            ],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        },
        indent=2,
    )


def write(path: Path, identity: str, server: str = INSIDE) -> Path:
    """Write a kubeconfig for the identity whose file name is given; readable by root only."""
    text = render(
        server,
        pki.certificate("ca").read_bytes(),
        pki.certificate(identity).read_bytes(),
        pki.key(identity).read_bytes(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
