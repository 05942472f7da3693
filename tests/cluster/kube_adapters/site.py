"""A namespace on the local cluster, who may do what in it, and lines to its API server."""

import base64
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from deploy.demo.stage import Stage
from sidecar import contract
from sidecar.http_client import Timeouts
from sidecar.kube.client import ApiClient, ApiError, ForbiddenError, Json
from sidecar.observation import Identity
from tests.deploy.manifests import cluster_role
from tests.support.waiting import wait_until

SIDECAR, POWERLESS, PERSON = "pgset-sa", "powerless", "person"
"""Who asks: with deploy/grant's rights, with none, with all in the namespace."""

ROOM = 1.0
"""For this shared machine, in seconds."""
PATIENT = 60.0
"""Seconds that a busy API server has for an answer, where the claim is not its deadline."""

POD = {
    "schedulerName": "nobody",
    "serviceAccountName": SIDECAR,
    "automountServiceAccountToken": False,
    "containers": [{"name": "db", "image": "postgres"}],
}


class Line(ApiClient):
    """The way to the API server. A test can disturb it, as networks and servers do."""

    lists = 0
    refusal: ApiError | None = None
    """Ends the next watch."""
    refusal_to_start: ApiError | None = None
    """Meets the next watch that is asked for."""
    short_watches = False
    """Each watch ends, in good order, after its next event."""
    writes_by: ApiClient | None = None
    """What is written goes this way, while reading and watching go the straight one."""
    while_listing: Callable[[], None] | None = None
    """Happens once, between a list's making and its arrival."""
    closed = False

    def __init__(self, base_url: str, ca_file: Path, token_file: Path) -> None:
        super().__init__(base_url, ca_file, token_file)
        self.slow_watch = threading.Event()
        """Cleared, it keeps each event until it is set."""
        self.slow_watch.set()

    def _timeouts(self, seconds: float | None) -> Timeouts:
        return Timeouts(PATIENT, PATIENT, seconds or PATIENT)

    def _watch_timeouts(self) -> Timeouts:
        # Given up while it connects, a watch would be followed by another list, which tests count.
        return super()._watch_timeouts()._replace(connect=PATIENT)

    def get(self, path: str, query: dict[str, str] | None = None, **limits: Any) -> Json:
        answer = super().get(path, query, **limits)
        if "items" in answer:
            self.lists += 1
            if (happens := self.while_listing) is not None:
                self.while_listing = None
                happens()
        return answer

    def create(self, path: str, body: Json) -> Json:
        way = self.writes_by
        return way.create(path, body) if way else super().create(path, body)

    def replace(self, path: str, body: Json) -> Json:
        way = self.writes_by
        return way.replace(path, body) if way else super().replace(path, body)

    def watch(self, path: str, query: dict[str, str], **limits: Any) -> Iterator[Json]:
        if (refusal := self.refusal_to_start) is not None:
            self.refusal_to_start = None
            raise refusal
        for event in super().watch(path, query, **limits):
            self.slow_watch.wait()
            if self.closed:
                threading.Event().wait()  # The watching thread ends with the process.
            if (refusal := self.refusal) is not None:
                self.refusal = None
                raise refusal
            yield event
            if self.short_watches:
                return


class Site:
    """A namespace of its own, and who may do what in it."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self._stage = stage
        self._folder = folder
        self.name = f"pgset-adapters-{secrets.token_hex(3)}"
        self.leases = f"/apis/coordination.k8s.io/v1/namespaces/{self.name}/leases"
        self.pods = f"/api/v1/namespaces/{self.name}/pods"
        kubeconfig = json.loads(self.kubectl("config", "view", "--raw", "-o", "json"))
        cluster = kubeconfig["clusters"][0]["cluster"]
        self.address = str(cluster["server"])
        self.ca_file = folder / "ca.crt"
        self.ca_file.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        self._lines: list[Line] = []

    def kubectl(self, *words: str) -> str:
        return self._stage.ask(*words)

    def set_up(self) -> None:
        self.kubectl("create", "namespace", self.name)
        for account in (SIDECAR, POWERLESS, PERSON):
            self.kubectl("-n", self.name, "create", "serviceaccount", account)
            token = self.kubectl("-n", self.name, "create", "token", account)
            (self._folder / account).write_text(token)
        # Without the mark: these tokens are bound to no pod, which the admission policies refuse.
        rules = [it for it in cluster_role("pgset-sidecar")["rules"] if "be" not in it["verbs"]]
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": SIDECAR, "namespace": self.name},
            "rules": rules,
        }
        self._stage.apply(role)
        self.kubectl(
            "-n", self.name, "create", "rolebinding", SIDECAR, f"--role={SIDECAR}",
            f"--serviceaccount={self.name}:{SIDECAR}",
        )  # fmt: skip
        self.kubectl(
            "-n", self.name, "create", "rolebinding", PERSON, "--clusterrole=cluster-admin",
            f"--serviceaccount={self.name}:{PERSON}",
        )  # fmt: skip
        for account in (SIDECAR, PERSON):
            wait_until(self._may_look(account), f"the rights of {account}")

    def _may_look(self, account: str) -> Callable[[], bool]:
        """A busy API server knows of a new RoleBinding a moment after it has stored it."""
        line = self.line(account)

        def may_look() -> bool:
            try:
                line.get(self.leases)
            except ForbiddenError:
                return False
            return True

        return may_look

    def clear(self) -> None:
        for line in self._lines:
            line.closed = True
        self.kubectl("delete", "namespace", self.name, "--wait=false")

    def line(self, account: str = SIDECAR) -> Line:
        line = Line(self.address, self.ca_file, self._folder / account)
        self._lines.append(line)
        return line

    def token_file(self, account: str) -> Path:
        return self._folder / account

    def delete(self, kind: str, name: str) -> None:
        self.kubectl("-n", self.name, "delete", kind, name, "--force", "--grace-period=0")

    def get(self, kind: str, *words: str) -> dict[str, Any]:
        return self._stage.get(kind, *words, namespace=self.name)

    def annotate(self, kind: str, name: str, *annotations: str) -> None:
        self.kubectl("-n", self.name, "annotate", "--overwrite", kind, name, *annotations)

    def make_pod(self, set_name: str, ordinal: int) -> Identity:
        """Labelled only afterwards, so that no webhook of an installed pgset takes part."""
        name = f"{set_name}-{ordinal}"
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": self.name, "labels": {"app": "shop"}},
            "spec": POD,
        }
        self._stage.apply(pod)
        self.kubectl("-n", self.name, "label", "pod", name, f"{contract.SET_LABEL}={set_name}")
        return Identity(name, self.get("pod", name)["metadata"]["uid"])

    def make_statefulset(self, set_name: str, replicas: int) -> None:
        labels = {"app": set_name}
        self._stage.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": {"name": set_name, "namespace": self.name},
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": POD},
                },
            }
        )


def lease(name: str, **labels: str) -> Json:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "labels": labels},
        "spec": {"holderIdentity": "somebody"},
    }
