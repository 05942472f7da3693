"""Virtual environments in the cache: the project's own, and Go's."""

import shutil
import sys
from pathlib import Path

from deploy.local import packages, paths
from deploy.local.digest import key_of
from deploy.local.shell import run_long, say

_LOCK = paths.CHECKOUT / "requirements-dev.txt"


def create(folder: Path) -> None:
    """Make an empty virtual environment with pip, in place of what is there."""
    packages.install_tools()
    shutil.rmtree(folder, ignore_errors=True)
    log = paths.cache() / "build-logs/venv.log"
    run_long("python -m venv", [sys.executable, "-m", "venv", folder], log)


def project() -> Path:
    """The project's environment: the locked requirements, for tests and tools.

    Keyed by the lock and by the Python, so a change of either makes a new one.
    """
    key = key_of(_LOCK.read_bytes(), sys.version, sys.executable)
    folder = paths.cache() / "venvs" / key
    finished = folder / "finished"
    if not finished.is_file():
        _install(folder)
        finished.touch()
    return folder


def _install(folder: Path) -> None:
    say("installing the locked Python requirements (once; then they are in the cache)")
    create(folder)
    run_long(
        "pip install",
        [folder / "bin/pip", "install", "--quiet", "--require-hashes", "-r", _LOCK],
        paths.cache() / "build-logs/pip.log",
    )
