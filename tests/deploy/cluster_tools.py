"""kubectl on the local cluster, for the tests that need a real API server."""

import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import yaml

from deploy.local import cluster, paths
from tests.deploy.manifests import DEPLOY

SYSTEM = "pgset-system"
WEBHOOK_PODS = "app.kubernetes.io/name=pgset,app.kubernetes.io/component=webhook"
WEBHOOK_REPLICAS = 2

_TRIES = 5

_ANSWERED = re.compile(
    r'^pgset_admission_requests_total\{.*outcome="(\w+)".*\} (\S+)$', re.MULTILINE
)


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
        self.tries = 0
        """How often the last call was made."""

    def __call__(self, *arguments: str, manifest: Any = None) -> str:
        """Return standard output; a manifest goes in by standard input.

        Raises RefusedError if kubectl fails. Where a webhook was too busy to answer in time, it is
        called again: nothing was stored; and so is `apply` where a test beside this one made one of
        the objects at the same moment.
        """
        for self.tries in range(1, _TRIES + 1):
            run = subprocess.run(
                [*self._command, *arguments],
                input=yaml.dump(manifest) if manifest is not None else None,
                capture_output=True,
                text=True,
                check=False,
            )
            made_meanwhile = arguments[0] == "apply" and "(AlreadyExists)" in run.stderr
            if run.returncode == 0 or not (is_late(run.stderr) or made_meanwhile):
                break
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


def is_late(refusal: str) -> bool:
    """Whether a webhook did not answer in its seconds; it may well be right otherwise."""
    return "failed calling webhook" in refusal and "deadline exceeded" in refusal


def make_namespace(name: str) -> Kubectl:
    """Create it, and wait until pods can be made there: they need the default service account."""
    kubectl = Kubectl(name)
    kubectl("create", "namespace", name)
    account = ("get", "serviceaccount", "default", "--ignore-not-found")
    wait_until(lambda: bool(kubectl(*account)), seconds=180)
    return kubectl


def webhook_pods() -> list[str]:
    """Names of the webhook's pods, also of those on their way out: they answer to the last."""
    pods = Kubectl(SYSTEM).json("get", "pods", "-l", WEBHOOK_PODS)["items"]
    return [pod["metadata"]["name"] for pod in pods]


def install(*, restart: bool = True) -> None:
    """Start the cluster where it is not running, and install the webhook as it is now.

    `restart`: not beside other tests, whose pods would be refused by a webhook that ends sooner
    than a busy kube-proxy has heard of it.
    """
    cluster.up()
    system = Kubectl(SYSTEM)
    system("apply", "-k", str(DEPLOY))
    # The pods of an older installation may run an older image of the same name.
    for deployment in ("deployment/pgset-certs", "deployment/pgset-webhook"):
        if restart:
            system("rollout", "restart", deployment)
        system("rollout", "status", deployment, "--timeout=300s")
    wait_until(lambda: len(webhook_pods()) == WEBHOOK_REPLICAS, seconds=180)
    # Until then each pod is admitted as a replica.
    known = "pgset_leases_known 1.0"
    wait_until(lambda: all(known in _metrics(pod) for pod in webhook_pods()), seconds=180)


def served_certificate(pod: str) -> str:
    """The PEM of what a webhook pod serves, as its container sees it."""
    return Kubectl(SYSTEM)("exec", pod, "-c", "webhook", "--", "cat", "/etc/pgset/tls/tls.crt")


def reviews_by_outcome() -> Counter[str]:
    """All reviews that the webhook's pods have counted: patched, unchanged, denied or error."""
    found: Counter[str] = Counter()
    for pod in webhook_pods():
        for outcome, number in _ANSWERED.findall(_metrics(pod)):
            found[outcome] += int(float(number))
    return found


def _metrics(pod: str) -> str:
    path = f"/api/v1/namespaces/{SYSTEM}/pods/https:{pod}:8443/proxy/metrics"
    return Kubectl(SYSTEM)("get", "--raw", path)


def reviews_answered() -> int:
    """All reviews that the webhook's pods have counted."""
    return reviews_by_outcome().total()


def wait_until(claim: Callable[[], bool], seconds: float) -> None:
    """Return when the claim holds; TimeoutError if it doesn't in time.

    What is refused is asked again: a busy API server refuses something now and then.
    """
    deadline, refusal = time.monotonic() + seconds, ""

    def holds() -> bool:
        nonlocal refusal
        try:
            return claim()
        except RefusedError as error:
            refusal = f": {error}"
            return False

    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {seconds} s{refusal}")
        time.sleep(0.2)
