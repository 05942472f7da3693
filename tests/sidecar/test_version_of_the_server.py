"""Bootstrap refuses a server of a version that cannot be a member, before it writes anything."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidecar.contract import NEWEST_POSTGRES, OLDEST_POSTGRES
from sidecar.handshake import Handshake
from tests.support.waiting import wait_until

Boot = Callable[[str], str | None]
"""Takes what the image's PostgreSQL says of its version; returns the refusal."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def boot(tmp_path: Path, data: Path) -> Iterator[Boot]:
    processes = []

    def boot(version: str) -> str | None:
        programs, handshake = tmp_path / "bin", tmp_path / "handshake"
        programs.mkdir()
        handshake.mkdir()
        stand_in = programs / "postgres"
        stand_in.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "{version}"\n')
        stand_in.chmod(0o755)
        for other in ("pg_basebackup", "pg_controldata", "pg_rewind", "psql"):
            (programs / other).symlink_to(stand_in)
        sidecar = Handshake(handshake)
        sidecar.provide_scripts()
        process = subprocess.Popen(
            ["/bin/sh", str(handshake / "bootstrap.sh"), "postgres"],
            env={
                "PATH": f"{programs}:/usr/bin:/bin",
                "PGDATA": str(data),
                "PGSET_HANDSHAKE": str(handshake),
                # Whoever runs the tests as root meets the next refusal then, and no change.
                "PGSET_UID": str(os.geteuid()),
            },
            stderr=subprocess.DEVNULL,
        )
        processes.append(process)
        wait_until((handshake / "report").exists, "a report")
        report = sidecar.report()
        return report["refusal"] if report else None

    yield boot
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("postgres (PostgreSQL) 9.6.24", "9"),
        (f"postgres (PostgreSQL) {OLDEST_POSTGRES - 1}.22 (Debian 13.22-1)", OLDEST_POSTGRES - 1),
        (f"postgres (PostgreSQL) {NEWEST_POSTGRES + 1}.0", NEWEST_POSTGRES + 1),
        (f"postgres (PostgreSQL) {NEWEST_POSTGRES + 1}beta2", NEWEST_POSTGRES + 1),
        (f"postgres (EnterpriseDB) {NEWEST_POSTGRES + 1}.1.0", NEWEST_POSTGRES + 1),
    ],
)
def test_a_server_that_is_older_or_newer_is_refused(
    boot: Boot, data: Path, said: str, version: object
) -> None:
    before = data.stat().st_mtime_ns
    wanted = f"this image has PostgreSQL {version}, and pgset runs {OLDEST_POSTGRES} to"
    assert (boot(said) or "").startswith(wanted)
    assert (data.stat().st_mtime_ns, [*data.iterdir()]) == (before, [])


@pytest.mark.parametrize("version", [f"{OLDEST_POSTGRES}.0", f"{NEWEST_POSTGRES}.6 (Debian)"])
def test_the_oldest_and_the_newest_are_not(boot: Boot, version: str) -> None:
    assert "pgset runs" not in (boot(f"postgres (PostgreSQL) {version}") or "")


@pytest.mark.parametrize("written", ["9.6", "14", "17"])
@pytest.mark.parametrize("place", [".", ".pgset-rewinding", ".pgset-whole", ".pgset-up"])
def test_data_of_another_version_is_refused(
    boot: Boot, data: Path, place: str, written: str
) -> None:
    (data / place).mkdir(exist_ok=True)
    (data / place / "PG_VERSION").write_text(f"{written}\n")
    before = sorted(data.rglob("*"))
    refusal = boot("postgres (PostgreSQL) 18.1") or ""
    assert refusal.startswith(f"the data in {data} was made by PostgreSQL {written}, and this")
    assert sorted(data.rglob("*")) == before


def test_data_of_the_servers_own_version_is_not(boot: Boot, data: Path) -> None:
    (data / "PG_VERSION").write_text("18\n")
    assert "was made by" not in (boot("postgres (PostgreSQL) 18.1") or "")
