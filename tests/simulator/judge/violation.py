"""An invariant that does not hold."""

from typing import NoReturn

from tests.simulator.world import World


class ViolationError(Exception):
    """An invariant does not hold."""

    def __init__(self, invariant: str, sentence: str) -> None:
        super().__init__(f"{invariant}: {sentence}")
        self.invariant = invariant
        self.sentence = sentence


def fail(world: World, invariant: str, sentence: str) -> NoReturn:
    """End the run."""
    world.note("VIOLATION", f"{invariant}: {sentence}")
    raise ViolationError(invariant, sentence)
