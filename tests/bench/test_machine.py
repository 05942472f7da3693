"""Whose work is taken for others', on looks made by hand and on this machine."""

import subprocess
import sys

import pytest

from tests.bench.machine import Look, look, others_share

WORKS_AND_WAITS = """
import sys, time
while time.process_time() < 0.5: pass
print("done", flush=True)
sys.stdin.read()
"""


def test_the_others_share_is_that_of_all_cores_in_the_times_between_the_looks() -> None:
    one, another = (Look(10, 100), Look(14, 102)), (Look(50, 170), Look(54, 172))
    assert others_share([one, another], cores=2) == 0.25


@pytest.mark.thorough
def test_the_work_of_a_process_of_ours_is_not_others() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", WORKS_AND_WAITS], stdin=pipe, stdout=pipe
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        # Less what others did between the two looks, which is a lot on a busy machine at times.
        theirs = max(look().others - look([process.pid]).others for _ in range(20))
        process.communicate()
    assert 0.2 < theirs <= 0.6


def test_a_process_that_has_ended_did_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    # But for what others did between the two looks.
    assert min(abs(look([process.pid]).others - look().others) for _ in range(20)) < 1
