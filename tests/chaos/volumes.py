"""One small file system for each member's volume, so that it can be filled up.

It is an image file, mounted on the host and in every node. A node is in a mount namespace of its
own, which is a copy of the host's when the node starts: so a node that is killed and started finds
its volumes again, and the volumes outlive it, as disks do.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from deploy.local import cluster, paths
from deploy.local.layout import NODES
from deploy.local.shell import run

MEGABYTES: Final = 1024
"""PostgreSQL's WAL may grow to some 250 MB here; the image file is sparse."""

_BALLAST: Final = "ballast"
_REMOVED: Final = "removed"
_KEPT: Final = "lost+found"
_BLOCK: Final = 4096


def folder(member: str) -> Path:
    """Return the folder that is the member's volume, on the host and on its node."""
    return paths.volumes() / "chaos" / member


def provide(member: str) -> None:
    """Make the member's volume, or empty the one that is there."""
    place = folder(member)
    if not place.is_mount():
        _mount(place)
    for name in _nodes_without(place):
        run([*cluster.node(name).enter(), "mount", _device(place), place])
    empty(member)


def empty(member: str) -> None:
    """Remove all that is on the volume."""
    for path in folder(member).iterdir():
        if path.name == _KEPT:
            continue
        if path.is_dir():
            _remove(path)
        else:
            path.unlink()


def _remove(path: Path) -> None:
    """Remove a folder in which somebody may still be writing."""
    aside = path.with_name(f"{path.name}.{_REMOVED}")
    path.rename(aside)
    while aside.exists():
        shutil.rmtree(aside, ignore_errors=True)


def fill(member: str) -> None:
    """Leave not one block free."""
    with (folder(member) / _BALLAST).open("wb") as file:
        size = _free(member)
        while size >= _BLOCK:
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
            except OSError:
                # Some blocks go into the map of the file itself: less is left than was free.
                size //= 2


def relieve(member: str) -> None:
    """Give the space back."""
    (folder(member) / _BALLAST).unlink(missing_ok=True)


def stall(member: str) -> None:
    """Let each write to the volume wait, whoever writes; what is there can be read.

    Not even SIGKILL ends who waits, and so this process must not write there itself.
    """
    run(["fsfreeze", "--freeze", folder(member)])


def let_go(member: str) -> None:
    """Let the writes go on; nothing where they do."""
    run(["fsfreeze", "--unfreeze", folder(member)], check=False)


def let_all_go(put: str) -> None:
    """Do that for all volumes of a set that there are."""
    for image in sorted((paths.volumes() / "chaos").glob(f"{put}-*.img")):
        if image.with_suffix("").is_mount():
            let_go(image.stem)


def _free(member: str) -> int:
    state = os.statvfs(folder(member))
    return state.f_bavail * state.f_frsize


def _mount(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    image = place.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(MEGABYTES * 1024 * 1024)
    # Nothing is kept back for root: full means full.
    run(["mkfs.ext4", "-q", "-m", "0", image])
    run(["mount", "-o", "loop", image, place])


def _device(place: Path) -> str:
    lines = Path("/proc/mounts").read_text().splitlines()
    return next(line.split()[0] for line in lines if line.split()[1] == str(place))


def _nodes_without(place: Path) -> list[str]:
    names = []
    for plan in NODES:
        mounts = run([*cluster.node(plan.name).enter(), "cat", "/proc/self/mounts"])
        if all(line.split()[1] != str(place) for line in mounts.splitlines()):
            names.append(plan.name)
    return names
