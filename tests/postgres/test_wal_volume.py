"""WAL on a volume of its own, as POSTGRES_INITDB_WALDIR has it: for clones as well."""

import subprocess
from pathlib import Path

import pytest

from sidecar import bootstrap
from sidecar.observation import DataState
from tests.postgres.test_bootstrap import from_primary, pod, primary
from tests.support.bootstrap_pod import Pod
from tests.support.database import Database
from tests.support.former_primary import Set

__all__ = ["pod", "primary"]

pytestmark = pytest.mark.postgres


def wal_of(data: Path) -> Path:
    assert (data / "pg_wal").is_symlink()
    return (data / "pg_wal").readlink()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("POSTGRES_INITDB_WALDIR", "{}"),
        ("POSTGRES_INITDB_ARGS", "-X {}"),
        ("POSTGRES_INITDB_ARGS", '--encoding="UTF8" --waldir="{}"'),
        ("POSTGRES_INITDB_ARGS", "-X '{}/'\n--no-locale"),
        ("POSTGRES_INITDB_ARGS", "--waldir=$FOR_WAL"),
    ],
)
def test_a_clone_has_its_wal_on_the_wal_volume_and_so_has_the_next_one(
    pod: Pod, primary: Database, variable: str, value: str
) -> None:
    volume = pod.host.make_folder("wal")
    conninfo = from_primary(pod, primary)
    pod.boot(**{variable: value.format(volume), "FOR_WAL": str(volume)})
    pod.wait_for(lambda view: view.data is DataState.EMPTY)
    done = pod.obey("clone", conninfo)
    assert (done.data, done.failure) == (DataState.PRESENT, None), pod.host.log()[-2000:]
    first = wal_of(pod.data)
    assert first.parent == volume
    assert list(first.glob("0000*"))

    assert pod.obey("reclone", conninfo).failure is None
    second = wal_of(pod.data)
    kept = pod.data / ".pgset-old/pgsql_tmp.data"
    assert wal_of(kept) == first, "what is kept can still be started"
    assert second != first
    assert list(first.glob("0000*"))

    assert pod.obey("reclone", conninfo).failure is None
    assert wal_of(kept) == second
    assert set(volume.iterdir()) == {wal_of(pod.data), second}
    assert pod.obey("start").failure is None
    Database(pod.host, pod.data, pod.port).start()


def test_the_first_member_is_cloned_anew_onto_the_wal_volume_of_its_initdb(
    pod: Pod, primary: Database
) -> None:
    volume = pod.host.make_folder("wal")
    conninfo = from_primary(pod, primary)
    pod.boot(POSTGRES_INITDB_WALDIR=str(volume))
    pod.wait_for(lambda view: view.data is DataState.EMPTY)
    assert pod.obey("initdb").failure is None
    assert wal_of(pod.data) == volume
    for _ in range(2):
        assert pod.obey("reclone", conninfo).failure is None
    present, kept = wal_of(pod.data), wal_of(pod.data / ".pgset-old/pgsql_tmp.data")
    assert set(volume.iterdir()) == {present, kept}, "the first one's WAL went with its data"


def test_pg_wal_that_somebody_has_moved_by_hand_stays_where_it_is(
    pod: Pod, primary: Database
) -> None:
    volume = pod.host.make_folder("wal")
    conninfo = from_primary(pod, primary)
    pod.boot_with(DataState.EMPTY)
    assert pod.obey("clone", conninfo).failure is None
    pod.host.run("mv", pod.data / "pg_wal", volume / "moved")
    pod.host.run("ln", "-s", volume / "moved", pod.data / "pg_wal")
    assert pod.obey("reclone", conninfo).failure is None
    assert wal_of(pod.data).parent == volume / "moved"


@pytest.mark.parametrize(
    ("variables", "owned"),
    [
        ({}, ""),
        ({"POSTGRES_INITDB_ARGS": "-X /wal"}, "/wal"),
        ({"POSTGRES_INITDB_ARGS": '-X "/wal"'}, "/wal"),
        ({"POSTGRES_INITDB_ARGS": "-X '/wal"}, ""),
    ],
)
def test_root_gives_nothing_away_by_a_link_in_the_data_directory(
    tmp_path: Path, variables: dict[str, str], owned: str
) -> None:
    """PostgreSQL's user can make one that leads to another volume of the container's."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/pg_wal").symlink_to(tmp_path / "of-somebody-else")
    (tmp_path / "bin").mkdir()
    for name in ("find", "mkdir"):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\necho "$1 $2" >> {tmp_path}/{name}.log\n')
        program.chmod(0o755)
    scripts = Path(bootstrap.__file__).parent
    asks = (
        f". {scripts}/bootstrap_wal.sh; . {scripts}/bootstrap_initdb.sh; "
        f"data={tmp_path}/data; rewinding={tmp_path}/no; own_wal_volume"
    )
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"} | variables
    subprocess.run(["/bin/sh", "-euc", asks], env=environment, check=True)
    done = [
        it.read_text().split()[-1 if it.stem == "mkdir" else 0] for it in tmp_path.glob("*.log")
    ]
    assert done == ([owned] * 2 if owned else [])


def test_a_relative_link_that_somebody_has_made_leads_to_the_same_wal_after_a_rewind(
    members: Set,
) -> None:
    """The rewind works in a folder below, from where the link would lead elsewhere."""
    wal = members.old.directory.parent / "wal-of-old"
    members.new.stop()
    members.old.stop()
    members.promote()
    members.old.host.run("mv", members.old.directory / "pg_wal", wal)
    members.old.host.run("ln", "-s", f"../{wal.name}", members.old.directory / "pg_wal")
    members.boot()
    done = members.obey("rewind")
    assert (done.failure, done.rewound) == (None, True), members.old.host.log()[-2000:]
    assert (members.old.directory / "pg_wal").resolve() == wal
