"""containerd's folder with all images in it: filled once, then shared by the nodes.

Importing an image takes seconds and half a gigabyte; a copy by hard links takes neither.
Layers and blobs never change once they are written, so they are shared; containerd's
databases do change, so each copy has its own.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.local import packages, paths
from deploy.local.digest import key_of
from deploy.local.shell import Command, run, say
from deploy.local.timing import wait_until

_CONTENTS = "images.json"
_NAMESPACE = "k8s.io"

Archives = Mapping[str, Path]
"""Image reference → docker-archive; the archive's name changes with its content."""


def template(archives: Archives) -> Path:
    """A containerd root with exactly the newest of each image, made now if there is none."""
    target = _folder() / key_of(*(file.name for file in archives.values()))
    if not target.is_dir():
        _make_template(target, archives)
    for other in _folder().iterdir():
        if other != target:
            shutil.rmtree(other, ignore_errors=True)
    return target


def copy(source: Path, target: Path) -> None:
    """Copy a containerd root that nothing uses: hard links, except for its databases."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    same_disk = source.stat().st_dev == target.parent.stat().st_dev
    run(["cp", "-al" if same_disk else "-a", source, target])
    for database in target.rglob("*.db") if same_disk else ():
        _unshare(database)


def missing(contents: Path, archives: Archives) -> dict[str, Path]:
    """Those of the archives that the containerd root does not hold yet."""
    held = _held(contents)
    return {ref: path for ref, path in archives.items() if held.get(ref) != path.name}


def _held(contents: Path) -> dict[str, str]:
    file = contents / _CONTENTS
    held: dict[str, str] = json.loads(file.read_text()) if file.is_file() else {}
    return held


def note(contents: Path, archives: Archives) -> None:
    """Write down what the containerd root holds."""
    names = _held(contents) | {reference: file.name for reference, file in archives.items()}
    # A new file each time: the old one may be a hard link that other roots share.
    fresh = contents / f"{_CONTENTS}.new"
    fresh.write_text(json.dumps(names, indent=2))
    fresh.rename(contents / _CONTENTS)


def load(reference: str, archive: Path, ctr: Command) -> None:
    """Put an archive's image in the place of the one of that name, in a running containerd.

    The old one keeps another name meanwhile: what nothing names any more is swept up, and the
    import fails where it had counted on a layer that both share.
    """
    images: Command = [*ctr, f"--namespace={_NAMESPACE}", "images"]
    replaced = f"{reference}-replaced"
    run([*images, "tag", "--force", reference, replaced], check=False)  # there may be none
    run([*images, "import", archive])
    run([*images, "remove", "--sync", replaced])


def _folder() -> Path:
    return paths.cache() / "image-store"


def _unshare(file: Path) -> None:
    own = file.with_suffix(".own")
    shutil.copy2(file, own)
    own.rename(file)


def _make_template(target: Path, archives: Archives) -> None:
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    _folder().mkdir(parents=True, exist_ok=True)
    older = [it for it in _folder().iterdir() if (it / _CONTENTS).is_file()]
    if older:
        copy(older[0], partial)
    partial.mkdir(exist_ok=True)
    wanted = missing(partial, archives)
    with _running_containerd(partial) as address:
        for reference, archive in wanted.items():
            say(f"importing {reference}")
            load(reference, archive, [packages.node_programs() / "ctr", f"--address={address}"])
    note(partial, archives)
    partial.rename(target)


@contextlib.contextmanager
def _running_containerd(root: Path) -> Iterator[Path]:
    """A containerd for imports only, its mounts out of the host's sight; yields its socket."""
    programs = packages.node_programs()
    with tempfile.TemporaryDirectory(prefix="pgset-import-") as run_folder:
        address = Path(run_folder) / "containerd.sock"
        config = Path(run_folder) / "containerd.toml"
        config.write_text(_import_config(root, Path(run_folder), address))
        with (Path(run_folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                ["unshare", "--mount", "--", str(programs / "containerd"), "-c", str(config)],
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}"},
            )
        try:
            _wait_for_answer(address)
            yield address
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _import_config(root: Path, run_folder: Path, address: Path) -> str:
    return f"""\
version = 2
root = "{root}"
state = "{run_folder}"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{address}"
"""


def _wait_for_answer(address: Path) -> None:
    version: Command = [packages.node_programs() / "ctr", f"--address={address}", "version"]
    wait_until(lambda: "Server:" in run(version, check=False), 180, "containerd for imports")
