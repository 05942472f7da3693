"""The whole cluster: up, down, and whether it is well."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.local import (
    api,
    control_plane,
    host,
    image_store,
    images,
    kubeconfig,
    locks,
    network,
    packages,
    paths,
    pki,
    processes,
    programs,
)
from deploy.local.errors import LocalClusterError
from deploy.local.layout import (
    CONTROL_PLANE_NAMESPACE,
    NODES,
    PREFERRED_HOST_PORT,
    node_plan,
)
from deploy.local.node import Node
from deploy.local.shell import run, say
from deploy.local.teardown import tear_down
from deploy.local.timing import Steps, wait_until

_FORWARDER = "forwarder"
_PATIENCE = 300.0
"""Seconds; a busy API server answers late, and a node whose kubelet is late is not Ready."""
_BOOT_SECONDS = 300.0
"""What one step of the start may take; each is a matter of seconds where nothing else runs."""
_DNS_MANIFEST = programs.COREDNS.folder / "coredns.yaml"


def up() -> None:
    """Start the cluster and wait until all nodes and DNS are ready; a well one is left alone.

    One whose processes run gets time to be well: others may use it, and be why it is slow.
    """
    check_machine()
    with locks.alone("cluster"):
        if _gets_well():
            say("the cluster is up already")
            _load_changed_images()
            return
        prepare()
        tear_down()
        steps = Steps()
        _boot(steps)
        say(f"three nodes and DNS are ready after {steps.total():.1f} s")


def down() -> None:
    """End the cluster, whatever is left of it, and put the host back as it was."""
    check_machine()
    with locks.alone("cluster"):
        steps = Steps()
        tear_down()
        steps.done("the cluster is down, and the host as it was")


def is_well() -> bool:
    """Whether every process runs, all nodes are Ready, and the DNS answers."""
    return _runs() and _nodes_are_ready() and _dns_is_ready()


def _runs() -> bool:
    """Whether every process runs, of these programs, and all were ready once."""
    expected = {_FORWARDER, *control_plane.PROCESSES}
    for plan in NODES:
        expected.update(node(plan.name).process_names)
    if not expected.issubset(processes.alive()) or not _ready_file().is_file():
        return False
    return _ready_file().read_text() == _key_of_programs()


def _gets_well() -> bool:
    """Whether it is well before long, as long as it runs."""
    try:
        wait_until(lambda: is_well() or not _runs(), _PATIENCE, "the cluster, which runs,")
    except LocalClusterError as error:
        say(f"it is started anew: {error}")
        return False
    return _runs()


def node(name: str) -> Node:
    """The node of that name; start, stop, and commands on it."""
    try:
        plan = node_plan(name)
    except KeyError:
        names = ", ".join(plan.name for plan in NODES)
        raise LocalClusterError(f"there is no node {name!r}: the nodes are {names}") from None
    return Node(plan)


def load_images() -> None:
    """Build what changed, and import it into the running nodes."""
    check_machine()
    with locks.alone("cluster"):
        if _gets_well():
            _load_changed_images()
        else:
            images.archives()
            say("the images are built; no cluster runs: `make cluster-up` will load them")


def load_image(image: images.Image) -> None:
    """Build one that the nodes need not hold, and import it into them: the cluster is up."""
    with locks.alone("cluster"):
        _load_everywhere({image.reference: image.archive()})


def check_machine() -> None:
    """Refuse with one sentence where the cluster can't run."""
    if sys.platform != "linux":
        raise LocalClusterError(
            "the local cluster needs Linux: run it in a Debian 12 machine, or use your own "
            "cluster with CLUSTER=current"
        )
    if os.geteuid() != 0:
        raise LocalClusterError(
            "the local cluster makes namespaces and mounts and so needs root: run it with sudo"
        )


def prepare() -> None:
    """Install, build and fetch all that is needed; quick when the cache has it."""
    packages.install_tools()
    programs.kubernetes()
    image_store.template(images.archives())


def _boot(steps: Steps) -> None:
    host.prepare()
    paths.volumes().mkdir(mode=0o777)
    paths.volumes().chmod(0o777)
    network.create()
    pki.create()
    steps.done("network and keys")
    _start_forwarder()
    control_plane.start_api()
    template = image_store.template(images.archives())
    nodes = [node(plan.name) for plan in NODES]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda it: _start_runtime(it, template), nodes))
    steps.done("containerd on every node")
    wait_until(lambda: api.is_ready(_port()), _BOOT_SECONDS, "the API server")
    steps.done("API server")
    control_plane.start_controllers()
    with ThreadPoolExecutor() as pool:
        list(pool.map(Node.join, nodes))
    _apply(_DNS_MANIFEST)
    wait_until(_nodes_are_ready, _BOOT_SECONDS, "three Ready nodes")
    steps.done("three Ready nodes")
    wait_until(_dns_is_ready, _BOOT_SECONDS, "CoreDNS")
    steps.done("DNS")
    _ready_file().write_text(_key_of_programs())


def _start_runtime(it: Node, template: Path) -> None:
    image_store.copy(template, it.own(host.CONTAINERD_ROOT))
    it.prepare()
    it.start_runtime()


def _start_forwarder() -> None:
    processes.start(
        _FORWARDER,
        [
            sys.executable,
            "-m",
            "deploy.local.forwarder",
            str(network.namespace_path(CONTROL_PLANE_NAMESPACE)),
            str(PREFERRED_HOST_PORT),
            str(_port_file()),
        ],
        {"PYTHONPATH": str(paths.CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    wait_until(_port_file().is_file, _BOOT_SECONDS, "the forwarder")
    kubeconfig.write(paths.kubeconfig(), "admin", f"https://127.0.0.1:{_port()}")


def _port_file() -> Path:
    return paths.state() / "api-port"


def _ready_file() -> Path:
    """There once the cluster was ready; says of which programs it is."""
    return paths.state() / "ready"


def _key_of_programs() -> str:
    return programs.kubernetes_module(programs.kubernetes_version()).key


def _port() -> int:
    return int(_port_file().read_text())


def kubectl() -> Path:
    """The kubectl that fits the cluster."""
    return programs.kubernetes() / "kubectl"


def _apply(manifest: Path) -> None:
    run(
        [
            kubectl(),
            f"--kubeconfig={paths.kubeconfig()}",
            "create",
            "--validate=false",
            f"--filename={manifest}",
        ]
    )


def _nodes_are_ready() -> bool:
    return api.ready_nodes(_port()) == {plan.name for plan in NODES}


def _dns_is_ready() -> bool:
    return api.ready_pods(_port(), "kube-system", "k8s-app=kube-dns") > 0


def _load_changed_images() -> None:
    _load_everywhere(images.archives())


def _load_everywhere(archives: image_store.Archives) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda plan: _load(node(plan.name), archives), NODES))


def _load(it: Node, archives: image_store.Archives) -> None:
    root = it.own(host.CONTAINERD_ROOT)
    for reference, archive in image_store.missing(root, archives).items():
        image_store.load(reference, archive, [*it.enter(), packages.node_programs() / "ctr"])
        say(f"{it.plan.name}: loaded {reference}")
    image_store.note(root, archives)
