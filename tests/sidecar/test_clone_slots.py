"""How far behind the slot of a member may be that replays its clone."""

import pytest

from sidecar.postgres.clone_slots import Volume, bound_mb
from sidecar.postgres.commands import MAX_SLOT_WAL_KEEP_MB


def test_it_is_what_the_volume_has_room_for_and_a_fifth_of_it_stays_free() -> None:
    assert bound_mb(0, Volume(size=100_000, free=70_000), max_wal_size=1024) == 50_000


def test_more_stays_free_where_more_is_written_between_two_checkpoints() -> None:
    assert bound_mb(0, Volume(size=100_000, free=70_000), max_wal_size=30_000) == 10_000


def test_wal_that_comes_takes_of_the_room_and_changes_nothing() -> None:
    volume = Volume(size=100_000, free=70_000)
    for written in (0, 10_000, 49_000):
        later = Volume(volume.size, volume.free - written)
        assert bound_mb(written, later, max_wal_size=1024) == 50_000


def test_other_data_that_comes_lowers_it() -> None:
    assert bound_mb(10_000, Volume(size=100_000, free=15_000), max_wal_size=1024) == 5_000


@pytest.mark.parametrize("free", [0, 19_000, 20_500])
def test_it_is_never_less_than_any_slot_may_be_behind(free: int) -> None:
    assert bound_mb(0, Volume(100_000, free), max_wal_size=1024) == MAX_SLOT_WAL_KEEP_MB
