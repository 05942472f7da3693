"""What needs neither root nor a cluster."""

import base64
import ipaddress
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deploy.local import __main__ as command_line
from deploy.local import (
    cgroups,
    cluster,
    image_store,
    kubeconfig,
    layout,
    locks,
    node_config,
    paths,
    pki,
    processes,
    programs,
    toolchain,
)
from deploy.local.digest import key_of, key_of_files
from deploy.local.errors import LocalClusterError
from deploy.local.forwarder import listen
from deploy.local.shell import run, run_long
from tests.support.waiting import state_of, wait_until


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27 linux/arm64\n", (1, 27, 0)),
        ("go version go1.27rc1 linux/amd64", None),
        ("go version devel go1.28-abc linux/amd64", None),
        ("", None),
    ],
)
def test_the_version_of_go_is_read(text: str, expected: tuple[int, int, int] | None) -> None:
    assert expected == toolchain.parse_version(text)


def test_a_kubeconfig_carries_its_credentials() -> None:
    config = json.loads(kubeconfig.render("https://127.0.0.1:16443", b"CA", b"CERT", b"KEY"))
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:16443"
    user = config["users"][0]["user"]
    assert base64.b64decode(user["client-certificate-data"]) == b"CERT"
    assert base64.b64decode(user["client-key-data"]) == b"KEY"
    assert config["contexts"][0]["name"] == config["current-context"]


def test_this_process_is_alive_by_its_record() -> None:
    assert processes.record_of(os.getpid()).is_alive()


@pytest.mark.parametrize("changed", ["start_time", "boot_id"])
def test_a_reused_pid_is_not_taken_for_the_process_of_the_record(changed: str) -> None:
    fields = vars(processes.record_of(os.getpid())) | {changed: "another"}
    assert not processes.ProcessRecord(**fields).is_alive()


def test_a_zombie_is_not_alive() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert processes.start_time(pid) is None
    finally:
        os.waitpid(pid, 0)


FIRST_THREAD_ENDS = """
import ctypes, platform, threading, time
threading.Thread(target=time.sleep, args=[999]).start()
exit_of_one_thread = {"x86_64": 60, "aarch64": 93}[platform.machine()]
ctypes.CDLL(None).syscall(exit_of_one_thread, 0)
"""


def test_a_process_of_which_only_the_first_thread_has_ended_is_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", FIRST_THREAD_ENDS])
    try:
        wait_until(lambda: state_of(process.pid) == "Z", "the end of its first thread")
        assert processes.record_of(process.pid).is_alive()
        process.kill()
        wait_until(lambda: processes.start_time(process.pid) is None, "its end")
    finally:
        process.kill()
        process.wait()


def test_a_command_name_with_spaces_and_brackets_does_not_shift_the_fields() -> None:
    fields = " ".join(["S", *(str(number) for number in range(4, 53))])
    assert processes.parse_stat(f"42 (a (strange) name) {fields}") == ("S", 22)


def test_a_cgroup_that_somebody_is_still_about_to_leave_is_removed(tmp_path: Path) -> None:
    cgroup = tmp_path / "pgset-n1"
    leaving = cgroup / "pods/leaving"
    leaving.mkdir(parents=True)
    # A file stands for the process: it keeps a folder from being removed as well.
    (leaving / "process").touch()
    leaves = threading.Timer(0.3, (leaving / "process").unlink)
    leaves.start()
    cgroups._remove_tree(cgroup)
    leaves.join()
    assert not cgroup.exists()


def test_a_cgroup_that_nobody_leaves_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "process").touch()
    monkeypatch.setattr(cgroups, "_END_SECONDS", 0.0)
    with pytest.raises(LocalClusterError, match=r"can't be removed .*: end the processes"):
        cgroups._remove_tree(tmp_path)


def test_no_two_networks_overlap() -> None:
    networks = [layout.POD_NETWORK, layout.SERVICE_NETWORK]
    networks += [f"{layout.CONTROL_PLANE_ADDRESS.rpartition('.')[0]}.0/24"]
    parsed = [ipaddress.ip_network(text) for text in networks]
    assert not [(a, b) for a in parsed for b in parsed if a is not b and a.overlaps(b)]


def test_every_node_has_its_own_part_of_the_pod_network() -> None:
    whole = ipaddress.ip_network(layout.POD_NETWORK)
    parts = [ipaddress.ip_network(node.pod_network) for node in layout.NODES]
    assert len(set(parts)) == len(layout.NODES)
    assert all(part.subnet_of(whole) for part in parts)  # type: ignore[arg-type]


def test_the_api_server_is_certified_for_the_forwarded_port() -> None:
    api_server = next(it for it in pki.identities() if it.file == "api-server")
    assert "IP:127.0.0.1" in api_server.alternative_names
    assert "DNS:kubernetes.default.svc.cluster.local" in api_server.alternative_names


def test_a_kubelet_is_known_by_its_node() -> None:
    kubelet = next(it for it in pki.identities() if it.file == "kubelet-n2")
    assert kubelet.subject == "/O=system:nodes/CN=system:node:n2"


def test_each_kubelet_has_a_cgroup_of_its_own() -> None:
    roots = {json.loads(node_config.kubelet(node, "1.36"))["cgroupRoot"] for node in layout.NODES}
    assert {"/pgset-n1", "/pgset-n2", "/pgset-n3"} == roots


def test_a_kubelet_gets_no_field_that_it_does_not_know() -> None:
    known = [
        "failCgroupV1" in json.loads(node_config.kubelet(layout.NODES[0], version))
        for version in programs.KUBERNETES_RELEASES
    ]
    assert known == [version != "1.30" for version in programs.KUBERNETES_RELEASES]


@pytest.mark.parametrize("version", programs.KUBERNETES_RELEASES)
def test_each_kubernetes_is_built_from_one_release(version: str) -> None:
    release = programs.KUBERNETES_RELEASES[version]
    requirements = (programs.kubernetes_module(version).folder / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{release}" in requirements
    staged = re.findall(r"^\tk8s\.io/\S+ => k8s\.io/\S+ v(\S+)$", requirements, re.M)
    assert set(staged) == {f"0{release.removeprefix('1')}"}
    assert release.startswith(f"{version}.")


def test_a_kubernetes_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES", "1.2")
    with pytest.raises(LocalClusterError, match="is not known here; allowed"):
        programs.kubernetes_version()


def test_an_unknown_node_is_named_with_those_that_exist() -> None:
    with pytest.raises(LocalClusterError, match="no node 'n7': the nodes are n1, n2, n3"):
        cluster.node("n7")


def test_state_and_cache_can_be_put_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PGSET_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("PGSET_CACHE", str(tmp_path / "cache"))
    assert tmp_path / "state/kubeconfig" == paths.kubeconfig()
    assert tmp_path / "cache" == paths.cache()


def test_the_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGSET_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert Path("/somewhere/pgset") == paths.cache()


def test_root_is_needed_and_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert command_line.main(["up"]) == 1
    assert "needs root: run it with sudo" in capsys.readouterr().err


def test_linux_is_needed_and_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert command_line.main(["up"]) == 1
    assert "needs Linux" in capsys.readouterr().err


def test_a_key_changes_with_content_name_and_mode(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    keys = [key_of_files([tmp_path], tmp_path)]
    file.write_text("two")
    keys.append(key_of_files([tmp_path], tmp_path))
    file.chmod(0o755)
    keys.append(key_of_files([tmp_path], tmp_path))
    file.rename(tmp_path / "b")
    keys.append(key_of_files([tmp_path], tmp_path))
    assert len(set(keys)) == 4


def test_a_key_does_not_change_with_compiled_python(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("")
    before = key_of_files([tmp_path], tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/a.pyc").write_text("compiled")
    assert before == key_of_files([tmp_path], tmp_path)


def test_a_key_keeps_its_parts_apart() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")


def test_an_image_store_knows_what_it_lacks(tmp_path: Path) -> None:
    old = {"a:1": Path("a-1.tar"), "b:1": Path("b-1.tar")}
    new = {"a:1": Path("a-2.tar"), "b:1": Path("b-1.tar")}
    image_store.note(tmp_path, old)
    assert {"a:1": Path("a-2.tar")} == image_store.missing(tmp_path, new)


def test_copies_of_an_image_store_share_layers_but_no_database(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "deep/target"
    source.mkdir()
    for name in ("layer", "meta.db"):
        (source / name).write_text(name)
    image_store.note(source, {"a:1": Path("a-1.tar")})

    image_store.copy(source, target)
    image_store.note(target, {"a:1": Path("a-2.tar")})

    assert (source / "layer").samefile(target / "layer")
    assert not (source / "meta.db").samefile(target / "meta.db")
    assert image_store.missing(source, {"a:1": Path("a-1.tar")}) == {}


def test_the_forwarder_takes_another_port_where_its_own_is_taken() -> None:
    with listen(0) as first:
        taken = first.getsockname()[1]
        with listen(taken) as second:
            assert taken != second.getsockname()[1]


def test_the_operators_module_is_fetched_by_a_recorded_sum() -> None:
    """Where go.sum does not have it, Go adds what it meets."""
    folder = paths.HERE / "prometheus-operator"
    _, module, version = (folder / "go.mod").read_text().splitlines()[-1].split()
    assert f"{module} {version} h1:" in (folder / "go.sum").read_text()


def test_a_failed_command_says_which_and_why() -> None:
    with pytest.raises(LocalClusterError, match=r"`sh -c .*` failed with exit code 3: the reason"):
        run(["sh", "-c", "echo the reason >&2; exit 3"])


def test_a_failed_long_command_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(LocalClusterError, match="the last line"):
        run_long("it", ["sh", "-c", "echo the last line; exit 3"], tmp_path / "log")


def test_who_would_make_the_same_waits_and_finds_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands in a fresh cache would else empty each other's virtual environment."""
    monkeypatch.setenv("PGSET_CACHE", str(tmp_path))
    made, asked = list[int](), threading.Event()

    def make() -> None:
        asked.set()
        with locks.alone("it"):
            if not made:
                made.append(1)

    other = threading.Thread(target=make)
    with locks.alone("it"), locks.alone("something else"):
        other.start()
        assert asked.wait(60)
        time.sleep(0.2)
        assert made == []
        made.append(0)
    other.join(60)
    assert made == [0]
