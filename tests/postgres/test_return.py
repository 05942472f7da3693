"""A member that was started where it had to be rewound comes back by itself."""

import shutil
import subprocess
import time
from dataclasses import replace

import pytest

from sidecar.action import DeleteOwnPod, Reclone, Rewind
from sidecar.decide import decide
from sidecar.observation import BootstrapView, Leadership, Observation, PostgresView, ServerState
from sidecar.situation.timing import seconds_before_return
from tests.sidecar.rules.observations import OTHERS, REPLICA, SETTINGS, lease, peer
from tests.support.database import own
from tests.support.former_primary import Set, follow, sql, streams_from, write
from tests.support.standby import Connect

pytestmark = pytest.mark.postgres


def start_in_vain(members: Set) -> int:
    """As the kubelet does; return how the server ended."""
    process = members.old.host.start(
        *("postgres", "-D", members.old.directory, "-p", str(members.old.port)),
        *("-k", members.old.host.folder),
    )
    try:
        return process.wait(timeout=180)
    except subprocess.TimeoutExpired:
        pytest.fail("PostgreSQL came up")


def strand(members: Set) -> None:
    """Let the old primary's data end, as a standby's, beyond where the new primary's history left
    its timeline; with that history, no server starts on it."""
    members.new.stop()
    write(members.old, "lost")
    members.old.crash()
    (members.old.directory / "postmaster.pid").unlink()
    (members.old.directory / "standby.signal").touch()
    own(members.old.directory / "standby.signal")
    members.old.start()
    members.old.stop()
    members.promote()
    follow(members.old, members.new)


def fetch_history(members: Set) -> None:
    """As the standby does while it runs, of a primary that it cannot follow."""
    history = members.old.directory / "pg_wal/00000002.history"
    shutil.copy(members.new.directory / "pg_wal/00000002.history", history)
    own(history)


def seen(members: Set, postgres: PostgresView, now: float) -> Observation:
    """What the member's sidecar sees, while the new primary leads."""
    held = replace(
        OTHERS,
        system_identifier=str(
            sql(members.new, "SELECT system_identifier FROM pg_control_system()")[0][0]
        ),
        timeline=2,
        history=(Leadership(1, "orders-0", ""), Leadership(2, "orders-1", "")),
    )
    return replace(
        REPLICA,
        now=now,
        lease=lease(held, renewed_at=None, changed_at=now, heard_at=now),
        bootstrap=members.pod.look(),
        postgres=postgres,
        peers=peer(1, writable=True),
    )


def act(members: Set, observation: Observation) -> BootstrapView:
    """Carry out what is decided before PostgreSQL starts."""
    (order,) = (
        action
        for action in decide(observation, SETTINGS).actions
        if isinstance(action, Rewind | Reclone)
    )
    return members.obey({Rewind: "rewind", Reclone: "reclone"}[type(order)])


@pytest.mark.parametrize("in_vain", [0, 1])
def test_a_member_that_missed_its_rewind_goes_back_through_bootstrap_and_streams(
    members: Set, connect: Connect, in_vain: int
) -> None:
    strand(members)
    members.boot()
    members.pod.sidecar.note_returns(in_vain)
    assert members.obey("start").failure is None
    fetch_history(members)
    assert start_in_vain(members) != 0
    assert start_in_vain(members) != 0

    view = connect(members.old.port).view()
    assert view.state is ServerState.DOWN
    pause, now = seconds_before_return(in_vain), time.monotonic()
    soon = replace(view, alive=False, since=now - pause + 30)
    late = replace(view, alive=False, since=now - pause - 1)
    assert decide(seen(members, soon, now), SETTINGS).situation == "Down"
    decision = decide(seen(members, late, now), SETTINGS)
    assert decision.situation == "NotComingUp"
    (delete,) = (action for action in decision.actions if isinstance(action, DeleteOwnPod))
    assert delete == DeleteOwnPod(reclone=in_vain == 1, returns=in_vain + 1)

    # The pod's next life.
    if delete.reclone:
        members.pod.sidecar.mark_for_reclone()
    members.pod.sidecar.note_returns(in_vain + 1)
    for name in ("report", "order"):
        (members.pod.handshake / name).unlink()
    members.boot()
    made = act(members, seen(members, view, time.monotonic()))
    assert made.failure is None, members.pod.host.log()[-3000:]
    assert (made.rewound, made.returns) == (in_vain == 0, in_vain + 1)
    kept = members.old.directory / ".pgset-old/pgsql_tmp.data"
    assert kept.exists() is delete.reclone
    assert members.old_follows() == ["both", "new"]
    assert streams_from(members.old, members.new)
