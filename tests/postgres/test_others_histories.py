"""Histories of others' timelines in a member's pg_wal, by which PostgreSQL would not start."""

from pathlib import Path

import pytest

from sidecar.observation import DataState
from sidecar.postgres.control_data import parse_lsn
from tests.postgres.test_bootstrap import from_primary, pod, primary
from tests.support.bootstrap_pod import Pod
from tests.support.database import Database, own
from tests.support.former_primary import Set, caught_up, write
from tests.support.waiting import wait_until

__all__ = ["pod", "primary"]

pytestmark = pytest.mark.postgres


def clone(pod: Pod, primary: Database) -> Database:
    """Return a member on timeline 1 that has replayed what its primary had, and has stopped."""
    conninfo = from_primary(pod, primary)
    pod.boot_with(DataState.EMPTY)
    done = pod.obey("clone", conninfo)
    assert (done.data, done.failure) == (DataState.PRESENT, None), pod.host.log()[-2000:]
    assert pod.obey("start").failure is None
    member = Database(pod.host, pod.data, pod.port)
    member.start()
    member.stop()
    return member


def write_history(data: Path, timeline: int, left_at: int) -> Path:
    """Write the history of a timeline that has left the first one there."""
    history = data / f"pg_wal/{timeline:08X}.history"
    history.write_text(
        f"1\t{left_at >> 32:X}/{left_at & 0xFFFFFFFF:X}\tno recovery target specified\n"
    )
    return history


def position_of(member: Database) -> int:
    """Return where the end of its WAL is, of a standby that has shut down."""
    member.host.run(
        *("sh", "-c", f"pg_controldata -D {member.directory} > {member.host.folder}/control")
    )
    control = (member.host.folder / "control").read_text()
    line = next(it for it in control.splitlines() if it.startswith("Minimum recovery ending loc"))
    return parse_lsn(line.split()[-1])


def test_a_history_that_this_data_is_not_in_is_deleted_and_the_member_starts(
    pod: Pod, primary: Database
) -> None:
    """It came from a primary that has less of its timeline, and nobody leads now to rewind to."""
    member = clone(pod, primary)
    history = write_history(pod.data, 2, position_of(member) - 0x100)
    pod.boot_with(DataState.PRESENT)
    assert pod.obey("start").failure is None
    assert not history.exists()
    assert list(pod.data.glob(".pgset-*.history")) == []
    member.start()
    member.stop()


def test_without_that_it_does_not_start(pod: Pod, primary: Database) -> None:
    member = clone(pod, primary)
    write_history(pod.data, 2, position_of(member) - 0x100)
    member.process = member.host.start(
        *("postgres", "-D", member.directory, "-p", str(member.port), "-k", member.host.folder)
    )
    assert member.process.wait(timeout=180) != 0
    assert "FATAL:  requested timeline 2 " in member.host.log()


def test_the_history_of_a_primary_that_has_all_of_it_stays(pod: Pod, primary: Database) -> None:
    member = clone(pod, primary)
    history = write_history(pod.data, 2, position_of(member) + 0x100)
    of_its_own = write_history(pod.data, 1, 0)
    pod.boot_with(DataState.PRESENT)
    assert pod.obey("start").failure is None
    assert history.exists()
    assert of_its_own.exists()


def test_a_history_of_the_number_of_the_primarys_is_deleted_by_the_rewind(members: Set) -> None:
    """There is nothing to rewind; but with that history it would never stream from this primary."""
    wait_until(lambda: caught_up(members.new, members.old), "replay")
    members.old.stop()
    members.promote()
    another = write_history(members.old.directory, 2, 1 << 40)
    own(another)

    members.boot()
    view = members.obey("rewind")

    assert (view.rewound, view.failure) == (True, None)
    assert not another.exists()
    write(members.new, "later")
    assert "later" in members.old_follows()
