"""Virtual environments in the cache: the project's own, and Go's."""

import shutil
import sys
from pathlib import Path

from deploy.local import locks, packages, paths
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
    """The project's environment, for tests and tools."""
    return of(_LOCK)


def of(lock: Path) -> Path:
    """The environment of locked requirements, made now if there is none.

    Keyed by the lock and by the Python, so a change of either makes a new one.
    """
    key = key_of(lock.read_bytes(), sys.version, sys.executable)
    folder = paths.cache() / "venvs" / key
    finished = folder / "finished"
    if not finished.is_file():
        with locks.alone(key):
            if not finished.is_file():  # by now, by somebody else
                _install(folder, lock)
                finished.touch()
    return folder


def _install(folder: Path, lock: Path) -> None:
    say(f"installing {lock.relative_to(paths.CHECKOUT)} (once; then it is in the cache)")
    create(folder)
    run_long(
        "pip install",
        [folder / "bin/pip", "install", "--quiet", "--require-hashes", "-r", lock],
        paths.cache() / "build-logs/pip.log",
    )
