"""kubectl on the local cluster, for the tests that need a real API server."""

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import yaml

from deploy.local import cluster, paths

SYSTEM = "pgset-system"
WEBHOOK_PODS = "app.kubernetes.io/component=webhook"


class RefusedError(Exception):
    """The API server said no; the message is kubectl's standard error."""


class Kubectl:
    """kubectl in one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._command = [
            str(cluster.kubectl()),
            f"--kubeconfig={paths.kubeconfig()}",
            f"--namespace={namespace}",
        ]
        self.warnings: list[str] = []
        """What the API server warned of in the last call."""

    def __call__(self, *arguments: str, manifest: Any = None) -> str:
        """Return standard output; a manifest goes in by standard input.

        Raises RefusedError if kubectl fails.
        """
        run = subprocess.run(
            [*self._command, *arguments],
            input=yaml.dump(manifest) if manifest is not None else None,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode != 0:
            raise RefusedError(run.stderr.strip())
        self.warnings = [
            line.removeprefix("Warning: ")
            for line in run.stderr.splitlines()
            if line.startswith("Warning: ")
        ]
        return run.stdout

    def json(self, *arguments: str, manifest: Any = None) -> dict[str, Any]:
        """Return the object that the API server answers with."""
        answer: dict[str, Any] = json.loads(self(*arguments, "-o", "json", manifest=manifest))
        return answer

    def dry_run(self, manifest: Any) -> dict[str, Any]:
        """Have an object admitted, but not stored; return it as it would be stored."""
        return self.json("create", "--dry-run=server", "-f", "-", manifest=manifest)


def webhook_pods() -> list[str]:
    """Names of the webhook's pods, also of those on their way out: they answer to the last."""
    pods = Kubectl(SYSTEM).json("get", "pods", "-l", WEBHOOK_PODS)["items"]
    return [pod["metadata"]["name"] for pod in pods]


def reviews_answered() -> float:
    """All reviews that the webhook's pods have counted."""
    total = 0.0
    for pod in webhook_pods():
        path = f"/api/v1/namespaces/{SYSTEM}/pods/https:{pod}:8443/proxy/metrics"
        lines = Kubectl(SYSTEM)("get", "--raw", path).splitlines()
        counted = [line for line in lines if line.startswith("pgset_admission_requests_total{")]
        total += sum(float(line.rsplit(" ", 1)[1]) for line in counted)
    return total


def wait_until(claim: Callable[[], bool], seconds: float) -> None:
    """Return when the claim holds; TimeoutError if it doesn't in time."""
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {seconds} s")
        time.sleep(0.2)
