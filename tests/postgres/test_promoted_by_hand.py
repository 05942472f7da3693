"""A standby that somebody makes writable beside its primary is rewound or cloned again."""

from dataclasses import replace

import pytest

from sidecar import promotion_note
from sidecar.action import NotePromotedByHand, Reclone, Rewind
from sidecar.decide import decide
from sidecar.memory.following import Following
from sidecar.observation import (
    DataState,
    Leadership,
    LeaseView,
    Observation,
    ServerState,
)
from tests.sidecar.rules.observations import DOWN, ME, OTHERS, REPLICA, SETTINGS, lease, peer
from tests.support.database import own
from tests.support.former_primary import (
    Set,
    crash_and_restart_read_only,
    sql,
    streams_from,
    write,
)
from tests.support.standby import Connect, wait_for
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres


def promoted(members: Set, connect: Connect) -> tuple[Set, Observation]:
    """Promote the replica, fence it as its sidecar does, and return what its next pod observes; its
    primary has gone on."""
    members.pod.data = members.new.directory
    turned = Set(members.new, members.old, members.pod)
    replica, primary = turned.old, turned.new
    server, following, held = connect(replica.port), Following(), _held(turned)
    wait_until(lambda: server.view().streaming, "what its sidecar sees of the replica")
    assert following.promoted_from(server.view(), held, ME) is None

    sql(replica, "SELECT pg_promote()")
    write(replica, "by hand")
    write(primary, "meanwhile")
    wait_until(lambda: following.promoted_from(server.view(), held, ME) == 1, "that it is seen")
    timeline = server.view().timeline
    assert timeline is not None
    promotion_note.write_by_hand(replica.directory, 1, timeline)
    own(replica.directory / ".pgset-promoting")
    crash_and_restart_read_only(replica)
    sql(primary, "CHECKPOINT")
    assert not streams_from(replica, primary)
    replica.stop()

    turned.boot()
    seen = replace(REPLICA, lease=held, bootstrap=members.pod.look(), postgres=DOWN, peers=peer(1))
    assert seen.bootstrap.promoting_from == 1
    assert seen.bootstrap.timeline == timeline
    return turned, seen


def test_one_that_is_started_without_standby_signal_is_cloned_again(
    members: Set, connect: Connect
) -> None:
    """It writes on its primary's timeline, of which nothing in the data tells it apart."""
    members.pod.data = members.new.directory
    turned = Set(members.new, members.old, members.pod)
    replica, primary, held = turned.old, turned.new, _held(turned)
    assert held.record is not None
    led = (Leadership(1, "orders-1", "2026-01-01T00:00:00Z"),)
    held = replace(held, record=replace(held.record, history=led))

    replica.stop()
    (replica.directory / "standby.signal").unlink()
    replica.start()
    view = wait_for(connect(replica.port), ServerState.WRITABLE)
    write(replica, "by hand")
    write(primary, "meanwhile")
    started = decide(replace(REPLICA, lease=held, postgres=view), SETTINGS)
    assert NotePromotedByHand(1, 1) in started.actions

    promotion_note.write_by_hand(replica.directory, 1, 1)
    own(replica.directory / ".pgset-promoting")
    crash_and_restart_read_only(replica)
    replica.stop()
    turned.boot()
    back = replace(REPLICA, lease=held, bootstrap=members.pod.look(), postgres=DOWN)
    assert any(isinstance(action, Reclone) for action in decide(back, SETTINGS).actions)
    assert turned.obey("reclone").failure is None, members.pod.host.log()[-3000:]
    assert turned.old_follows() == ["both", "meanwhile"]


def _held(members: Set) -> LeaseView:
    """The Lease: the primary leads, on its first timeline."""
    found = sql(members.new, "SELECT system_identifier FROM pg_control_system()")[0][0]
    return lease(replace(OTHERS, system_identifier=str(found)), renewed_at=None)


@pytest.mark.versions
def test_it_is_rewound_and_streams(members: Set, connect: Connect) -> None:
    members, seen = promoted(members, connect)
    assert any(isinstance(action, Rewind) for action in decide(seen, SETTINGS).actions)
    done = members.obey("rewind")
    assert (done.data, done.failure) == (DataState.PRESENT, None), members.pod.host.log()[-3000:]
    assert (done.rewound, done.rewind_failed) == (True, False)
    assert members.old_follows() == ["both", "meanwhile"]


def test_where_it_cannot_be_rewound_it_is_cloned_again_and_its_data_is_kept(
    plain_members: Set, connect: Connect
) -> None:
    members, seen = promoted(plain_members, connect)
    assert seen.bootstrap.can_rewind is False
    members.pod.sidecar.mark_for_reclone()
    for name in ("report", "order"):
        (members.pod.handshake / name).unlink(missing_ok=True)
    members.boot()
    marked = replace(seen, bootstrap=members.pod.look())
    assert any(isinstance(action, Reclone) for action in decide(marked, SETTINGS).actions)
    done = members.obey("reclone")
    assert done.failure is None, members.pod.host.log()[-3000:]
    assert (done.promoting_from, done.promoted_by_hand_at) == (None, None)
    assert (members.old.directory / ".pgset-old/pgsql_tmp.data/PG_VERSION").exists()
    assert members.old_follows() == ["both", "meanwhile"]
