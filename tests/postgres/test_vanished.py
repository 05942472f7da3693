"""Where a data directory has vanished under its server, no initdb makes another database."""

import shutil
import sys

import pytest

from tests.sidecar.test_vanished_data import REPORT
from tests.support.bootstrap_pod import sidecar_of
from tests.support.database import Database, own

pytestmark = pytest.mark.postgres


def test_an_initdb_refuses_what_was_made_again_in_its_place(database: Database) -> None:
    host, directory = database.host, database.directory
    control_file = (directory / "global/pg_control").read_bytes()
    started_on = str(int.from_bytes(control_file[:8], sys.byteorder))
    report = REPORT.replace("7300000000000000001", started_on)
    handshake = host.make_folder("handshake")
    (handshake / "report").write_text(report.format(directory))
    (handshake / "order").write_text("1 1 start\n\n")
    bootstrap = sidecar_of(handshake, "orders-0", "uid-0", ttl=10)
    assert bootstrap.observe(1.0).vanished is False

    shutil.rmtree(directory)
    assert [bootstrap.observe(at).vanished for at in (2.0, 3.0, 4.0)] == [False, False, True]
    own(directory)
    own(directory / ".pgset-heartbeat")
    initdb = host.start("initdb", "--no-sync", "--pgdata", directory)
    assert initdb.wait(timeout=180) != 0
    assert not (directory / "PG_VERSION").exists()
