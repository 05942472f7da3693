"""The webhook and the caretaker, as the Deployments start them, but without containers."""

import base64
import http.client
import ssl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

from certs.authority import service_names
from certs.renewal import renewed
from deploy.local import kubeconfig, paths, pki, programs
from deploy.local.shell import run
from tests.bench.admission.servers import Server
from tests.bench.scale.control_plane import ControlPlane, process
from tests.bench.scale.sets import NODE
from tests.deploy.manifests import document
from tests.webhook import mounted
from webhook.api_server import CA_FILE, TOKEN_FILE

SYSTEM: Final = "pgset-system"
_LOOPBACK: Final = "localhost"
_TOKEN_SECONDS: Final = 86400
_SECONDS: Final = 5.0

_MOUNTED: Final = (
    "mount -t tmpfs tmpfs /run && mkdir -p /run/secrets/kubernetes.io"
    ' && ln -s "$0" /run/secrets/kubernetes.io/serviceaccount && exec "$@"'
)
"""For a shell in a mount namespace of its own: the token is where a kubelet puts it."""


@dataclass(frozen=True)
class Ours:
    """What starts our two processes against one control plane."""

    plane: ControlPlane
    folder: Path
    webhook_port: int
    probes_port: int

    @contextmanager
    def webhook(self) -> Iterator[Server]:
        """Run the webhook; it may not be ready yet."""
        environment = {
            "PGSET_PORT": str(self.webhook_port),
            "PGSET_PROBES_PORT": str(self.probes_port),
            "PGSET_TLS_DIRECTORY": str(self._tls()),
        }
        with self._process("webhook", "deployment.yaml", environment) as pid:
            yield Server(f"https://{_LOOPBACK}:{self.webhook_port}", pid)

    @contextmanager
    def caretaker(self) -> Iterator[Server]:
        """Run the caretaker."""
        with self._process("caretaker", "caretaker-deployment.yaml", {}) as pid:
            yield Server("", pid)

    def webhook_metrics(self) -> str:
        """Return what the webhook tells of itself, "" if it is not ready."""
        context = ssl.create_default_context(cafile=str(self._tls() / mounted.AUTHORITY_FILE))
        connection = http.client.HTTPSConnection(
            _LOOPBACK, self.webhook_port, context=context, timeout=_SECONDS
        )
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            content = answer.read().decode()
            return content if answer.status == HTTPStatus.OK else ""
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()

    def install(self) -> None:
        """Apply deploy/, have the API server ask the webhook here, and give each its token."""
        server = f"https://127.0.0.1:{self.plane.port}"
        file = kubeconfig.write(self.folder / "admin.conf", "admin", server)
        kubectl = [programs.kubernetes() / "kubectl", f"--kubeconfig={file}"]
        run([*kubectl, "apply", "-k", paths.CHECKOUT / "deploy"])
        self._serve_certificate()
        # The webhook looks up its own pod; this one is not run.
        pod = {
            "metadata": {"name": _pod("webhook")},
            "spec": {**document("deployment.yaml")["spec"]["template"]["spec"], "nodeName": NODE},
        }
        self.plane.api.create(f"/api/v1/namespaces/{SYSTEM}/pods", pod)
        for name in ("webhook", "caretaker"):
            self._write_token(name)

    def _serve_certificate(self) -> None:
        names = (*service_names("pgset-webhook", SYSTEM), _LOOPBACK)
        trust, _ = renewed(None, names, datetime.now(UTC))
        self._tls().mkdir()
        mounted.write(self._tls(), trust)
        path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/pgset"
        registered = self.plane.api.get(path)
        for it in registered["webhooks"]:
            asked = it["clientConfig"].pop("service")["path"]
            it["clientConfig"] = {
                "url": f"https://{_LOOPBACK}:{self.webhook_port}{asked}",
                "caBundle": base64.b64encode(trust.authority.certificate).decode(),
            }
        self.plane.api.replace(path, registered)

    def _write_token(self, name: str) -> None:
        path = f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/pgset-{name}/token"
        answer = self.plane.api.create(path, {"spec": {"expirationSeconds": _TOKEN_SECONDS}})
        folder = self._account(name)
        folder.mkdir()
        (folder / TOKEN_FILE).write_text(answer["status"]["token"])
        (folder / CA_FILE).write_bytes(pki.certificate("ca").read_bytes())

    @contextmanager
    def _process(self, name: str, manifest: str, environment: dict[str, str]) -> Iterator[int]:
        container = document(manifest)["spec"]["template"]["spec"]["containers"][0]
        written = {it["name"]: it["value"] for it in container["env"] if "value" in it}
        command = [
            *("unshare", "--mount", "sh", "-c", _MOUNTED, str(self._account(name))),
            *_in_this_python(container["command"]),
        ]
        downward = {
            "PGSET_POD_NAME": _pod(name),
            "PGSET_POD_NAMESPACE": SYSTEM,
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.plane.port),
            "PYTHONPATH": str(paths.CHECKOUT),
        }
        with process(name, command, self.folder, written | downward | environment) as pid:
            yield pid

    def _account(self, name: str) -> Path:
        return self.folder / f"account-{name}"

    def _tls(self) -> Path:
        return self.folder / "tls"


def _pod(name: str) -> str:
    return f"pgset-{name}-bench"


def _in_this_python(command: Sequence[str]) -> list[str]:
    """Return an image's command as one of this virtual environment."""
    program, *arguments = command
    module = [] if program == "python" else ["-m", program]
    return [sys.executable, *module, *arguments]
