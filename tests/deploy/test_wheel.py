"""What an installation from the sources gets: everything that the image has."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.busy

ROOT = Path(__file__).parents[2]
PARTS = ("certs", "sidecar", "webhook")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of a copy of the tree: a build leaves folders behind, and takes from them."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    for part in PARTS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, source / part, ignore=ignored)
    for name in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, source)
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", f"-w{directory}", source]
    pip(*build)
    (built,) = directory.glob("*.whl")
    return built


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_a_wheel_has_every_file_of_the_tree_and_no_other(wheel):
    built = {it for it in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in it}
    there = {
        path.relative_to(ROOT).as_posix()
        for part in PARTS
        for path in (ROOT / part).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert built == there
    parts = {
        f"sidecar/bootstrap_{part}.sh" for part in ("copy", "image", "initdb", "settings", "wal")
    }
    assert {"sidecar/bootstrap.sh", *parts} <= built


def test_what_is_installed_from_a_wheel_can_be_imported(wheel, tmp_path):
    pip("install", "--no-deps", "--no-index", "--target", tmp_path / "site", wheel)
    modules = (
        "certs.__main__",
        "sidecar.__main__",
        "sidecar.agent",
        "sidecar.decide",
        "webhook.app",
    )
    modules += ("webhook.caretaker.__main__", "webhook.patient_worker")
    program = f"import sys; sys.path.insert(0, 'site'); import {', '.join(modules)}\n"
    program += "print(sidecar.decide.__file__)"
    command = [sys.executable, "-P", "-c", program]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(str(tmp_path / "site"))
