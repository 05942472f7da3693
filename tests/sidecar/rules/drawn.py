"""Observations by chance: a strategy for each field of each view, or the reason why it has none."""

from dataclasses import fields, replace
from typing import Any, Final, TypeVar

from hypothesis import strategies as st

from sidecar.failures import Failures
from sidecar.observation import (
    BootstrapView,
    DataState,
    Follower,
    Fork,
    Leadership,
    LeaseRecord,
    LeaseView,
    Observation,
    Peer,
    Pod,
    PostgresView,
    ServerState,
)
from sidecar.refused_setting import Origin, RefusedSetting
from sidecar.settings import DURABILITIES
from tests.sidecar.rules.observations import (
    ADOPTED,
    CUT_OFF,
    DELETED,
    DOWN,
    EMPTY,
    FIRST_POD,
    LEADER,
    LEAVING,
    ME,
    NOW,
    REPLICA,
    RETURNED,
    SETTINGS,
    STREAMING,
    UNANSWERED,
    VACANT,
    lease,
    peer,
    promising,
    waiting,
)

Value = TypeVar("Value")

NOT_DRAWN: Final = {
    "Pod.problem": "it is for people: no rule asks for it",
    "Observation.now": "all other times are drawn relative to it",
    "Observation.me": "the other pods are drawn relative to it",
    "LeaseRecord.resource_version": "what names it is drawn relative to it",
    "LeaseRecord.transitions": "for people; nothing is decided by it",
    "LeaseView.released_after_fall": "what pledges ask for, and no rule",
    "Leadership.since": "for people; nothing is decided by it",
    "Pod.ip": "an address that is followed; nothing is decided by it",
    "BootstrapView.failure": "for people; the rules look at `failures`",
    "Failures.why": "for people; nothing is decided by it",
    "PostgresView.problem": "for people; nothing is decided by it",
}
"""Fields that keep one value, each with its reason."""

STRATEGIES: Final[dict[type, dict[str, st.SearchStrategy[Any]]]] = {}
"""The views that are drawn, and what each of their fields is drawn from."""


def drawn(kind: type[Value], **strategies: Any) -> st.SearchStrategy[Value]:
    """Return a strategy for values of this view; each field that is not named is a yes or no."""
    flags = {field.name: st.booleans() for field in fields(kind) if field.type is bool}  # type: ignore[arg-type]
    strategies = flags | strategies
    STRATEGIES[kind] = {
        name: strategy
        for name, strategy in strategies.items()
        if f"{kind.__name__}.{name}" not in NOT_DRAWN
    }
    return st.builds(kind, **strategies)


names = st.sampled_from(["orders-0", "orders-1", "orders-2"])
others = st.sampled_from(["orders-1", "orders-2"])
past = st.sampled_from([NOW - 60, NOW - 9.5, NOW - 8, NOW - 3, NOW - 0.5])
maybe_past = st.none() | past
ever = st.just(float("-inf")) | past
identifiers = st.sampled_from([None, "111", "999"])
timelines = st.sampled_from([None, 1, 2])
positions = st.sampled_from([None, 100, 200, 300, 2**30])
name_lists = st.lists(names, unique=True).map(tuple)
other_lists = st.lists(others, unique=True).map(tuple)
promises = name_lists.flatmap(
    lambda voters: st.tuples(st.just(voters), st.integers(min(1, len(voters)), len(voters)))
)

_slots = st.sampled_from([(), ("feed",), ("audit", "feed")])
_followers = st.lists(
    drawn(
        Follower,
        name=others,
        position=st.sampled_from([100, 200, 2**30]),
        replayed=st.sampled_from([None, 100, 200]),
        seconds=st.sampled_from([None, 0.25]),
    ),
    unique_by=lambda follower: follower.name,
).map(tuple)
_records = st.builds(
    lambda record, promise: replace(record, voters=promise[0], copies=promise[1]),
    drawn(
        LeaseRecord,
        holder=st.sampled_from(["", str(ME), "orders-0_old", "orders-1_uid-1"]),
        ttl=st.sampled_from([5, 10, 30]),
        resource_version=st.just("7"),
        system_identifier=identifiers,
        timeline=timelines,
        members=name_lists,
        history=st.lists(
            drawn(Leadership, timeline=st.sampled_from([1, 2]), pod=names, since=st.just("")),
            max_size=2,
        ).map(tuple),
        position=positions,
        voters=st.just(()),  # with its copies, below
        copies=st.just(0),
        heir=st.none() | names,
        switchover_to=st.none() | names | st.just("orders-7"),
        lives=st.sampled_from([(), (str(ME),), ("orders-0_old", "orders-1_uid-1")]),
        logical_slots=_slots,
        physical_slots=_slots,
        followers=_followers,
    ),
    promises,
)
_leases = st.none() | drawn(
    LeaseView,
    record=st.none() | _records,
    changed_at=past,
    renewed_at=maybe_past,
    heard_at=ever,
    heard_again_at=ever,
    excused_at=maybe_past,
    handed_over_by=st.sampled_from([None, "orders-1_uid-1", "orders-1_old"]),
    possible_members=other_lists,
    possible_promises=st.lists(promises, max_size=1).map(tuple),
)
_failures = st.none() | drawn(
    Failures,
    verb=st.sampled_from(["initdb", "clone", "rewind", "reclone", "start", "start-writable"]),
    holder=st.sampled_from(["", "orders-1_uid-1"]),
    number=st.sampled_from([1, 5]),
    at=past,
    why=st.just("it failed"),
)
_refused = st.lists(
    drawn(
        RefusedSetting,
        name=st.sampled_from(["wal_level", "max_connections"]),
        value=st.sampled_from(["minimal", "50"]),
        needed=st.sampled_from(["replica", "100"]),
        origin=st.sampled_from(Origin),
    ),
    max_size=2,
).map(tuple)
_slow_ago = st.sampled_from([float("inf"), 5.0, 0.0])
_bootstraps = drawn(
    BootstrapView,
    slow_ago=_slow_ago,
    data=st.none() | st.sampled_from(DataState),
    busy=st.sampled_from([None, None, "clone"]),
    write_failure=st.sampled_from([None, "no space left"]),
    silent_since=maybe_past,
    refusal=st.sampled_from([None, None, "no"]),
    objection=st.sampled_from([None, None, "no"]),
    follows=st.sampled_from([None, None, "db.example.com", "orders-1.orders"]),
    left_alone=st.sampled_from([False, False, False, True]),
    failures=_failures,
    system_identifier=identifiers,
    timeline=timelines,
    position=positions,
    other_writer=st.sampled_from([None, None, "uid-old"]),
    can_rewind=st.none() | st.booleans(),
    promoting_from=timelines,
    promoted_by_hand_at=positions,
    returns=st.sampled_from([None, 0, 1, 2]),
    copied=st.booleans(),
    refused=_refused,
    vanished=st.sampled_from([False, False, False, True]),
)
_servers = drawn(
    PostgresView,
    state=st.sampled_from(ServerState),
    since=past,
    promoting_since=maybe_past,
    promoted_from=timelines,
    last_timeline=timelines,
    progress_at=maybe_past,
    system_identifier=st.sampled_from([None, "111"]),
    timeline=timelines,
    position=positions,
    streamed_at=maybe_past,
    lag=st.sampled_from([None, 0, 2**30]),
    to_replay=st.sampled_from([None, 0, 2**30]),
    followers=_followers,
    followers_heard_at=maybe_past,
    waits_for=other_lists,
    waits_for_number=st.sampled_from([0, 1, 2]),
    waits_from=st.sampled_from([None, 100, 200]),
    ordered=st.none() | st.tuples(other_lists, st.sampled_from([0, 1])),
    upstream=st.sampled_from([None, "", "10.0.0.1"]),
    primary_slot_name=st.sampled_from([None, "", "pgset_orders_0"]),
    slots=st.sampled_from([(), ("pgset_orders_1",)]),
    logical_slots=_slots,
    physical_slots=_slots,
    unsafe=st.sampled_from([(), ("fsync",), ("synchronous_standby_names",)]),
    checkpointed_at=maybe_past,
    unwell_since=maybe_past,
    oldest_wal=st.sampled_from([None, 150]),
)
_pods = st.none() | st.lists(
    drawn(
        Pod,
        name=names,
        uid=st.sampled_from(["uid-0", "uid-1"]),
        ip=st.none(),
        role=st.sampled_from([None, "primary", "replica"]),
        revision=st.sampled_from([None, "old", "new"]),
        taken_out_since=maybe_past,
        unready_since=maybe_past,
        fenced_since=st.none() | maybe_past,
        reinit=st.sampled_from([None, None, "now"]),
        failover=st.sampled_from([None, "7", "6"]),
        failover_priority=st.sampled_from([1, 1, 0, 5]),
        nofailover=st.sampled_from([False, False, True]),
        backs_off=st.sampled_from([False, False, True]),
    ),
    unique_by=lambda pod: pod.name,
).map(tuple)
_peers = st.none() | st.dictionaries(
    others,
    drawn(
        Peer,
        name=others,
        has_data=st.sampled_from([None, True, False]),
        system_identifier=st.sampled_from([None, "111"]),
        timeline=timelines,
        position=positions,
        to_replay=st.sampled_from([None, 0, 2**30]),
        slow_ago=_slow_ago,
        oldest_wal=st.sampled_from([None, 150]),
        gives_wal=st.booleans(),
    ),
).map(lambda peers: {name: replace(peer, name=name) for name, peer in peers.items()})
_anything = drawn(
    Observation,
    now=st.just(NOW),
    started_at=past,
    me=st.just(ME),
    lease=_leases,
    pods=_pods,
    wanted=st.sampled_from([None, 0, 1, 3]),
    ordered=st.booleans(),
    bootstrap=_bootstraps,
    postgres=_servers,
    peers=_peers,
    complete_peers=other_lists.map(frozenset),
    paused=st.sampled_from([False, False, True]),
    opted_out=st.sampled_from([False, False, True]),
    leaving_since=maybe_past,
    unfenced_at=maybe_past,
    pledged_until=st.none() | st.sampled_from([NOW - 1, NOW + 1]),
    members_heard_at=ever,
    renewal_failed_at=maybe_past,
    api_failed_at=ever,
    question_failed_at=maybe_past,
    wal_matches=st.none() | st.booleans(),
    fork=st.none()
    | drawn(Fork, timeline=st.just(1) | st.just(2), position=st.sampled_from([100, 250])),
)
_PLAUSIBLE: Final = (
    *(LEADER, REPLICA, FIRST_POD, ADOPTED, VACANT, LEAVING, DELETED, CUT_OFF, UNANSWERED),
    replace(LEADER, postgres=DOWN),
    replace(LEADER, postgres=replace(STREAMING, streaming=False)),
    replace(REPLICA, bootstrap=RETURNED, postgres=DOWN),
    replace(REPLICA, bootstrap=EMPTY, postgres=DOWN),
    replace(DELETED, lease=lease(promising(0, 1, 2, copies=3)), postgres=waiting(1, 2)),
    replace(LEADER, lease=lease(promising(0, 1, 2, copies=2)), postgres=waiting(1, 2, number=1)),
)


@st.composite
def _nearly_plausible(draw: st.DrawFn) -> Observation:
    """An observation of the other tests, with a few of its fields changed: what is wholly made up
    rarely gets beyond the first rows of the table."""

    def changed(value: Any, most: int) -> Any:
        strategies = STRATEGIES[type(value)]
        chosen = draw(st.lists(st.sampled_from(sorted(strategies)), max_size=most, unique=True))
        return replace(value, **{name: draw(strategies[name]) for name in chosen})

    seen = draw(st.sampled_from(_PLAUSIBLE))
    view = seen.lease
    if view is not None:
        record = view.record if view.record is None else changed(view.record, 2)
        if record is not None and record.voters and not 0 < record.copies <= len(record.voters):
            record = replace(record, copies=len(record.voters))
        view = changed(replace(view, record=record), 2)
    answers = {name: changed(answer, 2) for name, answer in (peer(1) | peer(2)).items()}
    asked = draw(st.sampled_from([None, {}, answers, answers]))
    seen = replace(
        seen,
        lease=view,
        bootstrap=changed(seen.bootstrap, 2),
        postgres=changed(seen.postgres, 2),
        pods=tuple(changed(pod, 1) for pod in seen.pods or ()),
        peers=asked and {name: replace(answer, name=name) for name, answer in asked.items()},
    )
    rest = sorted(
        set(STRATEGIES[Observation]) - {"lease", "pods", "bootstrap", "postgres", "peers"}
    )
    chosen = draw(st.lists(st.sampled_from(rest), max_size=2, unique=True))
    return replace(seen, **{name: draw(STRATEGIES[Observation][name]) for name in chosen})


observations = _anything | _nearly_plausible() | _nearly_plausible()
settings = st.sampled_from([replace(SETTINGS, durability=it) for it in DURABILITIES])
