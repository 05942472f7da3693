"""The local cluster's command line: `python3 -m deploy.local COMMAND`."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import NoReturn

from deploy.local import (
    cluster,
    images,
    paths,
    postgresql,
    programs,
    prometheus_operator,
    virtual_environment,
)
from deploy.local.errors import LocalClusterError


def _up(_: list[str]) -> int:
    cluster.up()
    print(f'export PATH="{cluster.kubectl().parent}:$PATH"')
    print(f"export KUBECONFIG={paths.kubeconfig()}")
    return 0


def _down(_: list[str]) -> int:
    cluster.down()
    return 0


def _prepare(_: list[str]) -> int:
    cluster.prepare()
    programs.build(programs.HELM)
    prometheus_operator.definitions()
    for version in postgresql.SUITES:
        postgresql.unpack(version)
    for image in images.images_of_tests():
        image.archive()
    return 0


def _clean(_: list[str]) -> int:
    shutil.rmtree(paths.cache())
    return 0


def _images(_: list[str]) -> int:
    cluster.load_images()
    return 0


def _kubeconfig(_: list[str]) -> int:
    print(paths.kubeconfig())
    return 0


def _programs(_: list[str]) -> int:
    print(programs.kubernetes())
    return 0


def _postgresql(words: list[str]) -> int:
    version = postgresql.check(words[0] if words else postgresql.DEFAULT)
    print(postgresql.bin_folder(postgresql.unpack(version), version))
    return 0


def _enter(words: list[str]) -> int:
    name, *command = words or _missing("NODE")
    if command[:1] == ["--"]:
        del command[0]
    full = [*cluster.node(name).enter(), *(command or ["sh"])]
    return subprocess.run(full, check=False).returncode


def _start(words: list[str]) -> int:
    cluster.node((words or _missing("NODE"))[0]).start()
    return 0


def _stop(words: list[str]) -> int:
    cluster.node((words or _missing("NODE"))[0]).stop()
    return 0


def _in_venv(words: list[str]) -> int:
    words = words or _missing("PROGRAM")
    folder = virtual_environment.project() / "bin"
    path = f"{folder}:{os.environ.get('PATH', os.defpath)}"
    environment = {
        **os.environ,
        "PATH": path,
        "VIRTUAL_ENV": str(folder.parent),
        # Compiled once and kept, also where the caller wants none in the checkout: pytest and its
        # plugins take as long to compile as some hundred tests to run.
        "PYTHONPYCACHEPREFIX": str(paths.cache() / "pycache"),
        # These go by what the files say and not by where they are: a fresh clone finds it done.
        "MYPY_CACHE_DIR": str(paths.cache() / "mypy"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(paths.cache() / "hypothesis"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.run(words, env=environment, check=False).returncode


def _missing(what: str) -> NoReturn:
    raise LocalClusterError(f"{what} is missing: see `python3 -m deploy.local --help`")


_COMMANDS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "up": (_up, "start the cluster; prints what the shell must export to use it"),
    "down": (_down, "end the cluster and leave the host as it was"),
    "images": (_images, "build the images that changed and load them into the running nodes"),
    "prepare": (_prepare, "install, fetch and build all that tests and the cluster need"),
    "clean": (_clean, "remove the cache"),
    "kubeconfig": (_kubeconfig, "print the path of the admin's kubeconfig"),
    "programs": (_programs, "build the Kubernetes programs, print their folder"),
    "postgresql": (_postgresql, "[VERSION]: unpack a PostgreSQL for tests, print its bin folder"),
    "enter": (_enter, "NODE [COMMAND...]: run a command in the node's namespaces"),
    "start": (_start, "NODE: start a node that was stopped"),
    "stop": (_stop, "NODE: stop a node at once, as a power cut does"),
    "in-venv": (_in_venv, "PROGRAM [ARGUMENT...]: run it in the project's virtual environment"),
}


def main(arguments: list[str]) -> int:
    """Run one command; one sentence on stderr and exit code 1 where it can't be done."""
    parser = argparse.ArgumentParser(
        prog="python3 -m deploy.local",
        description="A real Kubernetes with three nodes on this machine.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {name:12}{about}" for name, (_, about) in _COMMANDS.items()),
    )
    parser.add_argument("command", choices=_COMMANDS, metavar="COMMAND")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="...")
    parsed = parser.parse_args(arguments)
    words = parsed.words[1:] if parsed.words[:1] == ["--"] else parsed.words
    command, _ = _COMMANDS[parsed.command]
    try:
        return command(words)
    except LocalClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `make cluster-down` takes away what is left", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
