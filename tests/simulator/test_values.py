"""Values that the simulator makes in a shorter way are the same values."""

from dataclasses import FrozenInstanceError

import pytest

from sidecar.observation import Observation, Pod
from tests.simulator.values import quickly


def test_what_is_made_quickly_is_equal_and_of_the_same_class() -> None:
    made = quickly(Pod)("pg-1", "u1", None, role="replica")
    expected = Pod("pg-1", "u1", None, role="replica")
    assert (expected, Pod, hash(expected)) == (made, type(made), hash(made))


def test_what_is_made_quickly_is_frozen() -> None:
    made = quickly(Pod)("pg-1", "u1", None, None)
    with pytest.raises(FrozenInstanceError):
        made.role = "primary"


def test_what_has_to_be_given_still_has_to_be_given_by_its_name() -> None:
    with pytest.raises(TypeError, match="keyword-only"):
        quickly(Observation)(now=1.0)
