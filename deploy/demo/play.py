"""Sets the stage: the local cluster or the user's own, and what an earlier run left there."""

import os
import secrets
import shutil
from pathlib import Path

from deploy.demo.manifests import OURS
from deploy.demo.stage import NAMESPACE, Stage
from deploy.local import cluster, paths
from deploy.local.errors import LocalClusterError


def local_cluster(workspace: Path) -> Stage:
    """Start the local cluster where it is not running."""
    cluster.up()
    return Stage(
        kubectl=cluster.kubectl(),
        kubeconfig=paths.kubeconfig(),
        images=None,
        node=None,
        folder=str(paths.volumes() / NAMESPACE),
        workspace=workspace,
    )


def current_cluster(workspace: Path) -> Stage:
    """Use kubectl's current context, with the image that IMAGE names."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise LocalClusterError("CLUSTER=current needs kubectl in PATH: install it first")
    image = os.environ.get("IMAGE")
    if not image:
        raise LocalClusterError(
            "CLUSTER=current needs IMAGE=, the pgset image as that cluster can pull it: "
            "build it with `docker build -f deploy/Dockerfile -t YOURS .` and push or load it"
        )
    stage = Stage(
        kubectl=Path(kubectl),
        kubeconfig=None,
        images=(image, os.environ.get("POSTGRES_IMAGE", "postgres:15")),
        node=None,
        # Of its own each time: what an earlier run left on the node cannot be removed from here.
        folder=f"/var/tmp/pgset-demo/{secrets.token_hex(4)}",  # noqa: S108 - on the cluster's node
        workspace=workspace,
    )
    nodes = stage.get("nodes", namespace=None)["items"]
    workers = [node for node in nodes if not node["spec"].get("taints")]
    if not workers:
        raise LocalClusterError("the current cluster has no node without taints to run pods on")
    stage.node = workers[0]["metadata"]["labels"]["kubernetes.io/hostname"]
    stage.say(f"The volumes are folders of node {stage.node}, so all pods of the demo run there.")
    return stage


def sweep(stage: Stage) -> None:
    """Remove what an earlier run left: its namespace, its volumes and their content."""
    stage.delete_namespace(NAMESPACE)
    volumes = stage.get("persistentvolumes", namespace=None)["items"]
    for volume in volumes:
        metadata = volume["metadata"]
        if metadata.get("labels", {}).items() >= OURS.items():
            stage.ask("delete", "persistentvolume", metadata["name"], "--timeout=600s")
    if stage.kubeconfig is not None:
        shutil.rmtree(stage.folder, ignore_errors=True)
