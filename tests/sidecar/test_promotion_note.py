"""The note of a promotion in a data directory."""

from pathlib import Path

import pytest

from sidecar import promotion_note

HISTORY = "1\t0/1000\tno recovery target specified\n\n2\t0/2000\tno recovery target specified\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "pg_wal").mkdir()
    (tmp_path / "pg_wal/00000003.history").write_text(HISTORY)
    return tmp_path


def test_one_that_is_asked_for_again_is_noted_by_where_it_began(directory: Path) -> None:
    assert promotion_note.read(directory) == (None, None)
    promotion_note.write(directory, 1)
    promotion_note.write(directory, 2)
    assert promotion_note.read(directory) == (1, None)
    promotion_note.forget(directory)
    assert promotion_note.read(directory) == (None, None)


@pytest.mark.parametrize(("before", "at"), [(1, 0x1000), (2, 0x2000)])
def test_one_by_hand_is_noted_with_where_it_left_the_set(
    directory: Path, before: int, at: int
) -> None:
    promotion_note.write_by_hand(directory, before, 3)
    assert promotion_note.read(directory) == (before, at)


@pytest.mark.parametrize("history", ["", "what is this", "7\t0/1000\tby hand\n"])
def test_nothing_is_noted_where_the_history_does_not_tell(directory: Path, history: str) -> None:
    (directory / "pg_wal/00000003.history").write_text(history)
    with pytest.raises(OSError, match="the history of timeline 3"):
        promotion_note.write_by_hand(directory, 2, 3)
    assert promotion_note.read(directory) == (None, None)


def test_what_began_by_hand_becomes_the_sets_where_this_member_is_to_lead(directory: Path) -> None:
    """From then on its rows count; and whoever begins another timeline has it cloned again."""
    promotion_note.write_by_hand(directory, 2, 3)
    promotion_note.write(directory, 3)
    assert promotion_note.read(directory) == (2, None)


def test_a_start_on_the_others_timeline_is_noted_as_one_of_the_same_number(directory: Path) -> None:
    """Whatever was noted before: from here on no position tells them apart."""
    promotion_note.write_by_hand(directory, 1, 3)
    promotion_note.write_by_hand(directory, 3, 3)
    assert promotion_note.read(directory) == (2, None)


def test_one_that_a_sidecar_has_asked_for_stays_its_own(directory: Path) -> None:
    """Its note was written, and could not be read since."""
    promotion_note.write(directory, 2)
    promotion_note.write_by_hand(directory, 2, 3)
    assert promotion_note.read(directory) == (2, None)
