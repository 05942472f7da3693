"""A PostgreSQL that takes no signals from its sidecar: who stops it, and that it does not lead."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from sidecar.act import Actor
from sidecar.action import Promote, PutStandbySignal, ReleaseLease, StopPostgres, TakeLease
from sidecar.decide import decide
from sidecar.kube.client import ApiClient
from sidecar.kube.events import Events
from sidecar.kube.lease import LeaseKeeper
from sidecar.memory.status import describe
from sidecar.observation import Observation, ServerState
from sidecar.observe import Adapters
from sidecar.postgres import process
from sidecar.report.http import Application
from sidecar.report.metrics import Metrics
from sidecar.report.snapshot import Reporter
from sidecar.settings import watchdog
from tests.sidecar.rules.observations import (
    FREE,
    LEADER,
    NOW,
    RECORD,
    REPLICA,
    RUNNING,
    SETTINGS,
    STREAMING,
    WRITABLE,
    lease,
)
from tests.sidecar.test_http import LEADING
from tests.sidecar.test_hung_volume import server
from tests.sidecar.test_loop import ME, adapters, data
from tests.support.clock import Clock
from tests.support.hung_files import HungFiles, hung

__all__ = ["adapters", "data", "hung", "server"]

NOBODY = 65534


def as_nobody(check: Callable[[], bool]) -> bool:
    """What this says in a process of another user, which may not signal those of this one."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setresuid(NOBODY, NOBODY, NOBODY)
            code = 0 if check() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_whether_signals_are_refused_is_found_without_one() -> None:
    assert process.may_signal(os.getpid())
    assert as_nobody(lambda: not process.may_signal(1))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_each_process_is_tried_though_one_refuses() -> None:
    """Here the first is another user's."""
    theirs = subprocess.Popen(["sleep", "3600"])
    mine = subprocess.Popen(["sleep", "3600"], user=NOBODY)

    def tries() -> bool:
        refusals: list[OSError] = []
        for pid in (theirs.pid, mine.pid):
            process._kill(pid, signal.SIGKILL, refusals)
        return [type(refusal) for refusal in refusals] == [PermissionError]

    try:
        assert as_nobody(tries)
        assert mine.wait(timeout=180) == -signal.SIGKILL
        assert theirs.poll() is None
    finally:
        theirs.kill()
        mine.kill()
        theirs.wait()
        mine.wait()


ONLY_THE_EMPTY_SIGNAL = """
import ctypes, platform, struct
KILL = {"x86_64": 62, "aarch64": 129}[platform.machine()]
code = b"".join(struct.pack("HBBI", *step) for step in (
    (0x20, 0, 0, 0),            # the system call's number
    (0x15, 0, 3, KILL),
    (0x20, 0, 0, 24),           # its second argument
    (0x15, 1, 0, 0),
    (0x06, 0, 0, 0x00050001),   # EPERM
    (0x06, 0, 0, 0x7FFF0000),   # allowed
))
program = ctypes.create_string_buffer(code)
rule = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 6, ctypes.addressof(program)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0      # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, rule, 0, 0) == 0   # PR_SET_SECCOMP
"""


def test_a_refusal_is_remembered_where_the_empty_signal_is_allowed(
    data: Path, server: subprocess.Popen[bytes]
) -> None:
    """As SELinux distinguishes them: signull is not sigkill."""
    tries = f"""{ONLY_THE_EMPTY_SIGNAL}
import signal
from pathlib import Path
from sidecar.postgres import process
assert process.may_signal({server.pid})
for _ in range(2):
    try:
        process.send(Path("{data}"), signal.SIGKILL)
    except PermissionError:
        print("refused", process.may_signal({server.pid}))
"""
    run = subprocess.run([sys.executable, "-c", tries], capture_output=True, text=True, check=True)
    assert run.stdout == "refused False\n" * 2
    assert server.poll() is None


class NeverReleased:
    """A Lease that must be kept."""

    def release(self, heir: str | None, _lives: tuple[str, ...] = ()) -> None:
        raise AssertionError(f"released to {heir}")


@pytest.mark.thorough
def test_what_comes_after_a_signal_that_failed_is_done_but_the_lease_is_kept(
    adapters: Adapters, data: Path, tmp_path: Path, hung: HungFiles
) -> None:
    client = ApiClient("http://127.0.0.1:1", tmp_path / "ca.crt", tmp_path / "token")
    kept = replace(adapters, lease=cast(LeaseKeeper, NeverReleased()))
    actor = Actor(kept, Events(client, "shop", ME))
    # Nobody knows whom to signal, since the file that says so does not open.
    hung.hang(data / "postmaster.pid")
    told = actor.carry_out(
        (StopPostgres(signal.SIGINT), ReleaseLease(), PutStandbySignal()), float("inf")
    )
    hung.answer(data / "postmaster.pid")
    assert told is not None
    assert told.startswith("StopPostgres did not succeed")
    assert (data / "standby.signal").exists()


# ── the kubelet's probe ───────────────────────────────────────────────────────────────────


def renewed(ago: float, observation: Observation = LEADER) -> Observation:
    return replace(observation, lease=lease(RECORD, renewed_at=NOW - ago))


def test_the_kubelet_kills_at_once_what_must_not_run_and_cannot_be_signalled() -> None:
    """Another pod has taken its directory over."""
    taken_over = replace(RUNNING, other_writer="uid-9")
    postgres = replace(WRITABLE, may_signal=False)
    for lease_of in (lease(RECORD), lease(replace(RECORD, members=("orders-0",)))):
        seen = replace(LEADER, lease=lease_of, bootstrap=taken_over, postgres=postgres)
        assert decide(seen, SETTINGS).probe_fails_in == 0.0
        gone = replace(seen, postgres=replace(postgres, state=ServerState.DOWN, alive=False))
        assert decide(gone, SETTINGS).probe_fails_in != 0.0


@pytest.mark.parametrize(
    ("observation", "seconds"),
    [
        (renewed(0.5), 2.5),
        (renewed(9.0), 0.0),
        (renewed(0.5, replace(LEADER, postgres=replace(WRITABLE, may_signal=False))), 2.5),
        (replace(LEADER, lease=lease(RECORD, renewed_at=NOW - 9, excused_at=NOW - 2)), 1.0),
        (replace(LEADER, lease=lease(RECORD, renewed_at=None), started_at=NOW - 0.25), 0.75),
        (renewed(60.0, replace(LEADER, postgres=STREAMING)), None),
        (
            replace(
                LEADER,
                lease=lease(replace(RECORD, members=("orders-0",)), renewed_at=NOW - 60),
                postgres=replace(WRITABLE, followers=(), followers_heard_at=None),
            ),
            None,
        ),
    ],
    ids=["in time", "late", "refused", "excused", "just restarted", "read-only", "alone"],
)
def test_the_kubelet_is_asked_for_help_while_it_still_has_the_time(
    observation: Observation, seconds: float | None
) -> None:
    """Should the sidecar freeze at that moment, PostgreSQL is dead before the Lease ends."""
    assert decide(observation, SETTINGS).probe_fails_in == seconds
    assert watchdog(SETTINGS).worst_case + 3.0 <= SETTINGS.ttl


def test_the_probe_fails_from_that_moment_on_however_well_the_loop_turns() -> None:
    clock = Clock(NOW)
    reporter = Reporter(clock)
    asked = Application(reporter, Metrics(reporter, "orders"), SETTINGS)

    def code(after: float) -> int:
        clock.advance(after)
        return asked.answer("GET", "/liveness", "").code

    reporter.publish(replace(LEADING, decision=LEADING.decision._replace(probe_fails_in=2.0)))
    assert [code(1.9), code(0.1)] == [200, 503]
    reporter.fail_probe_in(3.0, clock())
    assert code(2.9) == 200
    reporter.publish(replace(LEADING, decision=LEADING.decision._replace(probe_fails_in=None)))
    assert code(4.0) == 200


# ── who leads ─────────────────────────────────────────────────────────────────────────────

REFUSING = replace(STREAMING, may_signal=False)


@pytest.mark.parametrize(
    ("observation", "situation"),
    [
        (replace(REPLICA, lease=lease(FREE), postgres=REFUSING), "NotStoppable"),
        (
            replace(REPLICA, lease=lease(replace(FREE, heir="orders-0")), postgres=REFUSING),
            "NotStoppable",
        ),
        (replace(LEADER, postgres=REFUSING), "Resigning"),
    ],
    ids=["nobody leads", "it is the heir", "it holds the Lease"],
)
def test_who_could_not_be_stopped_does_not_begin_to_lead(
    observation: Observation, situation: str
) -> None:
    decision = decide(observation, SETTINGS)
    assert decision.situation == situation
    assert not any(isinstance(action, Promote | TakeLease) for action in decision.actions)


def test_a_server_that_may_still_be_promoted_keeps_the_lease() -> None:
    """It may become writable at any moment, when another that took the Lease would be, too."""
    asked = replace(LEADER, postgres=replace(REFUSING, has_written=True))
    actions = decide(asked, SETTINGS).actions
    assert not any(isinstance(action, ReleaseLease) for action in actions)


def test_who_is_alone_has_nobody_to_fear_and_leads() -> None:
    alone = replace(FREE, members=("orders-0",))
    observation = replace(LEADER, lease=lease(alone), postgres=REFUSING, wanted=1)
    assert decide(observation, SETTINGS).situation == "TakingLease"


def test_a_primary_that_could_not_be_stopped_is_not_taken_from_its_clients() -> None:
    """Its kubelet stops it in time; and that another could be is not known."""
    observation = replace(LEADER, postgres=replace(WRITABLE, may_signal=False))
    assert decide(observation, SETTINGS).situation == "Leading"


def test_a_member_that_could_not_be_stopped_tells_the_others() -> None:
    told = [
        describe(replace(REPLICA, bootstrap=RUNNING, postgres=postgres), SETTINGS)["well"]
        for postgres in (STREAMING, REFUSING)
    ]
    assert told == [True, False]
