"""Two streams of WAL, each in pieces of its own."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.postgres.comparison import are_equal


def pieces(text: bytes, size: int) -> Iterator[bytes]:
    return (text[at : at + size] for at in range(0, len(text), size))


@given(st.binary(max_size=40), st.binary(max_size=9), st.integers(1, 7), st.integers(1, 7))
def test_pieces_of_any_size_are_equal_where_all_of_ours_is_there(
    ours: bytes, more: bytes, mine: int, theirs: int
) -> None:
    assert are_equal(pieces(ours, mine), pieces(ours + more, theirs))


@given(st.binary(min_size=1, max_size=40), st.data())
def test_one_byte_is_enough(ours: bytes, data: st.DataObject) -> None:
    at, size = data.draw(st.integers(0, len(ours) - 1)), data.draw(st.integers(1, 7))
    other = ours[:at] + bytes([ours[at] ^ 1]) + ours[at + 1 :]
    assert not are_equal(pieces(ours, 3), pieces(other, size))


def test_what_ends_before_ours_is_not_equal_and_no_more_is_read_than_has_to_be() -> None:
    assert not are_equal([b"abc"], iter([b"ab"]))
    theirs = iter([b"abc", b"def"])
    assert are_equal([b"ab"], theirs)
    assert next(theirs) == b"def"


@pytest.mark.parametrize("empty", [[], [b""]])
def test_nothing_is_equal_to_whatever_there_is(empty: list[bytes]) -> None:
    assert are_equal(empty, iter(()))
