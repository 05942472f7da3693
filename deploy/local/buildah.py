"""Building container images without an engine, as root, in folders of the cache."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import packages, paths
from deploy.local.shell import run, run_long

_SUITE = packages.SUITE
_ENVIRONMENT = {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "overlay"}
_NOT_NEEDED = ("doc", "info", "lintian", "locale", "man")


@dataclass(frozen=True)
class Base:
    """A root file system from Debian packages; hooks are mmdebstrap's, its $1 is the root."""

    name: str
    packages: tuple[str, ...]
    hooks: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    suite: str = field(default=_SUITE, repr=False)
    """Of Debian. Where it differs, so do the packages, by which the base is known."""


@dataclass(frozen=True)
class Build:
    """One build of a Dockerfile; `volumes` are host folders that RUN steps may read."""

    dockerfile: Path
    context: Path
    arguments: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[Path, str] = field(default_factory=dict)


def has(reference: str) -> bool:
    """Whether an image of this name was built."""
    return bool(_buildah_output("images", "--quiet", "--filter", f"reference={reference}"))


def build(reference: str, wanted: Build) -> None:
    """Build a Dockerfile; layers that did not change are taken from the last build."""
    arguments = [f"--build-arg={name}={value}" for name, value in wanted.arguments.items()]
    volumes = [f"--volume={folder}:{inside}:ro" for folder, inside in wanted.volumes.items()]
    _buildah(
        f"building image {reference}",
        [
            "build",
            "--layers",
            "--pull-never",
            f"--file={wanted.dockerfile}",
            f"--tag={reference}",
            *arguments,
            *volumes,
            str(wanted.context),
        ],
    )


def save(reference: str, archive: Path) -> None:
    """Write the image as a docker-archive that containerd can import."""
    partial = archive.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    _buildah(
        f"saving image {reference}", ["push", reference, f"docker-archive:{partial}:{reference}"]
    )
    partial.rename(archive)


def build_base(reference: str, base: Base) -> None:
    """Make an image from Debian packages alone."""
    tarball = paths.cache() / f"{base.name}-rootfs.tar"
    _make_root(base, tarball)
    container = _buildah_output("from", "scratch")
    _buildah(f"adding the root of {base.name}", ["add", container, str(tarball), "/"])
    _buildah(f"committing {base.name}", ["commit", "--rm", container, reference])
    tarball.unlink()


def _make_root(base: Base, tarball: Path) -> None:
    packages.install_tools()
    left_out = [f"/usr/share/{folder}/*" for folder in _NOT_NEEDED] + list(base.left_out)
    run_long(
        f"mmdebstrap {base.name}",
        [*packages.MMDEBSTRAP, "--variant=essential", f"--include={','.join(base.packages)}"]
        + [f"--dpkgopt=path-exclude={pattern}" for pattern in left_out]
        + [f"--essential-hook={hook}" for hook in base.hooks]
        + ['--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/etc/apt/sources.list*']
        + [*packages.NEWER_SUITE, base.suite, tarball, *packages.mirrors_of(base.suite)],
        _log(),
    )


def _buildah(what: str, arguments: Sequence[str]) -> None:
    packages.install_tools()
    run_long(what, ["buildah", *_storage(), *arguments], _log(), env=_ENVIRONMENT)


def _buildah_output(*arguments: str) -> str:
    packages.install_tools()
    environment = [f"{name}={value}" for name, value in _ENVIRONMENT.items()]
    return run(["env", *environment, "buildah", *_storage(), *arguments]).strip()


def _storage() -> list[str]:
    folder = paths.cache() / "buildah"
    return [f"--root={folder / 'root'}", f"--runroot={folder / 'run'}"]


def _log() -> Path:
    return paths.cache() / "build-logs/images.log"
