"""The locale that bootstrap leaves to the image, and the one that it reads output in."""

import subprocess

import pytest

from sidecar.observation import DataState
from tests.support.bootstrap_pod import Pod
from tests.support.database import Database, Host

pytestmark = pytest.mark.postgres


@pytest.fixture
def pod(host: Host) -> Pod:
    return Pod(host)


def test_a_new_set_has_the_encoding_and_the_locale_of_the_image(pod: Pod) -> None:
    pod.boot(LANG="C.UTF-8")
    pod.wait_for(lambda view: view.data is DataState.EMPTY)
    assert pod.obey("initdb").failure is None
    pod.obey("start")
    Database(pod.host, pod.data, pod.port).start()
    made = pod.host.folder / "made"
    pod.host.run(
        *("psql", "-p", str(pod.port), "-U", "postgres", "-AtX", "-o", made, "-c"),
        "SELECT datname, pg_encoding_to_char(encoding), datcollate, datctype "
        "FROM pg_database ORDER BY 1",
    )
    assert made.read_text().splitlines() == [
        f"{name}|UTF8|C.UTF-8|C.UTF-8" for name in ("postgres", "template0", "template1")
    ]


def test_the_users_scripts_and_server_get_the_images_locale(pod: Pod) -> None:
    pod.boot(LANG="C.UTF-8", LC_NUMERIC="C")
    pod.wait_for(lambda view: view.data is DataState.EMPTY)
    initdb = pod.host.programs / "initdb"
    pod.stand_in("initdb", f'#!/bin/sh\nenv > "{pod.handshake}/env"\nexec {initdb} "$@"\n')
    assert pod.obey("initdb").failure is None
    environment = (pod.handshake / "env").read_text().splitlines()
    assert {"LANG=C.UTF-8", "LC_NUMERIC=C"} <= set(environment)
    assert not any(line.startswith("LC_ALL=") for line in environment)


def test_data_is_known_where_postgresqls_programs_speak_another_language(
    pod: Pod, database: Database
) -> None:
    german = {"LANG": "C.UTF-8", "LANGUAGE": "de"}
    told = subprocess.run(
        [pod.host.programs / "pg_controldata", "-D", database.directory],
        env=german,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Database system identifier" not in told, "no German here: this test would tell nothing"

    pod.data = database.directory
    pod.boot(**german)
    found = pod.wait_for(lambda view: view.data is DataState.PRESENT)
    assert (found.system_identifier, found.timeline) != (None, None)
    assert pod.obey("start").failure is None
