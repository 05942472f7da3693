"""A member that cannot be rewound is cloned again, and its old data is kept."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.observation import DataState
from tests.support.database import Database, free_port, own
from tests.support.former_primary import Set, crash, rows, sql, stop, write
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.versions]


@pytest.mark.parametrize("end", [crash, stop])
def test_without_checksums_and_hints_a_new_clone_takes_the_place_and_the_old_data_is_kept(
    plain_members: Set, end: Callable[[Database], None]
) -> None:
    members = plain_members
    members.new.stop()
    write(members.old, "lost")
    (members.old.directory / "unique.txt").write_text("irreplaceable")
    own(members.old.directory / "unique.txt")
    end(members.old)
    members.promote()

    members.boot()
    assert members.pod.look().can_rewind is False
    failed = members.obey("rewind")
    assert (failed.data, failed.rewound) == (DataState.PRESENT, False)
    assert failed.rewind_failed
    assert failed.failure == "the rewind failed: see the log of container pgset-bootstrap"

    done = members.obey("reclone")
    assert (done.data, done.failure) == (DataState.PRESENT, None), members.pod.host.log()[-3000:]
    assert (failed.copied, done.copied) == (False, True)
    assert members.old_follows() == ["both", "new"]
    kept = members.old.directory / ".pgset-old/pgsql_tmp.data"
    assert (kept / "unique.txt").read_text() == "irreplaceable"

    before = Database(members.old.host, kept, free_port())
    (kept / "standby.signal").unlink(missing_ok=True)
    (kept / "postmaster.pid").unlink(missing_ok=True)
    before.start()
    assert rows(before) == ["both", "lost"]


def test_a_data_directory_behind_a_link_is_cloned_again_in_its_place(plain_members: Set) -> None:
    """As somebody makes one by hand: current -> 15."""
    members = plain_members
    members.new.stop()
    write(members.old, "lost")
    stop(members.old)
    members.promote()
    link = members.old.directory.with_name("current")
    link.symlink_to(members.old.directory)
    members.pod.data = link
    members.boot()
    assert members.obey("rewind").rewind_failed
    done = members.obey("reclone")
    assert (done.data, done.failure, done.refusal) == (DataState.PRESENT, None, None)
    assert members.old_follows() == ["both", "new"]
    assert (members.old.directory / ".pgset-old/pgsql_tmp.data/PG_VERSION").exists()


def test_a_primary_that_is_away_is_no_reason_for_a_new_clone(members: Set) -> None:
    members.new.stop()
    write(members.old, "lost")
    members.old.crash()
    members.boot()
    failed = members.obey("rewind")
    assert (failed.failure or "").startswith("the primary gives no answer that pg_rewind could")
    assert "onnection refused" in str(failed.failure)
    assert (failed.rewind_failed, failed.data) == (False, DataState.PRESENT)
    failed = members.obey("reclone")
    assert failed.failure == "the re-clone failed: see the log of container pgset-bootstrap"
    assert failed.data is DataState.PRESENT

    members.promote()
    assert members.obey("rewind").rewound
    assert members.old_follows() == ["both", "new"]
    assert not (members.old.directory / ".pgset-new").exists()


def test_data_that_is_marked_is_neither_started_nor_rewound_but_cloned_again(members: Set) -> None:
    members.old.stop()
    members.new.stop()
    members.promote()
    members.boot()
    members.pod.sidecar.mark_for_reclone()
    members.pod.process.kill()
    members.pod.process.wait()

    members.boot()
    marked = members.pod.wait_for(lambda view: view.data is DataState.BROKEN)
    assert marked.rewind_failed
    assert marked.system_identifier is not None
    assert "cloned again" in (members.obey("start").failure or "")
    assert "cloned again" in (members.obey("rewind").failure or "")
    done = members.obey("reclone")
    assert (done.data, done.rewind_failed) == (DataState.PRESENT, False)
    assert members.old_follows() == ["both", "new"]


STOPPING_PG_REWIND = """#!/bin/sh
case $* in *--dry-run*) exec {real} "$@" ;; esac
# Half-way: a file of the primary's is there, pg_control is not.
for word; do case $word in --target-pgdata=*) target=${{word#*=}} ;; esac; done
echo half > "$target/base/half-way"
touch "$target/../stopped"
exec sleep 600
"""


def test_a_rewind_that_was_cut_short_is_never_started_and_its_data_is_kept(
    members: Set, programs: Path
) -> None:
    members.new.stop()
    write(members.old, "lost")
    members.old.crash()
    members.promote()
    stand_in = members.pod.stand_in(
        "pg_rewind", STOPPING_PG_REWIND.format(real=programs / "pg_rewind")
    )
    members.boot()
    members.pod.sidecar.order("rewind", members.target)
    wait_until((members.old.directory / "stopped").exists, "half a rewind")
    members.pod.kill()
    stand_in.unlink()
    (members.old.directory / "stopped").unlink()
    assert not (members.old.directory / "PG_VERSION").exists()

    members.boot()
    broken = members.pod.wait_for(lambda view: view.data is DataState.BROKEN)
    assert (broken.rewind_failed, broken.timeline) == (True, 1)
    for verb in ("start", "rewind", "initdb", "clone"):
        assert members.obey(verb).failure is not None
        assert not (members.old.directory / "PG_VERSION").exists()
    assert members.obey("reclone").data is DataState.PRESENT
    assert members.old_follows() == ["both", "new"]
    kept = members.old.directory / ".pgset-old/pgsql_tmp.data"
    assert (kept / "base/half-way").exists()


def test_what_is_kept_aside_does_not_go_along_when_others_copy_this_member(members: Set) -> None:
    kept = members.new.directory / ".pgset-old/pgsql_tmp.data"
    kept.mkdir(parents=True)
    (kept / "large").write_text("of the new primary")
    for path in (kept.parent, kept, kept / "large"):
        own(path)
    (members.new.directory / ".pgset-reclone").touch()
    own(members.new.directory / ".pgset-reclone")
    members.new.stop()
    write(members.old, "lost")
    members.old.crash()
    members.promote()
    members.boot()
    assert members.obey("rewind").rewound
    assert not (members.old.directory / ".pgset-old").exists()
    assert not (members.old.directory / ".pgset-reclone").exists()
    assert members.obey("reclone").data is DataState.PRESENT
    assert not list(members.old.directory.glob(".pgset-old/pgsql_tmp.data/.pgset-*"))
    assert not list(members.old.directory.rglob("large"))
    assert not (members.old.directory / ".pgset-reclone").exists()


@pytest.mark.parametrize("verb", ["rewind", "reclone"])
def test_a_primary_with_tablespaces_is_refused_before_anything_is_touched(
    members: Set, verb: str
) -> None:
    members.old.stop()
    members.new.stop()
    members.promote()
    place = members.new.host.make_folder("fast-disk")
    sql(members.new, f"CREATE TABLESPACE fast LOCATION '{place}'")
    members.boot()
    refused = members.obey(verb)
    assert "the primary has tablespaces (fast)" in (refused.failure or "")
    assert (refused.data, refused.rewind_failed) == (DataState.PRESENT, False)
    assert len(list(place.iterdir())) == 1
