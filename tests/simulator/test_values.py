"""Values that the simulator makes in a shorter way are the same values."""

from dataclasses import dataclass, field

import pytest

from tests.simulator.values import thaw


@dataclass(frozen=True, slots=True)
class _Frozen:
    name: str
    role: str | None = None
    seconds: float | None = field(default=None, compare=False)
    members: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True, slots=True)
class _Thawed:
    name: str
    role: str | None = None
    seconds: float | None = field(default=None, compare=False)
    members: tuple[str, ...] = field(default=(), kw_only=True)


thaw(_Thawed)


def test_what_is_thawed_is_made_of_the_same_fields() -> None:
    arguments = ("pg-1", "replica", 1.5)
    assert _Thawed("pg-0").role is None
    assert str(_Thawed(*arguments)) == str(_Frozen(*arguments)).replace("_Frozen", "_Thawed")


def test_what_is_thawed_is_equal_and_has_the_same_hash() -> None:
    one, other = _Thawed("pg-1", seconds=1.0), _Thawed("pg-1", seconds=2.0)
    assert (one, hash(one)) == (other, hash(_Frozen("pg-1")))
    assert one != _Thawed("pg-1", "primary")


def test_what_has_to_be_given_by_its_name_still_has_to_be() -> None:
    with pytest.raises(TypeError, match="positional arguments"):
        _Thawed("pg-1", None, None, ("pg-1",))  # type: ignore[misc]
