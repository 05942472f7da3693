"""The image's interpreter: nobody looks into its processes, and no variable leads it astray.

The Dockerfile's own commands are carried out on a virtual environment of this machine.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar import contract
from webhook.sidecar_container import COMMAND, WITHOUT

ROOT = Path(__file__).parents[2]
INSTALLED = "/opt/pgset"
NOBODY = 65534
SYSTEM_PYTHON = Path("/usr/bin/python3")
"""One whose library any user may read; a developer's own is often in a home directory."""

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(os.geteuid() != 0, reason="an image is built by root"),
    pytest.mark.skipif(
        not SYSTEM_PYTHON.exists() or sys.platform != "linux", reason="no python3 for all users"
    ),
]


def commands() -> list[str]:
    text = (ROOT / "deploy/Dockerfile").read_text()
    return re.findall(r"^RUN ((?:.*\\\n)*.*)", text, re.MULTILINE)


@pytest.fixture(scope="module")
def installed() -> Iterator[Path]:
    """What /opt/pgset is in the image, without the packages."""
    folder = Path(tempfile.mkdtemp(prefix="pgset-image-"))
    folder.chmod(0o755)
    subprocess.run([SYSTEM_PYTHON, "-m", "venv", "--without-pip", folder], check=True)
    ignored = shutil.ignore_patterns("__pycache__")
    for part in ("certs", "cli", "sidecar", "webhook"):
        shutil.copytree(ROOT / part, folder / "app" / part, ignore=ignored)
    (folder / "app/deploy").mkdir()
    for name in ("__init__.py", "plugin.py"):
        shutil.copy(ROOT / "deploy" / name, folder / "app/deploy")
    environment = {"PATH": f"{folder}/bin:/usr/bin:/bin"}
    for command in commands():
        if "pip install" not in command:
            here = command.replace(INSTALLED, str(folder))
            subprocess.run(["/bin/sh", "-ec", here], check=True, env=environment, cwd="/")
    yield folder
    shutil.rmtree(folder)


def sidecars(installed: Path, code: str) -> list[str]:
    """The sidecar's command, with other code in the module's place."""
    command = [part.replace(INSTALLED, str(installed)) for part in COMMAND]
    return [*command[: command.index("-m")], "-c", code]


def test_no_program_of_the_same_user_sees_into_it_from_its_start_on(installed: Path) -> None:
    """A superuser of the database may run programs of that uid, and kill the sidecar, too."""
    victim = subprocess.Popen(
        sidecars(installed, "import sys; sys.stdin.read()"),
        user=NOBODY,
        group=NOBODY,
        env={"POSTGRES_PASSWORD": "secret"},
        stdin=subprocess.PIPE,
    )
    attack = """
import os, sys
pid, got = int(sys.argv[1]), set()
def attempt(what, do):
    try:
        if do():
            got.add(what)
    except OSError:
        pass
for _ in range(1000):
    attempt("environ", lambda: b"secret" in open(f"/proc/{pid}/environ", "rb").read())
    attempt("root", lambda: os.listdir(f"/proc/{pid}/root/"))
    attempt("mem", lambda: open(f"/proc/{pid}/mem", "rb"))
    attempt("fd", lambda: os.listdir(f"/proc/{pid}/fd"))
print(sorted(got))
"""
    attacker = subprocess.run(
        [SYSTEM_PYTHON, "-c", attack, str(victim.pid)],
        user=NOBODY,
        group=NOBODY,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert victim.poll() is None
    victim.communicate()
    assert (attacker.stdout.strip(), attacker.stderr) == ("[]", "")


def test_the_plugin_can_be_taken_from_it(installed: Path, tmp_path: Path) -> None:
    taken = shutil.copy(installed / "kubectl-pgset", tmp_path)
    said = subprocess.run(
        [SYSTEM_PYTHON, taken, "--version"], check=True, stdout=subprocess.PIPE, text=True
    )
    assert said.stdout == f"pgset {contract.VERSION}\n"
    assert sorted(it.name for it in (installed / "app").iterdir()) == [
        "certs",
        "sidecar",
        "webhook",
    ]


def test_no_interpreter_there_can_be_read(installed: Path) -> None:
    for program in (installed / "bin").glob("python*"):
        status = program.stat()
        assert (status.st_uid, status.st_mode & 0o777) == (0, 0o711), program


def test_the_code_is_found_and_no_variable_of_the_databases_counts(
    installed: Path, tmp_path: Path
) -> None:
    """As the kubelet puts a ConfigMap's variables and the container's own together."""
    (tmp_path / "sitecustomize.py").write_text("print('CAUGHT')")
    config_map = {
        "PYTHONPATH": str(tmp_path),
        "PYTHONHOME": "/nonexistent",
        "PYTHONINSPECT": "1",
        "LD_PRELOAD": "libc.so.6 libjemalloc.so.2",
        "LD_LIBRARY_PATH": str(tmp_path),
        "LD_DEBUG": "all",
        "GLIBC_TUNABLES": "glibc.malloc.check=x",
        "LOCPATH": str(tmp_path),
    }
    run = subprocess.run(
        sidecars(installed, "import sidecar.__main__; print(sidecar.__file__)"),
        env=config_map | dict.fromkeys(WITHOUT, ""),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""
    assert run.stdout.strip() == f"{installed}/app/sidecar/__init__.py"
