"""PostgreSQL of several versions, for tests on this host: each is unpacked from a suite of Debian.

Those of newer suites are made for newer libraries than this host's, the C library among them. So
they come with all that they are linked to, and know it by its path: see `copy`.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.local import packages, paths
from deploy.local.digest import key_of
from deploy.local.errors import LocalClusterError
from deploy.local.shell import run, run_long, say

DEFAULT: Final = "15"
SUITES: Final[Mapping[str, str]] = {DEFAULT: packages.SUITE, "17": "trixie", "18": "sid"}
"""Major version → the suite of Debian that has it."""

_KEPT: Final = ("usr/lib/postgresql", "usr/share/postgresql", "usr/lib/*-linux-gnu*/*.so*")
# Just-in-time compilation is optional at run time, and most of the size.
_LEFT_OUT: Final = tuple(
    f"usr/lib/{name}"
    for name in ("postgresql/*/lib/bitcode", "postgresql/*/lib/llvmjit*", "*/libLLVM*", "*/libz3*")
)


def check(version: str) -> str:
    """Return the version, if it is one of ours. Raises LocalClusterError."""
    if version not in SUITES:
        raise LocalClusterError(
            f"PostgreSQL {version or '(none)'} is none of those that tests run with: "
            f"choose {', '.join(SUITES)}"
        )
    return version


def bin_folder(root: Path, version: str) -> Path:
    """Where the programs are under `root`."""
    return root / "usr/lib/postgresql" / version / "bin"


def unpack(version: str) -> Path:
    """The folder under which the version's files are, fetched and unpacked if need be."""
    if check(version) == DEFAULT:
        return packages.unpack(packages.POSTGRESQL)
    wanted = (f"postgresql-{version}", f"postgresql-client-{version}")
    suite = SUITES[version]
    key = key_of(suite, *wanted, *_KEPT, *_LEFT_OUT)
    target = paths.cache() / "debian" / f"postgresql-{version}-{key}"
    if not target.is_dir():
        _fetch(f"PostgreSQL {version} of Debian's {suite}", suite, wanted, target)
    return target


def copy(version: str, target: Path) -> Path:
    """Copy the version into an existing folder, where it can then be run; return its bin folder.

    A program is linked to its loader by an absolute path, so each copy is for its own place.
    """
    shutil.copytree(unpack(version), target, symlinks=True, dirs_exist_ok=True)
    programs = bin_folder(target, version)
    if version != DEFAULT:
        patchelf = packages.unpack(packages.PATCHELF) / "usr/bin/patchelf"
        (loader,) = target.glob("usr/lib/*/ld-linux*.so.*")
        # Not --set-rpath alone: that would not count for the libraries of the libraries.
        libraries = ("--force-rpath", "--set-rpath", str(loader.parent))
        for program in programs.iterdir():
            run([patchelf, "--set-interpreter", loader, *libraries, program])
    return programs


def _fetch(what: str, suite: str, wanted: tuple[str, ...], target: Path) -> None:
    say(f"fetching {what}")
    packages.install_tools()
    whole, partial = target.with_suffix(".whole"), target.with_suffix(".partial")
    for folder in (whole, partial):
        shutil.rmtree(folder, ignore_errors=True)
    run_long(
        f"fetching {what}",
        # Unpacked with all that they need, and nothing of it set up.
        [
            *(*packages.MMDEBSTRAP, "--variant=extract", f"--include={','.join(wanted)}"),
            *(*packages.NEWER_SUITE, suite, str(whole), *packages.mirrors_of(suite)),
        ],
        paths.cache() / "build-logs/apt.log",
    )
    for pattern in _LEFT_OUT:
        for path in whole.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for pattern in _KEPT:
        for path in whole.glob(pattern):
            place = partial / path.relative_to(whole)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)
    shutil.rmtree(whole)
    partial.rename(target)
