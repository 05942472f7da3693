"""One node: containerd, kubelet and kube-proxy in a network and a mount namespace.

`start` and `stop` work on one node while the others run: it can be lost and brought back.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local import (
    cgroups,
    host,
    kubeconfig,
    network,
    node_config,
    packages,
    paths,
    processes,
    programs,
)
from deploy.local.errors import LocalClusterError
from deploy.local.layout import NodePlan
from deploy.local.shell import Command, run
from deploy.local.timing import wait_until

_MOUNTS_SCRIPT = paths.HERE / "node_mounts.sh"
_HOLD_SECONDS = 120.0
_CONTAINERD_SECONDS = 180.0


@dataclass(frozen=True)
class Node:
    """One node of the running cluster."""

    plan: NodePlan

    @property
    def folder(self) -> Path:
        """The node's own files, mounted over the fixed paths of its programs."""
        return paths.state() / "nodes" / self.plan.name

    @property
    def process_names(self) -> tuple[str, ...]:
        """The names of its recorded processes; the first holds the mount namespace."""
        kinds = ("mounts", "containerd", "kubelet", "proxy")
        return tuple(f"{self.plan.name}-{kind}" for kind in kinds)

    def prepare(self) -> None:
        """Write the configuration; the folder's `containerd` may hold images already."""
        for mount_point in host.MOUNT_POINTS:
            self.own(mount_point).mkdir(parents=True, exist_ok=True)
        self.own(host.LOCK_FILE).touch()
        mounts = "".join(f"{self.own(it)} {it}\n" for it in (*host.MOUNT_POINTS, host.LOCK_FILE))
        (self.folder / "mounts").write_text(mounts)
        cni = self.own(host.CNI_CONFIGURATION) / "10-pgset.conflist"
        cni.write_text(node_config.pod_network(self.plan))
        configs = {
            "containerd.toml": node_config.containerd(packages.network_plugins()),
            "kubelet.json": node_config.kubelet(self.plan, programs.kubernetes_version()),
            "proxy.json": node_config.proxy(self.plan, self.folder / "proxy.kubeconfig"),
        }
        for name, text in configs.items():
            (self.folder / name).write_text(text)
        kubeconfig.write(self.folder / "kubelet.kubeconfig", f"kubelet-{self.plan.name}")
        kubeconfig.write(self.folder / "proxy.kubeconfig", "proxy")

    def start(self) -> None:
        """Start the node's processes; `prepare` was called before."""
        self.start_runtime()
        self.join()

    def start_runtime(self) -> None:
        """Make the mount namespace and start containerd in it; needs no API server."""
        cgroups.create(self.plan.cgroup)
        self._forget_the_last_run()
        self._hold_mounts()
        path = f"{packages.node_programs()}:{os.environ.get('PATH', os.defpath)}"
        containerd = packages.node_programs() / "containerd"
        self._start(
            "containerd", [containerd, "--config", self.folder / "containerd.toml"], PATH=path
        )

    def join(self) -> None:
        """Start what makes this a node of Kubernetes; `start_runtime` was called before."""
        self._wait_for_containerd()
        self.start_kubelet()
        proxy = programs.kubernetes() / "kube-proxy"
        self._start("proxy", [proxy, f"--config={self.folder / 'proxy.json'}"])

    def start_kubelet(self) -> None:
        """Start the kubelet alone, on a node whose own was ended."""
        self._start(
            "kubelet",
            [
                programs.kubernetes() / "kubelet",
                f"--config={self.folder / 'kubelet.json'}",
                f"--kubeconfig={self.folder / 'kubelet.kubeconfig'}",
                f"--hostname-override={self.plan.name}",
                f"--node-ip={self.plan.address}",
            ],
        )

    def stop(self) -> None:
        """End all that runs on the node at once, as a power cut does; its files stay."""
        own = [network.namespace_path(self.plan.namespace)]
        processes.kill_until_gone(
            lambda: processes.in_network_namespaces(own) | cgroups.pids_of(self.plan.cgroup),
            lambda: cgroups.thaw(self.plan.cgroup),
        )
        for name in self.process_names:
            processes.forget(name)
        cgroups.remove(self.plan.cgroup)

    def enter(self) -> list[str]:
        """The words to put before a command so that it runs on the node."""
        holder = processes.alive(self.process_names[:1]).get(self.process_names[0])
        if holder is None:
            raise LocalClusterError(
                f"node {self.plan.name} does not run: start it with `make cluster-up`"
            )
        namespaces = f"/proc/{holder.pid}/ns"
        return ["nsenter", f"--net={namespaces}/net", f"--mount={namespaces}/mnt", "--"]

    def own(self, path: Path) -> Path:
        """The node's own folder or file behind one of the fixed paths."""
        return self.folder / "root" / path.relative_to("/")

    def _forget_the_last_run(self) -> None:
        """Empty what is on a tmpfs elsewhere, and so is empty after a power cut."""
        run_folder = self.own(host.CONTAINERD_RUN)
        shutil.rmtree(run_folder)
        run_folder.mkdir()

    def _start(self, kind: str, command: Sequence[str | Path], **environment: str) -> None:
        name = f"{self.plan.name}-{kind}"
        processes.start(name, [*self.enter(), *command], environment)

    def _hold_mounts(self) -> None:
        mounted = self.folder / "mounted"
        mounted.unlink(missing_ok=True)
        unshared = [*network.enter(self.plan.namespace), "unshare", "--mount", "--"]
        processes.start(f"{self.plan.name}-mounts", [*unshared, "sh", _MOUNTS_SCRIPT, self.folder])
        wait_until(mounted.exists, _HOLD_SECONDS, f"the mounts of node {self.plan.name}")

    def _wait_for_containerd(self) -> None:
        client: Command = [*self.enter(), packages.node_programs() / "ctr", "version"]
        wait_until(
            lambda: "Server:" in run(client, check=False),
            _CONTAINERD_SECONDS,
            f"containerd of node {self.plan.name}",
        )
