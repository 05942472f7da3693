"""One cgroup a node, directly under the root of each hierarchy: kubelet and pods live in it.

Control groups v1 (also the "hybrid" mount) is what this was developed on. The v2 branch
follows the kernel's documentation (Documentation/admin-guide/cgroup-v2.rst) and is UNTRIED.
"""

import contextlib
import os
import time
from pathlib import Path

from deploy.local.errors import LocalClusterError
from deploy.local.layout import NODES

_ROOT = Path("/sys/fs/cgroup")
_V1_CONTROLLERS = (
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "systemd",
)
_END_SECONDS = 60.0
"""A process that was killed is in its cgroup until the kernel has ended it."""
_POLL_SECONDS = 0.05
_V2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")


def create(name: str) -> None:
    """Make the cgroup `name` in every hierarchy."""
    if _is_v2():
        _create_v2(name)
        return
    for hierarchy in _v1_hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)
    _copy_cpuset(_ROOT / "cpuset", _ROOT / "cpuset" / name)


def existing() -> list[Path]:
    """The cluster's cgroup folders that are there, the top one of each hierarchy."""
    tops = [_ROOT, *(child for child in _ROOT.iterdir() if child.is_dir())]
    return [top / node.cgroup for top in tops for node in NODES if (top / node.cgroup).is_dir()]


def pids() -> set[int]:
    """Every process in the cgroups of the nodes: the containers."""
    return {pid for top in existing() for pid in pids_below(top)}


def pids_of(name: str) -> set[int]:
    """Every process in the cgroup `name` of any hierarchy."""
    return {pid for top in existing() if top.name == name for pid in pids_below(top)}


def thaw(name: str | None = None) -> None:
    """Thaw what runs in the cgroups of all nodes, or in the one called `name`.

    runc freezes a container for a moment to kill it; if runc ends in between, it stays so, and
    not even SIGKILL ends a frozen process of control groups v1.
    """
    for top in existing():
        if name in (None, top.name):
            _thaw_below(top)


def _thaw_below(top: Path) -> None:
    for folder, _, files in os.walk(top):
        # The folder may go away.
        with contextlib.suppress(OSError):
            if "freezer.state" in files:
                Path(folder, "freezer.state").write_text("THAWED")


def pids_below(top: Path) -> set[int]:
    """Every process in this cgroup folder or one below it."""
    found: set[int] = set()
    # Not by rglob: it fails where a folder goes away while it looks, as containers' do.
    for folder, _, _ in os.walk(top):
        try:
            found.update(int(line) for line in Path(folder, "cgroup.procs").read_text().split())
        except OSError:  # the folder went away, or is a threaded v2 one
            continue
    return found


def remove(name: str | None = None) -> None:
    """Remove the cgroups of all nodes, or the one called `name`; they must be empty."""
    for top in existing():
        if name in (None, top.name):
            _remove_tree(top)


def _remove_tree(top: Path) -> None:
    folders = sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True)
    for folder in (*folders, top):
        _remove_folder(folder)


def _remove_folder(folder: Path) -> None:
    deadline = time.monotonic() + _END_SECONDS
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise LocalClusterError(
                    f"the cgroup {folder} can't be removed ({error.strerror}): "
                    "end the processes in its cgroup.procs, then try again"
                ) from error
            time.sleep(_POLL_SECONDS)
        else:
            return


def _is_v2() -> bool:
    return (_ROOT / "cgroup.controllers").is_file()


def _v1_hierarchies() -> list[Path]:
    found = [_ROOT / name for name in _V1_CONTROLLERS if (_ROOT / name).is_dir()]
    if not found:
        raise LocalClusterError(
            f"there are no control groups under {_ROOT}: mount them (as systemd and "
            "cgroupfs-mount do), then try again"
        )
    return found


def _copy_cpuset(parent: Path, child: Path) -> None:
    # A new v1 cpuset is empty, and a process can't enter an empty one.
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (parent / name).is_file():
            (child / name).write_text((parent / name).read_text())


def _create_v2(name: str) -> None:
    _delegate(_ROOT)
    (_ROOT / name).mkdir(exist_ok=True)
    _delegate(_ROOT / name)


def _delegate(folder: Path) -> None:
    available = set((folder / "cgroup.controllers").read_text().split())
    for controller in available.intersection(_V2_CONTROLLERS):
        (folder / "cgroup.subtree_control").write_text(f"+{controller}")
