"""Virtual environments in the cache: the project's own, and Go's."""

import functools
import shutil
import sys
from pathlib import Path

from deploy.local import locks, packages, paths
from deploy.local.digest import key_of
from deploy.local.shell import run, run_long, say

_LOCK = paths.CHECKOUT / "requirements-dev.txt"

_SYSTEMS = "/usr/bin/python3"
"""The Python of the distribution: it is built with the compiler's optimization by profile. What a
version manager builds by default is not, and takes half as long again for everything."""

_IF_IT_WILL_DO = """
import ensurepip, sys
if sys.version_info >= (3, 11):
    print(sys.version)
"""


def create(folder: Path) -> None:
    """Make an empty virtual environment with pip, in place of what is there."""
    packages.install_tools()
    shutil.rmtree(folder, ignore_errors=True)
    log = paths.cache() / "build-logs/venv.log"
    run_long("python -m venv", [_python()[0], "-m", "venv", folder], log)


def project() -> Path:
    """The project's environment, for tests and tools."""
    return of(_LOCK)


def of(lock: Path) -> Path:
    """The environment of locked requirements, made now if there is none.

    Keyed by the lock and by the Python, so a change of either makes a new one.
    """
    python, version = _python()
    key = key_of(lock.read_bytes(), version, python)
    folder = paths.cache() / "venvs" / key
    finished = folder / "finished"
    if not finished.is_file():
        with locks.alone(key):
            if not finished.is_file():  # by now, by somebody else
                _install(folder, lock)
                finished.touch()
    return folder


@functools.cache
def _python() -> tuple[str, str]:
    """The Python that environments are made of, and its version."""
    if Path(_SYSTEMS).is_file():
        version = run([_SYSTEMS, "-I", "-c", _IF_IT_WILL_DO], check=False).strip()
        if version:
            return _SYSTEMS, version
    return sys.executable, sys.version


def _install(folder: Path, lock: Path) -> None:
    say(f"installing {lock.relative_to(paths.CHECKOUT)} (once; then it is in the cache)")
    create(folder)
    run_long(
        "pip install",
        [folder / "bin/pip", "install", "--quiet", "--require-hashes", "-r", lock],
        paths.cache() / "build-logs/pip.log",
    )
