"""etcd, the API server, the controller manager and the scheduler, in their own namespace."""

from pathlib import Path

from deploy.local import kubeconfig, network, packages, paths, pki, processes, programs
from deploy.local.layout import (
    API_PORT,
    CONTROL_PLANE_ADDRESS,
    CONTROL_PLANE_NAMESPACE,
    ETCD_PEER_PORT,
    ETCD_PORT,
    SERVICE_NETWORK,
)

PROCESSES = ("etcd", "api-server", "controller-manager", "scheduler")

_ETCD = f"http://127.0.0.1:{ETCD_PORT}"
_ETCD_PEER = f"http://127.0.0.1:{ETCD_PEER_PORT}"


def start_api() -> None:
    """Start etcd and the API server."""
    _start("etcd", [packages.node_programs() / "etcd", *_etcd_flags()])
    _start("api-server", [programs.kubernetes() / "kube-apiserver", *_api_server_flags()])


def start_controllers() -> None:
    """Start the scheduler and the controller manager.

    The API server is ready: both end at once where their rights are not there yet.
    """
    _start("scheduler", [programs.kubernetes() / "kube-scheduler", *_scheduler_flags()])
    _start(
        "controller-manager",
        [programs.kubernetes() / "kube-controller-manager", *_controller_manager_flags()],
    )


def _start(name: str, command: list[str | Path]) -> None:
    processes.start(name, [*network.enter(CONTROL_PLANE_NAMESPACE), *command])


def _etcd_flags() -> list[str]:
    return [
        f"--data-dir={paths.state() / 'etcd'}",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        f"--listen-peer-urls={_ETCD_PEER}",
        f"--initial-advertise-peer-urls={_ETCD_PEER}",
        f"--initial-cluster=default={_ETCD_PEER}",
        # The data lives as long as the processes do: a crash of the machine ends both.
        "--unsafe-no-fsync",
    ]


def _api_server_flags() -> list[str]:
    return [
        f"--etcd-servers={_ETCD}",
        f"--secure-port={API_PORT}",
        "--bind-address=0.0.0.0",
        # Without these two it publishes 127.0.0.1 as the endpoint of Service `kubernetes`.
        f"--advertise-address={CONTROL_PLANE_ADDRESS}",
        "--endpoint-reconciler-type=lease",
        f"--tls-cert-file={pki.certificate('api-server')}",
        f"--tls-private-key-file={pki.key('api-server')}",
        f"--client-ca-file={pki.certificate('ca')}",
        f"--service-account-key-file={pki.token_public_key()}",
        f"--service-account-signing-key-file={pki.key('tokens')}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--kubelet-client-certificate={pki.certificate('kubelet-client')}",
        f"--kubelet-client-key={pki.key('kubelet-client')}",
        # Node names resolve nowhere here; `kubectl logs` and `exec` go by address.
        "--kubelet-preferred-address-types=InternalIP",
        # Nobody may speak for others through a proxy; but without an authority for that,
        # the scheduler and the controller manager complain every few seconds.
        f"--requestheader-client-ca-file={pki.certificate('ca')}",
        "--requestheader-allowed-names=nobody",
        # No kube-proxy here: webhooks are called at their pods, not at the Service's address.
        "--enable-aggregator-routing=true",
    ]


def _controller_manager_flags() -> list[str]:
    return [
        *_client_flags("controller-manager"),
        f"--service-account-private-key-file={pki.key('tokens')}",
        f"--root-ca-file={pki.certificate('ca')}",
        "--use-service-account-credentials",
        "--allocate-node-cidrs=false",
    ]


def _scheduler_flags() -> list[str]:
    return _client_flags("scheduler")


def _client_flags(identity: str) -> list[str]:
    file = kubeconfig.write(paths.state() / "kubeconfigs" / identity, identity)
    return [
        f"--kubeconfig={file}",
        f"--authentication-kubeconfig={file}",
        f"--authorization-kubeconfig={file}",
        "--leader-elect=false",
    ]
