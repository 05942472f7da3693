"""What a primary's timeline history means to a standby on an older timeline."""

import itertools
from pathlib import Path

import pytest

from sidecar.observation import Fork, LeaseRecord, PostgresView, ServerState
from sidecar.postgres import divergence
from sidecar.postgres.divergence import ForkFinder, kept_history
from sidecar.postgres.timeline_history import fork_point, leads_on_from
from tests.support.waiting import wait_until

LED = ((1, 100), (2, 200))
"""Of timeline 3."""

NEVER_ON_2 = ((1, 150), (2, 100))
"""Of a server that was on timeline 1, up to 100, when it was promoted, and had fetched the history
of timeline 2: so PostgreSQL 15 writes it."""


def test_a_timeline_was_left_where_the_first_of_those_after_it_began() -> None:
    assert fork_point(LED, 1) == 100
    assert fork_point(LED, 2) == 200
    assert fork_point(LED, 3) is None
    assert fork_point(NEVER_ON_2, 1) == 100


def test_a_standby_keeps_to_the_history_that_it_has() -> None:
    assert leads_on_from(LED, (), 1)
    assert leads_on_from(LED, LED, 1)
    assert not leads_on_from(LED, ((1, 150),), 1)


def test_nobody_comes_by_a_timeline_that_the_primary_has_no_wal_of() -> None:
    assert not leads_on_from(NEVER_ON_2, (), 1)
    assert leads_on_from(NEVER_ON_2, (), 2)


def test_a_kept_history_is_read_and_a_broken_one_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "pg_wal").mkdir()
    history = tmp_path / "pg_wal/0000000A.history"
    assert kept_history(tmp_path, 10) == ()
    history.write_text("1\t0/64\tno recovery target specified\n\n2\t0/C8\tbefore\n")
    assert kept_history(tmp_path, 10) == LED
    history.write_text("1\n")
    assert kept_history(tmp_path, 10) not in ((), LED)


@pytest.mark.parametrize(("kept", "fork"), [("0/64", 100), ("0/96", 0)])
def test_who_keeps_another_history_of_the_primarys_timeline_has_to_be_rewound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str, fork: int
) -> None:
    """PostgreSQL fetches none whose name is there, and then asks for the end of its own timeline
    again and again."""
    (tmp_path / "pg_wal").mkdir()
    (tmp_path / "pg_wal/00000002.history").write_text(f"1\t{kept}\tno recovery target specified\n")
    monkeypatch.setattr(divergence, "history", lambda *_: ((1, 100),))
    clock = itertools.count(step=2.0)
    finder = ForkFinder(
        *({}, lambda: ("secret",)),
        data_directory=lambda: tmp_path,
        clock=lambda: next(clock),
        on_change=lambda: None,
    )
    finder.start()
    record = LeaseRecord(holder="orders-1_uid-1", resource_version="7", ttl=10, timeline=2)
    stands = PostgresView(ServerState.RECOVERY, since=0.0, timeline=1)
    wait_until(lambda: finder.find(stands, record, "127.0.0.1") is not None, "an answer")
    assert finder.find(stands, record, "127.0.0.1") == Fork(1, fork)
