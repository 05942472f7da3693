"""`make demo`, each step a test: the steps check themselves what they show."""

from collections.abc import Callable

import pytest

from deploy.demo.stage import Stage
from deploy.demo.steps import STEPS, perform

pytestmark = pytest.mark.cluster

_failed: list[str] = []


@pytest.mark.parametrize(
    ("number", "step"), list(enumerate(STEPS, start=1)), ids=[step.__name__ for step in STEPS]
)
def test_step(stage: Stage, number: int, step: Callable[[Stage], None]) -> None:
    if _failed:
        pytest.fail(f"not tried, since {_failed[0]} failed before it")
    try:
        perform(stage, number, step)
    except Exception:
        _failed.append(step.__name__)
        raise


def test_the_times_that_the_readme_promises_are_kept_with_room(stage: Stage) -> None:
    """A busy machine is ten times slower; a step that waits for a time-out may be slower still. The
    figures themselves are printed by `make demo`."""
    assert stage.times["from kubectl apply to two ready members"] < 200
    assert stage.times["scaled from two to three ready members"] < 200
