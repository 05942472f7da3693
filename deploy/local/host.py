"""What the cluster has to change on the host itself, and how it is put back.

That is little: kernel settings that exist once a machine (the kubelet writes some on its
own), and empty folders that the nodes' private mounts need as mount points. Both are noted
in the state folder *before* they are changed, so that a cluster that was killed half-way
can still be undone.
"""

import json
from pathlib import Path

from deploy.local import paths
from deploy.local.network import NAMESPACE_FOLDER
from deploy.local.shell import run

_SYSCTL = Path("/proc/sys")
_INOTIFY_INSTANCES = "fs/inotify/max_user_instances"
_ENOUGH_INOTIFY_INSTANCES = 1024
_SYSCTLS = (
    _INOTIFY_INSTANCES,
    # The kubelet sets these at its start (setupKernelTunables in its container manager).
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)

CNI_CONFIGURATION = Path("/etc/cni/net.d")
CONTAINERD_ROOT = Path("/var/lib/containerd")
CONTAINERD_RUN = Path("/run/containerd")

MOUNT_POINTS = (
    CNI_CONFIGURATION,
    CONTAINERD_RUN,
    Path("/var/lib/cni"),
    CONTAINERD_ROOT,
    Path("/var/lib/kubelet"),
    Path("/var/log/containers"),
    Path("/var/log/pods"),
)
"""Fixed paths of the node programs; each node mounts a folder of its own over them."""

LOCK_FILE = Path("/run/xtables.lock")
"""iptables' lock; each node has its own, or the kube-proxies would wait for one another."""


def prepare() -> None:
    """Note what is there now, then change what must be changed."""
    note = {
        "sysctls": {name: _read_sysctl(name) for name in _SYSCTLS if (_SYSCTL / name).exists()},
        "made": [str(path) for path in _missing_paths()],
        "namespace folder was a mount": _is_mount(NAMESPACE_FOLDER),
    }
    paths.state().mkdir(parents=True, exist_ok=True)
    _note_file().write_text(json.dumps(note, indent=2))
    for mount_point in (*MOUNT_POINTS, NAMESPACE_FOLDER):
        mount_point.mkdir(parents=True, exist_ok=True)
    LOCK_FILE.touch()
    _raise_inotify_instances()


def restore() -> None:
    """Put everything back as it was noted; nothing where nothing was noted."""
    if not _note_file().is_file():
        return
    note = json.loads(_note_file().read_text())
    for name, value in note["sysctls"].items():
        if _read_sysctl(name) != value:
            (_SYSCTL / name).write_text(value)
    if _is_mount(NAMESPACE_FOLDER) and not note["namespace folder was a mount"]:
        run(["umount", NAMESPACE_FOLDER])
    for path in map(Path, note["made"]):
        _remove_if_unused(path)
    _note_file().unlink()


def _note_file() -> Path:
    return paths.state() / "host-before.json"


def _read_sysctl(name: str) -> str:
    return (_SYSCTL / name).read_text().strip()


def _raise_inotify_instances() -> None:
    # containerd, the kubelets and kube-proxies all watch files, under one user.
    if int(_read_sysctl(_INOTIFY_INSTANCES)) < _ENOUGH_INOTIFY_INSTANCES:
        (_SYSCTL / _INOTIFY_INSTANCES).write_text(str(_ENOUGH_INOTIFY_INSTANCES))


def _missing_paths() -> list[Path]:
    """What `prepare` is going to make, the innermost first."""
    wanted = {LOCK_FILE, NAMESPACE_FOLDER, *MOUNT_POINTS}
    with_parents = wanted.union(*(path.parents for path in wanted))
    return sorted((path for path in with_parents if not path.exists()), reverse=True)


def _is_mount(path: Path) -> bool:
    mounted_on = (line.split()[1] for line in Path("/proc/mounts").read_text().splitlines())
    return str(path) in mounted_on


def _remove_if_unused(path: Path) -> None:
    if path == LOCK_FILE:
        path.unlink(missing_ok=True)
    elif path.is_dir() and not any(path.iterdir()):
        path.rmdir()
