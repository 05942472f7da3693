"""check_patroni, which asks a Patroni by its REST API, asks the sidecars of a set."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from check_patroni.cli import main
from click.testing import CliRunner

from sidecar.action import Role
from sidecar.observation import ServerState
from sidecar.report.patroni import config
from sidecar.report.server import HttpServer, listen
from sidecar.report.status import PATRONI
from tests.sidecar.test_patroni_paths import (
    LEADER,
    NOT_FOLLOWING,
    OF_QUORUM,
    OF_SYNC,
    QUORUM,
    REPLICA,
    SETTINGS,
    STOPPED,
    STREAMING,
    SYNC,
    WRITABLE,
    application,
    member,
)
from tests.support.http_server import PATIENT

OK, CRITICAL = 0, 2
"""Exit codes of a check."""

MEMBERS = {
    "leader": LEADER,
    "leader, sync": member(0, WRITABLE, Role.PRIMARY, SYNC),
    "leader, quorum": member(0, WRITABLE, Role.PRIMARY, QUORUM),
    "leader, alone": member(0, replace(WRITABLE, followers=()), Role.PRIMARY),
    "leader, stopped": member(0, replace(WRITABLE, state=ServerState.DOWN), Role.NONE),
    "replica": REPLICA,
    "replica, sync": OF_SYNC,
    "replica, quorum": OF_QUORUM,
    "replica, not following": NOT_FOLLOWING,
    "replica, stopped": STOPPED,
    "replica, expired": member(1, STREAMING, Role.REPLICA, renewed_ago=11.0),
    "paused": replace(LEADER, observation=replace(LEADER.observation, paused=True)),
    "promoted": member(0, replace(WRITABLE, timeline=4), Role.PRIMARY),
}


class Served:
    """The sidecars' own HTTP servers on loopback, one for each of these states."""

    def __init__(self) -> None:
        self._servers: dict[str, HttpServer] = {}

    def url(self, name: str) -> str:
        if name not in self._servers:
            answers = application(MEMBERS[name])
            listener = listen(0, "127.0.0.1")
            server = HttpServer(answers, listener, waits=answers.waits, seconds=PATIENT)
            server.start()
            self._servers[name] = server
        return f"http://127.0.0.1:{self._servers[name].port}"

    def stop(self) -> None:
        for server in self._servers.values():
            server.stop()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.stop()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        ("node_is_alive", "leader", None),
        ("node_is_primary", "leader", "replica"),
        ("node_is_leader", "leader", "replica"),
        ("node_is_leader --is-standby-leader", None, "leader"),
        ("node_is_replica", "replica", "leader"),
        ("node_is_replica", "replica", "replica, not following"),
        ("node_is_replica", "replica", "replica, stopped"),
        ("node_is_replica --max-lag 1MB", "replica", None),
        ("node_is_replica --max-lag 1kB", None, "replica"),
        ("node_is_replica --is-sync", "replica, sync", "replica"),
        ("node_is_replica --is-sync --sync-type quorum", "replica, quorum", "replica, sync"),
        ("node_is_replica --is-async", "replica", "replica, quorum"),
        ("node_is_pending_restart", "leader", None),
        (f"node_patroni_version --patroni-version {PATRONI}", "leader", None),
        ("node_tl_has_changed --timeline 3", "leader", "promoted"),
        ("cluster_node_count -w 3: -c 2: --healthy-warning 3:", "leader", None),
        ("cluster_node_count --healthy-critical 3:", "leader", "leader, alone"),
        ("cluster_node_count --healthy-critical 3:", "leader, sync", "leader, stopped"),
        ("cluster_has_leader", "leader", "leader, stopped"),
        ("cluster_has_leader", "replica", "replica, expired"),
        ("cluster_has_replica -c 2:", "leader", "leader, alone"),
        ("cluster_has_replica -c 1: --max-lag 4096B", "replica", "replica, expired"),
        ("cluster_node_count --healthy-critical 3:", "replica", "replica, stopped"),
        ("cluster_has_replica -c 2: --max-lag 4096B", "leader", None),
        ("cluster_has_replica -c 2: --max-lag 4095B", None, "leader"),
        ("cluster_has_replica --sync-critical 1: --sync-type sync", "leader, sync", "leader"),
        ("cluster_has_replica --sync-critical 2: --sync-type quorum", "leader, quorum", "leader"),
        ("cluster_is_in_maintenance", "leader", "paused"),
        ("cluster_has_scheduled_action", "leader", None),
    ],
)
def test_a_check_is_content_where_it_ought_to_be(
    served: Served, check: str, good: str | None, bad: str | None
) -> None:
    told = {name: asked(served, name, check) for name in (good, bad) if name is not None}
    expected = {name: code for name, code in ((good, OK), (bad, CRITICAL)) if name is not None}
    assert {name: code for name, (code, _) in told.items()} == expected, told


@pytest.mark.thorough
def test_a_check_notices_that_the_settings_have_changed(served: Served) -> None:
    """It keeps a hash of them."""
    present = hashlib.md5(json.dumps(config(SETTINGS)).encode()).hexdigest()  # noqa: S324 - its own
    checks = [f"cluster_config_has_changed --hash {it}" for it in (present, "of-yesterday")]
    assert [asked(served, "leader", it)[0] for it in checks] == [OK, CRITICAL]


def asked(served: Served, name: str, check: str) -> tuple[int, str]:
    """The check's exit code and what it said."""
    # Its own time limit is for networks; this machine may be busy.
    words = ["--timeout", "180", "-e", served.url(name), *check.split()]
    result = CliRunner().invoke(main, words)
    return result.exit_code, result.output
