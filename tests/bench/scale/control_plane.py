"""etcd, an API server and a controller manager of this benchmark's own, on loopback.

Nodes, kubelets and a scheduler there are none: pods are made, and never run. Ports are free ones
and all files are in one folder, so that a local cluster beside it is not touched.
"""

import http.client
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local import kubeconfig, packages, pki, programs
from tests.bench.cost import NotMeasuredError
from tests.bench.scale.api import Api, admin_context
from tests.support.database import free_port

OURS: Final = {
    it: f"system:serviceaccount:pgset-system:pgset-{it}" for it in ("webhook", "caretaker")
}
"""Whose requests are counted, by the API server's audit log."""

CONTROLLERS: Final = ("statefulset-controller", "serviceaccount-controller")
"""Those that sets can't be without: one makes the pods, the other each namespace's `default`."""

STARTED_WITHIN: Final = 600.0


@dataclass(frozen=True)
class ControlPlane:
    """What runs."""

    api: Api
    port: int
    audit_log: Path
    pids: Mapping[str, int]
    """By the program's name."""


@contextmanager
def running(folder: Path) -> Iterator[ControlPlane]:
    """Start all; `folder` is empty, and has logs, data and keys afterwards.

    Raises NotMeasuredError where the API server does not get ready.
    """
    # Where deploy.local's keys and kubeconfigs go.
    os.environ["PGSET_STATE"] = str(folder)
    pki.create()
    etcd, peer, port = free_port(), free_port(), free_port()
    api = Api("127.0.0.1", port, admin_context())
    audit_log = folder / "audit.log"
    with ExitStack() as started:
        pids = {
            "etcd": started.enter_context(process("etcd", _etcd(folder, etcd, peer), folder)),
            "kube-apiserver": started.enter_context(
                process("kube-apiserver", _api_server(folder, etcd, port, audit_log), folder)
            ),
        }
        _wait_for(api, folder)
        # It ends at once where its rights are not there yet.
        pids["kube-controller-manager"] = started.enter_context(
            process("kube-controller-manager", _controller_manager(folder, port), folder)
        )
        yield ControlPlane(api, port, audit_log, pids)


@contextmanager
def process(
    name: str, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] = {}
) -> Iterator[int]:
    """Run a program with a log of its name; yields its pid. It ends when this one does."""
    with (folder / f"{name}.log").open("ab") as log:
        started = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *map(str, command)],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield started.pid
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()  # an API server waits for whoever watches
            started.wait()


def _etcd(folder: Path, port: int, peer: int) -> list[str | Path]:
    client, between = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    return [
        packages.node_programs() / "etcd",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={between}",
        f"--initial-advertise-peer-urls={between}",
        f"--initial-cluster=default={between}",
        "--unsafe-no-fsync",
    ]


def _api_server(folder: Path, etcd: int, port: int, audit_log: Path) -> list[str | Path]:
    policy = folder / "audit-policy.json"
    policy.write_text(json.dumps(_AUDIT_POLICY))
    return [
        programs.kubernetes() / "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={pki.certificate('api-server')}",
        f"--tls-private-key-file={pki.key('api-server')}",
        f"--client-ca-file={pki.certificate('ca')}",
        f"--service-account-key-file={pki.token_public_key()}",
        f"--service-account-signing-key-file={pki.key('tokens')}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/14",
        "--authorization-mode=RBAC",
        f"--requestheader-client-ca-file={pki.certificate('ca')}",
        "--requestheader-allowed-names=nobody",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={audit_log}",
        "--audit-log-maxsize=10000",
    ]


_AUDIT_POLICY: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": [*OURS.values()]}, {"level": "None"}],
}


def _controller_manager(folder: Path, port: int) -> list[str | Path]:
    server = f"https://127.0.0.1:{port}"
    file = kubeconfig.write(folder / "controller-manager.conf", "controller-manager", server)
    return [
        programs.kubernetes() / "kube-controller-manager",
        f"--kubeconfig={file}",
        f"--controllers={','.join(CONTROLLERS)}",
        "--leader-elect=false",
        "--secure-port=0",
        f"--service-account-private-key-file={pki.key('tokens')}",
        f"--root-ca-file={pki.certificate('ca')}",
        "--use-service-account-credentials",
        # It is not what is measured: with its own 20 requests a second, pods would wait for it.
        "--kube-api-qps=1000",
        "--kube-api-burst=1000",
        "--concurrent-statefulset-syncs=16",
    ]


def _wait_for(api: Api, folder: Path) -> None:
    deadline = time.monotonic() + STARTED_WITHIN
    while time.monotonic() < deadline:
        try:
            if api.status("/readyz") == http.HTTPStatus.OK:
                return
        except (OSError, http.client.HTTPException):
            api.close()
        time.sleep(0.1)
    log = (folder / "kube-apiserver.log").read_text()
    raise NotMeasuredError(f"the API server did not get ready: {log[-1000:]}")
