"""What holds whatever is observed."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sidecar.action import Clone, Promote, ReleaseLease, RunInitdb, SetRole, StopPostgres, TakeLease
from sidecar.decide import decide
from sidecar.observation import (
    BootstrapView,
    DataState,
    Follower,
    Leadership,
    LeaseRecord,
    LeaseView,
    Observation,
    Peer,
    Pod,
    PostgresView,
    ServerState,
)
from sidecar.table import TABLE
from tests.sidecar.rules.observations import ME, NOW, SETTINGS

_names = st.sampled_from(["orders-0", "orders-1", "orders-2"])


_times = st.sampled_from([NOW - 60, NOW - 9.5, NOW - 8, NOW - 3, NOW - 0.5])


_records = st.builds(
    LeaseRecord,
    holder=st.sampled_from(["", str(ME), "orders-0_old", "orders-1_uid-1"]),
    ttl=st.just(10),
    resource_version=st.just("7"),
    system_identifier=st.sampled_from([None, "111", "999"]),
    timeline=st.sampled_from([None, 1, 2]),
    members=st.lists(_names, unique=True).map(tuple),
    history=st.lists(st.builds(Leadership, st.just(1), _names, st.just("")), max_size=1).map(tuple),
)


_leases = st.none() | st.builds(
    LeaseView,
    record=st.none() | _records,
    changed_at=_times,
    renewed_at=st.none() | _times,
    renewal_seen=st.booleans(),
    taken_expired=st.booleans(),
)


_bootstraps = st.builds(
    BootstrapView,
    data=st.none() | st.sampled_from(DataState),
    running=st.booleans(),
    busy=st.sampled_from([None, "clone"]),
    refusal=st.sampled_from([None, "no"]),
    system_identifier=st.sampled_from([None, "111", "999"]),
    other_writer=st.sampled_from([None, "uid-old"]),
)


_servers = st.builds(
    PostgresView,
    state=st.sampled_from(ServerState),
    since=_times,
    alive=st.booleans(),
    has_written=st.booleans(),
    system_identifier=st.sampled_from([None, "111"]),
    timeline=st.sampled_from([None, 1, 2]),
    position=st.sampled_from([None, 100, 200]),
    streaming=st.booleans(),
    followers=st.lists(
        st.builds(Follower, _names.filter(lambda name: name != ME.name), st.just(100)),
        unique_by=lambda follower: follower.name,
    ).map(tuple),
    standby_signal=st.booleans(),
    prepared=st.booleans(),
)


_pods = st.none() | st.lists(
    st.builds(
        Pod,
        name=_names,
        uid=st.sampled_from(["uid-0", "uid-1"]),
        ip=st.none(),
        role=st.sampled_from([None, "primary", "replica"]),
        deleting=st.booleans(),
    ),
    unique_by=lambda pod: pod.name,
).map(tuple)


_peers = st.dictionaries(
    _names,
    st.builds(
        Peer,
        name=_names,
        has_data=st.sampled_from([None, True, False]),
        system_identifier=st.sampled_from([None, "111"]),
        timeline=st.sampled_from([None, 1, 2]),
        position=st.sampled_from([None, 100, 300]),
        running=st.booleans(),
    ),
).map(lambda peers: {name: replace(peer, name=name) for name, peer in peers.items()})


_observations = st.builds(
    Observation,
    now=st.just(NOW),
    started_at=_times,
    me=st.just(ME),
    lease=_leases,
    pods=_pods,
    wanted=st.sampled_from([None, 1, 3]),
    bootstrap=_bootstraps,
    postgres=_servers,
    peers=_peers,
)


@given(_observations)
def test_only_a_holder_with_time_left_promotes_or_carries_the_primary_label(
    observation: Observation,
) -> None:
    actions = decide(observation, SETTINGS).actions
    for action in actions:
        gives_label = isinstance(action, SetRole) and action.value == "primary"
        if isinstance(action, Promote) or gives_label:
            view = observation.lease
            assert view is not None
            assert view.record is not None
            if isinstance(actions[0], TakeLease):
                # What the API server grants is fresh; if it does not, nothing more is done.
                continue
            assert view.record.holder == str(ME)
            assert view.renewed_at is not None
            assert view.record.members == (ME.name,) or NOW - view.renewed_at < 7
        if gives_label:
            assert observation.postgres.state is ServerState.WRITABLE


@given(_observations)
def test_initdb_and_clone_happen_only_where_there_is_no_data(observation: Observation) -> None:
    for action in decide(observation, SETTINGS).actions:
        if isinstance(action, RunInitdb | Clone):
            assert observation.bootstrap.data in (DataState.EMPTY, DataState.INTERRUPTED)
            assert observation.bootstrap.other_writer is None
        if isinstance(action, RunInitdb):
            assert observation.lease is not None
            assert observation.lease.record is not None
            assert observation.lease.record.system_identifier is None


@given(_observations)
def test_a_writable_server_past_its_deadline_is_always_stopped(observation: Observation) -> None:
    view = observation.lease
    alone = view is not None and view.record is not None and view.record.members == (ME.name,)
    unrenewed = view is None or view.renewed_at is None or NOW - view.renewed_at >= 7
    started_long_ago = NOW - observation.started_at > 2
    if (
        observation.postgres.state is ServerState.WRITABLE
        and unrenewed
        and started_long_ago
        and not alone
    ):
        actions = decide(observation, SETTINGS).actions
        assert any(isinstance(action, StopPostgres) for action in actions)


@given(_observations)
def test_a_lease_that_somebody_holds_is_never_taken(observation: Observation) -> None:
    for action in decide(observation, SETTINGS).actions:
        if isinstance(action, TakeLease):
            assert observation.lease is not None
            record = observation.lease.record
            held = record is not None and record.holder != ""
            assert not held or NOW - observation.lease.changed_at > 10


@given(_observations)
def test_the_lease_is_never_released_while_a_postmaster_may_still_send_or_write(
    observation: Observation,
) -> None:
    for action in decide(observation, SETTINGS).actions:
        if isinstance(action, ReleaseLease):
            assert observation.bootstrap.running or not observation.postgres.alive


def test_every_row_has_a_name_of_its_own_and_a_sentence() -> None:
    rows = [row for part in TABLE for row in part.rows]
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.sentence for row in rows)
