"""The real thing: up, used, down without a trace, killed half-way, up again."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from deploy.local import cgroups, cluster, network, node_config, paths, processes
from deploy.local.layout import NODES
from tests.support.waiting import is_quick, wait_until

pytestmark = pytest.mark.cluster

WARM_START_SECONDS = 300  # 30 are promised, and what is not warm is built for much longer
FOLDERS_THAT_NODES_MOUNT_OVER = ("/etc", "/run", "/var/lib", "/var/log")
SYSCTLS = ("fs/inotify/max_user_instances", "kernel/panic", "vm/overcommit_memory")


def kubectl(*words: str) -> str:
    return subprocess.run(
        [cluster.kubectl(), f"--kubeconfig={paths.kubeconfig()}", *words],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def mounts() -> list[str]:
    """Without those of other tests, which may come and go at the same time."""
    lines = Path("/proc/mounts").read_text().splitlines()
    return [it for it in lines if not it.split()[1].startswith(f"{tempfile.gettempdir()}/")]


def trace_of_the_host() -> dict[str, object]:
    """All that a cluster could leave behind on the host."""
    firewall = output("iptables-save").splitlines()
    return {
        "links": output("ip", "-o", "link"),
        "routes": output("ip", "route", "show", "table", "all"),
        "rules": output("ip", "rule"),
        "firewall": [line for line in firewall if not line.startswith("#")],
        "mounts": mounts(),
        "namespaces": output("ip", "netns", "list"),
        "cgroups": cgroups.existing(),
        "sysctls": {name: Path("/proc/sys", name).read_text() for name in SYSCTLS},
        "folders": {
            name: sorted(entry.name for entry in Path(name).iterdir())
            for name in FOLDERS_THAT_NODES_MOUNT_OVER
        },
    }


@pytest.fixture(scope="module", autouse=True)
def _nothing_runs_before() -> None:
    cluster.prepare()
    cluster.down()


@pytest.fixture
def host_before() -> dict[str, object]:
    return trace_of_the_host()


def test_down_leaves_the_host_as_it_was(host_before: dict[str, object]) -> None:
    began = time.monotonic()
    cluster.up()
    assert time.monotonic() - began < WARM_START_SECONDS
    started = set(processes.recorded().values())
    containers = {pid: at for pid in cgroups.pids() if (at := processes.start_time(pid))}
    namespaces = [str(path) for path in network.existing_namespaces()]
    assert containers, "CoreDNS runs in a container"
    assert len(namespaces) == 1 + len(NODES)

    cluster.down()

    assert host_before == trace_of_the_host()
    assert not [record for record in started if record.is_alive()]
    # Other processes may have some of these pids by now.
    assert not [pid for pid, at in containers.items() if processes.start_time(pid) == at]
    assert not paths.state().exists()


@pytest.mark.rarely
def test_down_twice_is_as_good_as_once(host_before: dict[str, object]) -> None:
    cluster.down()
    cluster.down()
    assert host_before == trace_of_the_host()


def test_the_host_sees_nothing_of_the_running_cluster_but_a_loopback_port(
    host_before: dict[str, object],
) -> None:
    cluster.up()
    seen = trace_of_the_host()
    for what in ("links", "routes", "rules", "firewall"):
        assert host_before[what] == seen[what]


def test_up_leaves_a_well_cluster_alone() -> None:
    cluster.up()
    before = processes.recorded()
    assert is_quick(cluster.up, 30)
    assert before == processes.recorded()


@pytest.mark.parametrize(
    "victims",
    [
        pytest.param(("n2-kubelet",), id="a kubelet", marks=pytest.mark.rarely),
        pytest.param(
            ("etcd", "api-server"), id="the API server and its store", marks=pytest.mark.rarely
        ),
        pytest.param(
            ("n1-mounts", "n1-containerd", "n3-proxy", "forwarder"),
            id="a bit of all",
            marks=pytest.mark.rarely,
        ),
    ],
)
def test_up_recovers_from_a_cluster_with_killed_processes(victims: tuple[str, ...]) -> None:
    cluster.up()
    alive = processes.alive()
    for name in victims:
        os.kill(alive[name].pid, signal.SIGKILL)
    wait_until(lambda: not processes.alive(victims), "their end")

    assert not cluster.is_well()
    cluster.up()

    assert cluster.is_well()
    assert not [record for record in alive.values() if record.is_alive()]


@pytest.mark.rarely
def test_up_recovers_from_an_up_that_was_killed_half_way() -> None:
    cluster.down()
    interrupted = subprocess.Popen(
        [sys.executable, "-m", "deploy.local", "up"],
        cwd=paths.CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: "n3-containerd" in processes.recorded(), "the last runtime")
    interrupted.kill()
    interrupted.wait()

    assert not cluster.is_well()
    cluster.up()

    assert cluster.is_well()


@pytest.mark.rarely
def test_up_recovers_from_a_reboot() -> None:
    """After a reboot only the state folder is there, with pids that mean others now."""
    cluster.up()
    records = paths.state() / "processes"
    kept = {file.name: file.read_text() for file in records.iterdir()}
    note = (paths.state() / "host-before.json").read_text()
    cluster.down()
    records.mkdir(parents=True)
    for name, text in kept.items():
        (records / name).write_text(text.replace(processes.boot_id(), "an-earlier-boot"))
    (paths.state() / "host-before.json").write_text(note)

    assert not cluster.is_well()
    cluster.up()

    assert cluster.is_well()


def test_a_node_can_be_lost_and_brought_back() -> None:
    cluster.up()
    node = cluster.node("n3")
    node.stop()
    assert not processes.alive(node.process_names)
    assert not cgroups.pids_of(node.plan.cgroup)

    node.start()

    wait_until(cluster.is_well, "the cluster to be well")
    kubectl("run", "probe", f"--image={node_config.PAUSE_IMAGE}", "--overrides", on_node("n3"))
    try:
        kubectl("wait", "pod/probe", "--for=condition=Ready", "--timeout=180s")
    finally:
        kubectl("delete", "pod", "probe", "--now")


def on_node(name: str) -> str:
    return f'{{"spec": {{"nodeName": "{name}", "terminationGracePeriodSeconds": 0}}}}'


@pytest.mark.skipif(not Path("/sys/fs/cgroup/freezer").is_dir(), reason="control groups v1 alone")
def test_what_is_frozen_is_thawed_to_be_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """runc freezes a container to kill it, and may be killed before it has thawed it."""
    top = Path(f"/sys/fs/cgroup/freezer/pgset-test-{os.getpid()}")
    container = top / "container"
    container.mkdir(parents=True)
    monkeypatch.setattr(cgroups, "existing", lambda: [top])
    frozen = subprocess.Popen(["sleep", "600"])
    try:
        (container / "cgroup.procs").write_text(str(frozen.pid))
        (container / "freezer.state").write_text("FROZEN")
        processes.kill_until_gone(lambda: {frozen.pid}, lambda: cgroups.thaw(top.name))
        assert frozen.wait(timeout=180) == -signal.SIGKILL
    finally:
        cgroups.thaw()
        frozen.kill()
        cgroups._remove_tree(top)
