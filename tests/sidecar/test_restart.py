"""A sidecar that ends abnormally is there again at once, and one that hangs is not kept alive."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import state_of, wait_until

PROGRAM = """
import os, signal, sys, time
from sidecar.restart import keep_running
def work():
    if "listens" in sys.argv:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
    print(os.getpid(), flush=True)
    if "fails" in sys.argv:
        raise RuntimeError("a fault")
    if "ends" in sys.argv:
        return 0
    time.sleep(3600)
sys.exit(keep_running(work, steady_seconds=float(sys.argv[1])))
"""
STEADY, NOT_STEADY = "0", "3600"


class Run:
    """The first process of a container, and the children that it has had."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._said = folder / "said"
        with self._said.open("wb") as said:
            command = [sys.executable, "-c", PROGRAM, *words]
            self.process = subprocess.Popen(command, stdout=said, stderr=subprocess.PIPE)

    def children(self) -> list[int]:
        return [int(line) for line in self._said.read_text().split()]

    def wait_for_child(self, number: int) -> int:
        wait_until(lambda: len(self.children()) >= number, f"child {number}")
        return self.children()[number - 1]


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    started: list[Run] = []
    yield started
    for run in started:
        run.process.kill()
        run.process.wait()
        assert run.process.stderr is not None
        run.process.stderr.close()


def start(runs: list[Run], folder: Path, *words: str) -> Run:
    runs.append(Run(folder, *words))
    return runs[-1]


def test_who_was_killed_is_started_anew_each_time(runs: list[Run], tmp_path: Path) -> None:
    """The kubelet would wait 10 s from the second time on."""
    run = start(runs, tmp_path, STEADY)
    for number in (1, 2, 3):
        os.kill(run.wait_for_child(number), signal.SIGKILL)
    run.wait_for_child(4)
    assert run.process.poll() is None


@pytest.mark.parametrize(
    ("words", "code"), [((NOT_STEADY, "fails"), 1), ((STEADY, "ends"), 0)], ids=["fault", "end"]
)
def test_who_fails_at_once_is_left_to_the_kubelet_and_who_has_ended_stays_so(
    runs: list[Run], tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    run = start(runs, tmp_path, *words)
    assert run.process.wait(180) == code
    assert len(run.children()) == 1
    assert run.process.stderr is not None
    assert (b"RuntimeError: a fault" in run.process.stderr.read()) is (code == 1)


@pytest.mark.parametrize(("words", "code"), [((), 128 + signal.SIGTERM), (("listens",), 7)])
def test_what_ends_the_container_ends_the_sidecar(
    runs: list[Run], tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    run = start(runs, tmp_path, STEADY, *words)
    run.wait_for_child(1)
    run.process.terminate()
    assert run.process.wait(180) == code
    assert len(run.children()) == 1


def test_a_sidecar_that_hangs_dies_with_its_container(runs: list[Run], tmp_path: Path) -> None:
    run = start(runs, tmp_path, STEADY)
    child = run.wait_for_child(1)
    os.kill(child, signal.SIGSTOP)
    # Of two signals that have not been seen to, the lower number comes first, which is the end.
    wait_until(lambda: state_of(child) == "T", "the child to hang")
    run.process.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        run.process.wait(1)
    run.process.kill()

    wait_until(lambda: state_of(child) in ("Z", None), "the child's end")
