"""`kubectl pgset doctor` on a real set: each fault is cured by the command that it prints.

One set of two is broken, mended and broken again. Before each fault all is well, or the set is made
anew; so a row needs no other, and one that fails spoils none.
"""

import json
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

from deploy import plugin
from deploy.demo.stage import Stage, StepFailedError
from deploy.demo.steps import install
from tests.cluster.doctor_rows import NAMESPACE, PRELUDE, ROWS, Row
from tests.cluster.test_plugin import orders, shell

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube"), pytest.mark.rarely]

REGISTRATION = ("mutatingwebhookconfiguration", "pgset")
KNOWN_SECONDS = 5.0
"""After so long, API servers have seen a change of the registration."""

WAIT_SECONDS = 300.0
"""For what takes a minute or less: what is told late is told, and who is slow comes."""


@pytest.fixture(scope="module")
def installed(played_on: Stage) -> Iterator[Stage]:
    install(played_on)
    plugin.build(played_on.workspace / "bin/kubectl-pgset")
    make_anew(played_on)
    yield played_on
    remove(played_on)
    install(played_on)


@pytest.fixture
def well(installed: Stage) -> Stage:
    """All is well, whatever the test before has left."""
    try:
        installed.wait(lambda: is_well(installed), "the set to be well", WAIT_SECONDS)
    except StepFailedError:
        install(installed)
        make_anew(installed)
    return installed


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_fault_is_cured_by_the_command_that_is_printed(well: Stage, row: Row) -> None:
    stage = well
    try:
        with unseen(stage, row.unseen) if row.unseen else nullcontext():
            run(stage, row.plant)
        for told in row.told:
            cure(stage, told)
        wait(stage, lambda: not any(commands(stage, told) for told in row.told), "it to be gone")
        wait(stage, lambda: is_well(stage), "the set to be well")
        if row.then:
            wait(stage, lambda: shell(stage, PRELUDE + row.then)[0] == 0, row.then)
    finally:
        if row.undo:
            shell(stage, PRELUDE + row.undo)
        as_before(stage)


def test_the_rows_are_thirty_and_more() -> None:
    names = [it.name for it in ROWS]
    assert len(set(names)) == len(names) >= 30


# ── doctor ────────────────────────────────────────────────────────────────────────────────


def doctor(stage: Stage) -> tuple[int, str]:
    return shell(stage, f"kubectl pgset doctor orders -n {NAMESPACE}")


def commands(stage: Stage, told: str) -> list[str]:
    """Return the command of each cause whose sentence has what is told."""
    return re.findall(rf"^.*{told}.*\n    (.+)$", doctor(stage)[1], re.M)


def cure(stage: Stage, told: str) -> None:
    """Run the command as it is printed; one that asks for the set's name is answered."""
    found: list[str] = []

    def is_told() -> bool:
        found[:] = commands(stage, told)
        return bool(found)

    wait(stage, is_told, f"doctor to tell: {told}")
    assert not re.search(r"<[^>]*>|…", found[0]), "it can't be pasted as it is"
    code, said = shell(stage, f"{{ {found[0]}\n}} <<< orders")
    assert code == 0, f"{found[0]}: {said}"


def is_well(stage: Stage) -> bool:
    code, said = doctor(stage)
    if code != 0 or not said.startswith("Nothing is wrong"):
        return False
    return shell(stage, f"kubectl pgset status orders -n {NAMESPACE}")[0] == 0


def wait(stage: Stage, question: Callable[[], bool], what: str) -> None:
    """Wait until it is so; what is seen instead is told as doctor and status tell it."""
    try:
        stage.wait(question, what, WAIT_SECONDS)
    except StepFailedError:
        seen = shell(
            stage,
            f"kubectl pgset doctor orders -n {NAMESPACE}; kubectl pgset status orders "
            f"-n {NAMESPACE}; kubectl pgset events orders -n {NAMESPACE} | tail -n 15",
        )[1]
        raise AssertionError(f"waited in vain for {what}; instead:\n{seen}") from None


# ── the set ───────────────────────────────────────────────────────────────────────────────


def run(stage: Stage, script: str) -> None:
    """Plant a fault; the names that it uses are those of the prelude."""
    place = f"FOLDER={shlex.quote(folder(stage))}\n"
    code, said = shell(stage, f"set -e\n{place}{PRELUDE}{script}")
    assert code == 0, f"{script}: {said}"


def folder(stage: Stage) -> str:
    return f"{stage.folder}-doctor"


def manifest(stage: Stage) -> dict[str, Any]:
    made: dict[str, Any] = orders(stage)
    made["metadata"]["namespace"] = NAMESPACE
    made["spec"]["template"]["spec"]["volumes"] = [
        {"name": "data", "hostPath": {"path": folder(stage), "type": "DirectoryOrCreate"}}
    ]
    return made


def as_before(stage: Stage) -> None:
    """Give the StatefulSet back what a fault or its cure has changed in it."""
    stage.ask("replace", "-f", "-", stdin=json.dumps(manifest(stage)), check=False)
    rolled = ("rollout", "status", "statefulset/orders", "--timeout=180s")
    stage.ask("-n", NAMESPACE, *rolled, check=False)


def make_anew(stage: Stage) -> None:
    remove(stage)
    stage.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    stage.apply(manifest(stage))
    wait(stage, lambda: is_well(stage), "a new set to be well")


def remove(stage: Stage) -> None:
    stage.delete_namespace(NAMESPACE, seconds=280)
    shutil.rmtree(folder(stage), ignore_errors=True)


@contextmanager
def unseen(stage: Stage, name: str) -> Iterator[None]:
    """While API servers do not ask this one of our webhooks, as if it were away and failed open."""
    webhooks = stage.get(*REGISTRATION, namespace=None)["webhooks"]
    (index,) = (at for at, it in enumerate(webhooks) if it["name"] == name)
    conditions = f"/webhooks/{index}/matchConditions"
    last = len(webhooks[index]["matchConditions"])
    never = '{"name":"never","expression":"false"}'
    add = f'[{{"op":"add","path":"{conditions}/-","value":{never}}}]'
    stage.ask("patch", *REGISTRATION, "--type=json", "-p", add)
    try:
        time.sleep(KNOWN_SECONDS)
        yield
    finally:
        removes = f'[{{"op":"remove","path":"{conditions}/{last}"}}]'
        stage.ask("patch", *REGISTRATION, "--type=json", "-p", removes)
        time.sleep(KNOWN_SECONDS)
