"""The rules of `sidecar.decide`, each as what a member does in a situation."""

import signal
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.action import (
    Action,
    AskToStay,
    Attach,
    Checkpoint,
    Clone,
    DeleteOwnPod,
    Detach,
    ForgetPromotion,
    KeepSlots,
    PreparePrimary,
    Promote,
    PutStandbySignal,
    Reclone,
    Refuse,
    ReleaseLease,
    RemoveStandbySignal,
    RenewLease,
    Rewind,
    RunInitdb,
    SetRole,
    SetSynchronous,
    StartPostgres,
    StopPostgres,
    TakeLease,
)
from sidecar.decide import (
    decide,
    needs_peers,
    seconds_of_right,
    seconds_to_fence,
    seconds_to_look,
)
from sidecar.observation import (
    BootstrapView,
    DataState,
    Follower,
    Fork,
    Identity,
    Leadership,
    LeaseRecord,
    LeaseView,
    Observation,
    Peer,
    Pod,
    PostgresView,
    ServerState,
)
from sidecar.settings import Settings
from sidecar.table import TABLE

SETTINGS = Settings(set_name="orders")
ME = Identity("orders-0", "uid-0")
NOW = 1000.0

RECORD = LeaseRecord(
    holder=str(ME),
    ttl=10,
    resource_version="7",
    system_identifier="111",
    timeline=1,
    members=("orders-0", "orders-1", "orders-2"),
    history=(Leadership(1, "orders-0", "2026-01-01T00:00:00Z"),),
)
OTHERS = replace(RECORD, holder="orders-1_uid-1")
FREE = replace(RECORD, holder="")


def followers(*ordinals: int, position: int = 5000) -> tuple[Follower, ...]:
    return tuple(Follower(f"orders-{n}", position) for n in ordinals)


RUNNING = BootstrapView(data=DataState.PRESENT, running=False, system_identifier="111")
EMPTY = BootstrapView(data=DataState.EMPTY, running=True)
WRITABLE = PostgresView(
    ServerState.WRITABLE,
    since=900.0,
    system_identifier="111",
    timeline=1,
    position=5000,
    followers=followers(1, 2),
    followers_heard_at=NOW - 0.5,
    slots=("pgset_orders_1", "pgset_orders_2"),
    prepared=True,
)
STREAMING = PostgresView(
    ServerState.RECOVERY,
    since=900.0,
    system_identifier="111",
    timeline=1,
    position=5000,
    streaming=True,
    lag=0,
)
DOWN = PostgresView(ServerState.DOWN, since=999.0, alive=False)


def pods(*roles: str | None) -> tuple[Pod, ...]:
    return tuple(
        Pod(f"orders-{n}", f"uid-{n}", f"10.0.0.{n}", role) for n, role in enumerate(roles)
    )


def lease(record: LeaseRecord | None, **changes: Any) -> LeaseView:
    return replace(
        LeaseView(
            record,
            changed_at=NOW - 1,
            renewed_at=NOW - 1,
            renewal_seen=True,
            heard_at=changes.get("renewed_at") or NOW - 1,
        ),
        **changes,
    )


LEADER_PODS = pods("primary", "replica", "replica")
LEADER = Observation(
    now=NOW,
    started_at=0.0,
    me=ME,
    lease=lease(RECORD),
    pods=LEADER_PODS,
    wanted=3,
    bootstrap=RUNNING,
    postgres=WRITABLE,
)
REPLICA = replace(
    LEADER,
    lease=lease(OTHERS, renewed_at=None),
    pods=pods("replica", "primary", "replica"),
    postgres=STREAMING,
)
FIRST_POD = replace(
    LEADER,
    lease=lease(None, renewed_at=None, renewal_seen=False),
    pods=pods(None),
    bootstrap=EMPTY,
    postgres=DOWN,
)


def peer(ordinal: int, **changes: Any) -> dict[str, Peer]:
    name = f"orders-{ordinal}"
    told = Peer(name, True, "111", 1, 5000, running=True)
    return {name: replace(told, **changes)}


def situation_and_actions(
    observation: Observation, settings: Settings = SETTINGS
) -> tuple[str, tuple[Action, ...]]:
    decision = decide(observation, settings)
    return decision.situation, decision.actions


# ── leading ───────────────────────────────────────────────────────────────────────────────


def test_a_primary_that_renewed_just_now_has_nothing_to_do() -> None:
    assert situation_and_actions(LEADER) == ("Leading", ())


def test_a_primary_renews_at_its_interval() -> None:
    due = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - 2))
    renewal = RenewLease("111", 1, ("orders-0", "orders-1", "orders-2"), 5000)
    assert situation_and_actions(due) == ("Leading", (renewal,))


def test_a_member_that_streams_is_recorded_at_once() -> None:
    unrecorded = replace(LEADER, lease=lease(replace(RECORD, members=("orders-0", "orders-1"))))
    renewal = RenewLease("111", 1, ("orders-0", "orders-1", "orders-2"), 5000)
    assert situation_and_actions(unrecorded) == ("Leading", (renewal,))


def test_a_member_that_is_no_longer_wanted_is_taken_off_the_record() -> None:
    scaled = replace(LEADER, wanted=2, postgres=replace(WRITABLE, followers=followers(1)))
    assert RenewLease("111", 1, ("orders-0", "orders-1"), 5000) in decide(scaled, SETTINGS).actions


def test_a_new_primary_first_makes_its_next_start_read_only_and_labels_itself_before_the_old() -> (
    None
):
    promoted = replace(
        LEADER,
        pods=pods("replica", "primary"),
        postgres=replace(WRITABLE, timeline=2, prepared=False, standby_signal=False, followers=()),
    )
    assert situation_and_actions(promoted) == (
        "Leading",
        (
            PutStandbySignal(),
            RenewLease("111", 2, ("orders-0", "orders-1", "orders-2"), 5000),
            SetRole("orders-0", "uid-0", "primary"),
            SetRole("orders-1", "uid-1", None),
            PreparePrimary(),
        ),
    )


def test_the_role_label_is_the_users_own() -> None:
    settings = replace(SETTINGS, primary_value="pgset-master")
    labelled = decide(replace(LEADER, pods=pods("replica")), settings).actions
    assert SetRole("orders-0", "uid-0", "pgset-master") in labelled


def test_a_lease_that_somebody_deleted_is_taken_again_by_its_primary() -> None:
    deleted = replace(LEADER, lease=lease(None))
    assert situation_and_actions(deleted) == ("Reclaiming", (TakeLease(expired=False),))


# ── fencing (rule 3) ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ago", "sent"),
    [(7.0, signal.SIGINT), (8.1, signal.SIGQUIT), (9.1, signal.SIGKILL), (60.0, signal.SIGKILL)],
)
def test_a_primary_that_cannot_renew_is_stopped_harder_and_harder(
    ago: float, sent: signal.Signals
) -> None:
    late = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - ago, changed_at=NOW - ago))
    situation, actions = situation_and_actions(late)
    assert (situation, actions[0]) == ("Fencing", StopPostgres(sent))


def test_a_primary_that_answers_nobody_is_stopped_all_the_same() -> None:
    """Out of connections, or hung: sessions that it has may go on writing."""
    silent = replace(DOWN, alive=True, has_written=True)
    late = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - 7), postgres=silent)
    assert situation_and_actions(late)[0] == "Fencing"


def test_a_replica_that_is_starting_is_left_to_start() -> None:
    starting = replace(REPLICA, postgres=replace(DOWN, alive=True))
    assert decide(starting, SETTINGS).situation == "Down"


def test_it_is_not_stopped_a_moment_too_early() -> None:
    late = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - 6.9, changed_at=NOW - 6.9))
    assert decide(late, SETTINGS).situation == "Leading"


@pytest.mark.parametrize(("ago", "left"), [(1.0, 6.0), (6.5, 0.5), (9.0, 0.0)])
def test_a_writable_holder_looks_again_before_its_deadline(ago: float, left: float) -> None:
    late = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - ago))
    assert seconds_to_fence(late, SETTINGS) == left


def test_a_replica_has_no_deadline() -> None:
    assert seconds_to_fence(REPLICA, SETTINGS) is None


def test_a_set_of_one_member_has_nobody_to_fear() -> None:
    alone = replace(RECORD, members=("orders-0",))
    late = replace(
        LEADER,
        lease=lease(alone, renewed_at=NOW - 600, changed_at=NOW - 600),
        postgres=replace(WRITABLE, followers=()),
        wanted=1,
    )
    assert decide(late, SETTINGS).situation == "Leading"


def test_a_writable_server_whose_lease_is_anothers_is_stopped_and_loses_the_label() -> None:
    superseded = replace(LEADER, lease=lease(OTHERS))
    assert situation_and_actions(superseded) == (
        "Superseded",
        (StopPostgres(signal.SIGINT), SetRole("orders-0", "uid-0", None)),
    )


def test_a_restarted_sidecar_that_cannot_renew_fences_within_two_seconds() -> None:
    restarted = replace(LEADER, started_at=NOW - 1.1, lease=lease(RECORD, renewed_at=None))
    assert decide(restarted, SETTINGS).situation == "Fencing"


def test_a_restarted_sidecar_renews_first() -> None:
    restarted = replace(LEADER, started_at=NOW - 0.2, lease=lease(RECORD, renewed_at=None))
    situation, actions = situation_and_actions(restarted)
    assert (situation, [type(action) for action in actions]) == ("Resuming", [RenewLease])


def test_a_writable_server_before_the_first_answer_of_the_api_server_is_stopped_in_the_end() -> (
    None
):
    blind = replace(LEADER, started_at=NOW - 5, lease=None, pods=None)
    assert decide(blind, SETTINGS).situation == "Fencing"


# ── promotion (rules 1, 2, 4) ─────────────────────────────────────────────────────────────


def test_the_holder_whose_server_came_up_read_only_promotes_it() -> None:
    crashed = replace(LEADER, postgres=replace(STREAMING, streaming=False))
    assert situation_and_actions(crashed) == ("Promoting", (Promote(1),))


def test_nothing_is_promoted_while_the_new_timeline_could_not_be_recorded() -> None:
    crashed = replace(LEADER, postgres=replace(STREAMING, streaming=False))
    silent = replace(crashed, renewal_failed_at=NOW - 0.1)
    situation, actions = situation_and_actions(silent)
    assert (situation, [type(action) for action in actions]) == ("Resuming", [RenewLease])


def test_after_an_expiry_the_old_label_goes_before_the_promotion() -> None:
    taken = replace(
        LEADER,
        lease=lease(RECORD, taken_expired=True),
        pods=pods("replica", "primary"),
        postgres=STREAMING,
    )
    assert situation_and_actions(taken) == (
        "Promoting",
        (SetRole("orders-1", "uid-1", None), Promote(1)),
    )


# ── following ─────────────────────────────────────────────────────────────────────────────


def test_a_replica_that_streams_keeps_its_label() -> None:
    assert situation_and_actions(REPLICA) == ("Following", ())


@pytest.mark.parametrize(
    "postgres",
    [
        replace(STREAMING, streaming=False),
        replace(STREAMING, lag=SETTINGS.max_lag + 1),
        replace(STREAMING, timeline=0),
    ],
    ids=["not streaming", "behind", "older timeline"],
)
def test_a_replica_that_does_not_follow_takes_no_reads(postgres: PostgresView) -> None:
    lagging = replace(REPLICA, postgres=postgres)
    assert situation_and_actions(lagging) == (
        "NotFollowing",
        (SetRole("orders-0", "uid-0", None),),
    )


def test_a_replica_follows_the_holder_of_the_lease_and_nobody_else() -> None:
    """A Service may lead to the primary of before, which streams as a standby, too."""
    elsewhere = replace(REPLICA, postgres=replace(STREAMING, upstream="10.0.0.2"))
    situation, actions = situation_and_actions(elsewhere)
    assert (situation, actions) == (
        "NotFollowing",
        (SetRole("orders-0", "uid-0", None), Attach("10.0.0.1")),
    )
    right = replace(REPLICA, postgres=replace(STREAMING, upstream="10.0.0.1"))
    assert situation_and_actions(right) == ("Following", ())


def test_a_stopped_primary_keeps_its_label_until_the_next_one_takes_it() -> None:
    released = replace(LEADER, lease=lease(OTHERS, renewed_at=None), postgres=DOWN)
    assert situation_and_actions(released) == ("Down", ())
    never = replace(OTHERS, history=(Leadership(1, "orders-1", ""),))
    admitted = replace(released, lease=lease(never, renewed_at=None))
    assert situation_and_actions(admitted) == ("Down", (SetRole("orders-0", "uid-0", None),))
    starting = replace(released, postgres=replace(DOWN, alive=True))
    assert situation_and_actions(starting) == ("Down", (SetRole("orders-0", "uid-0", None),))


def test_between_two_primaries_a_replica_keeps_its_label_for_a_moment() -> None:
    """Each label that changes costs kube-proxy one of its syncs, which the primary's needs."""
    lost = replace(STREAMING, streaming=False, lag=None, streamed_at=NOW - 4)
    replica = replace(REPLICA, postgres=lost)
    assert situation_and_actions(replica) == ("NotFollowing", ())
    long_ago = replace(replica, postgres=replace(lost, streamed_at=NOW - 6))
    assert decide(long_ago, SETTINGS).actions == (SetRole("orders-0", "uid-0", None),)


def test_a_replica_whose_server_is_down_takes_no_reads() -> None:
    down = replace(REPLICA, postgres=DOWN)
    assert situation_and_actions(down) == ("Down", (SetRole("orders-0", "uid-0", None),))


# ── bootstrap (rules 5, 7, 8) ─────────────────────────────────────────────────────────────


def test_the_first_pod_of_a_new_set_takes_the_lease_before_initdb() -> None:
    assert situation_and_actions(FIRST_POD) == (
        "TakingToInitialize",
        (TakeLease(expired=False),),
    )


def test_and_then_runs_initdb() -> None:
    held = LeaseRecord(holder=str(ME), ttl=10, resource_version="1")
    assert situation_and_actions(replace(FIRST_POD, lease=lease(held))) == (
        "Initializing",
        (RunInitdb(),),
    )


def test_an_interrupted_initdb_is_redone() -> None:
    held = LeaseRecord(holder=str(ME), ttl=10, resource_version="1")
    interrupted = replace(EMPTY, data=DataState.INTERRUPTED)
    again = replace(FIRST_POD, lease=lease(held), bootstrap=interrupted)
    assert decide(again, SETTINGS).situation == "Initializing"


def test_only_the_lowest_ordinal_runs_initdb() -> None:
    second = replace(FIRST_POD, me=Identity("orders-1", "uid-1"), pods=pods(None, None))
    assert situation_and_actions(replace(second, peers=peer(0, has_data=False))) == (
        "WaitingForInitialization",
        (),
    )


def test_the_lowest_ordinal_is_the_statefulsets_own() -> None:
    from_five = replace(SETTINGS, first_ordinal=5)
    fifth = Pod("orders-5", "uid-5", "10.0.0.5", None)
    first = replace(FIRST_POD, me=Identity("orders-5", "uid-5"), pods=(fifth,))
    assert decide(first, from_five).situation == "TakingToInitialize"


@pytest.mark.parametrize("answer", [{}, peer(1, has_data=None), peer(1, has_data=True)])
def test_no_initdb_while_another_pod_has_data_or_has_not_said(answer: dict[str, Peer]) -> None:
    doubtful = replace(FIRST_POD, pods=pods(None, None), peers=answer)
    assert situation_and_actions(doubtful) == ("WaitingForInitialization", ())


def test_no_second_initdb_in_the_life_of_a_set() -> None:
    lost = replace(LEADER, bootstrap=EMPTY, postgres=DOWN)
    assert situation_and_actions(lost)[1][-1] == ReleaseLease()


def test_what_initdb_made_is_on_record_before_it_starts() -> None:
    held = LeaseRecord(holder=str(ME), ttl=10, resource_version="1")
    made = replace(
        FIRST_POD,
        lease=lease(held),
        bootstrap=BootstrapView(data=DataState.PRESENT, running=True, system_identifier="111"),
    )
    assert situation_and_actions(made) == (
        "Starting",
        (RenewLease("111", None, ("orders-0",)), StartPostgres()),
    )


def test_a_pod_without_data_clones_from_the_leader() -> None:
    new = replace(REPLICA, bootstrap=EMPTY, postgres=DOWN, pods=pods(None, "primary"))
    assert situation_and_actions(new) == ("Cloning", (Clone("111"),))


def test_a_clone_under_way_is_left_alone() -> None:
    busy = replace(EMPTY, data=DataState.INTERRUPTED, busy="clone")
    new = replace(REPLICA, bootstrap=busy, postgres=DOWN)
    assert situation_and_actions(new) == ("Bootstrapping", ())


def test_an_interrupted_clone_is_redone() -> None:
    interrupted = replace(EMPTY, data=DataState.INTERRUPTED)
    new = replace(REPLICA, bootstrap=interrupted, postgres=DOWN, pods=pods(None, "primary"))
    assert situation_and_actions(new) == ("Cloning", (Clone("111"),))


def test_a_pod_without_data_waits_while_nobody_leads() -> None:
    new = replace(REPLICA, lease=lease(FREE), bootstrap=EMPTY, postgres=DOWN, pods=pods(None))
    assert situation_and_actions(new) == ("WaitingForLeader", ())


def test_data_of_another_set_is_refused() -> None:
    foreign = BootstrapView(data=DataState.PRESENT, running=True, system_identifier="999")
    decision = decide(replace(REPLICA, bootstrap=foreign, postgres=DOWN), SETTINGS)
    assert (decision.situation, decision.actions) == (
        "DataOfAnotherSet",
        (SetRole("orders-0", "uid-0", None),),
    )
    assert "its system identifier is 999, this set's is 111" in decision.sentence


def test_what_bootstrap_cannot_do_is_told_in_its_words() -> None:
    refused = replace(EMPTY, refusal="the data directory belongs to uid 0")
    decision = decide(replace(FIRST_POD, bootstrap=refused), SETTINGS)
    assert (decision.situation, decision.sentence) == (
        "CannotBootstrap",
        "the data directory belongs to uid 0",
    )


def test_nothing_is_done_in_a_directory_where_another_pod_still_writes() -> None:
    held = LeaseRecord(holder=str(ME), ttl=10, resource_version="1")
    shared = replace(EMPTY, other_writer="uid-old")
    decision = decide(replace(FIRST_POD, lease=lease(held), bootstrap=shared), SETTINGS)
    assert (decision.situation, decision.actions) == ("DirectoryInUse", ())


# ── adopting ──────────────────────────────────────────────────────────────────────────────

ADOPTED = replace(
    REPLICA,
    lease=lease(None, renewed_at=None, renewal_seen=False),
    pods=pods("replica"),
    wanted=1,
    postgres=replace(STREAMING, streaming=False),
)


def test_existing_data_is_started_read_only_at_once() -> None:
    found = replace(ADOPTED, bootstrap=replace(RUNNING, running=True), postgres=DOWN)
    assert situation_and_actions(found) == ("Starting", (StartPostgres(),))


def test_a_single_database_that_opted_in_leads() -> None:
    assert situation_and_actions(ADOPTED) == ("TakingLease", (TakeLease(expired=False),))


def test_without_a_lease_nobody_leads_before_every_wanted_member_has_reported() -> None:
    three = replace(ADOPTED, wanted=3, peers=peer(1))
    decision = decide(three, SETTINGS)
    assert (decision.situation, decision.actions) == ("WaitingForReports", ())
    assert decision.sentence.endswith("waiting for the data of orders-2")


def test_without_a_lease_and_without_the_statefulset_nobody_leads() -> None:
    assert decide(replace(ADOPTED, wanted=None), SETTINGS).situation == "WaitingForReports"


def test_without_a_lease_the_one_furthest_ahead_leads() -> None:
    three = replace(ADOPTED, wanted=3, peers=peer(1, position=6000) | peer(2, has_data=False))
    assert decide(three, SETTINGS).situation == "YieldingToPeer"


# ── taking over (rule 6) ──────────────────────────────────────────────────────────────────

VACANT = replace(REPLICA, lease=lease(FREE, renewed_at=None))


def test_a_released_lease_is_taken() -> None:
    alone = replace(VACANT, peers=peer(2, position=4000))
    assert situation_and_actions(alone) == (
        "TakingLease",
        (TakeLease(expired=False), Promote(1)),
    )


def test_a_lease_that_ran_out_is_taken_as_expired() -> None:
    ran_out = replace(REPLICA, lease=lease(OTHERS, renewed_at=None, changed_at=NOW - 10.1))
    assert situation_and_actions(ran_out) == (
        "TakingLease",
        (TakeLease(expired=True), SetRole("orders-1", "uid-1", None), Promote(1)),
    )


def test_a_lease_is_not_taken_a_moment_too_early() -> None:
    nearly = replace(REPLICA, lease=lease(OTHERS, renewed_at=None, changed_at=NOW - 10))
    assert decide(nearly, SETTINGS).situation == "Following"


@pytest.mark.parametrize("better", [{"position": 5001}, {"timeline": 2, "position": 10}])
def test_who_is_behind_yields(better: dict[str, int]) -> None:
    behind = replace(VACANT, peers=peer(2, **better))
    assert situation_and_actions(behind) == ("YieldingToPeer", ())


def test_of_two_equals_the_lower_ordinal_leads() -> None:
    second = replace(VACANT, me=Identity("orders-1", "uid-1"), peers=peer(0))
    assert decide(second, SETTINGS).situation == "YieldingToPeer"


def test_nobody_yields_for_ever_to_a_peer_that_does_not_run() -> None:
    ahead = peer(2, position=6000, running=False)
    assert decide(replace(VACANT, peers=ahead), SETTINGS).situation == "TakingLease"
    just_started = replace(VACANT, postgres=replace(STREAMING, since=NOW - 5), peers=ahead)
    assert decide(just_started, SETTINGS).situation == "YieldingToPeer"


@pytest.mark.parametrize(
    ("record", "postgres"),
    [
        (replace(FREE, members=("orders-1",)), STREAMING),
        (replace(FREE, timeline=2), STREAMING),
    ],
    ids=["not recorded", "older timeline"],
)
def test_who_may_not_lead_does_not(record: LeaseRecord, postgres: PostgresView) -> None:
    vacant = replace(VACANT, lease=lease(record, renewed_at=None), postgres=postgres)
    assert decide(vacant, SETTINGS).situation == "NotEligible"


COLD = replace(
    VACANT,
    me=Identity("orders-1", "uid-1"),
    started_at=NOW - 10,
    lease=lease(FREE, renewed_at=None, renewal_seen=False),
    postgres=replace(STREAMING, streaming=False, since=NOW - 5),
)


def test_after_a_cold_start_the_last_primary_is_waited_for() -> None:
    assert situation_and_actions(COLD) == ("WaitingForLastLeader", ())


def test_but_not_for_ever() -> None:
    assert decide(replace(COLD, started_at=NOW - 31), SETTINGS).situation == "TakingLease"


def test_after_a_cold_start_the_last_primary_leads_at_once() -> None:
    first = replace(COLD, me=ME)
    assert situation_and_actions(first) == (
        "TakingLease",
        (TakeLease(expired=False), Promote(1)),
    )


def test_after_a_cold_start_with_every_member_heard_the_one_furthest_ahead_leads() -> None:
    heard = replace(COLD, peers=peer(0, position=100) | peer(2, position=100))
    assert decide(heard, SETTINGS).situation == "TakingLease"


class TestAPrimaryWithWhatNobodyElseHasThatIsNotRestarted:
    """The kubelet backs off for 10 s and more; a new pod is there in half of that."""

    GONE = replace(LEADER, postgres=replace(DOWN, since=NOW - 3.5))

    def test_it_gets_a_new_pod(self) -> None:
        decision = decide(self.GONE, SETTINGS)
        assert decision.situation == "Returning"
        assert decision.actions[-1] == DeleteOwnPod(reclone=False)

    def test_which_is_the_one_that_the_lease_is_left_to(self) -> None:
        leaving = replace(LEADER_PODS[0], deleting=True)
        deleted = replace(self.GONE, pods=(leaving, *LEADER_PODS[1:]))
        assert situation_and_actions(deleted) == ("Vacating", (ReleaseLease("orders-0"),))

    @pytest.mark.parametrize(
        "changes",
        [
            {"postgres": replace(DOWN, since=NOW - 2)},
            {"postgres": replace(DOWN, since=NOW - 3.5, alive=True)},
            {"postgres": replace(DOWN, since=NOW - 11)},
            {"lease": lease(replace(RECORD, members=("orders-0",)))},
            {"paused": True},
        ],
        ids=["just-now", "still-running", "for-too-long", "alone", "paused"],
    )
    def test_but_not(self, changes: dict[str, Any]) -> None:
        assert decide(replace(self.GONE, **changes), SETTINGS).situation != "Returning"


def test_a_holder_whose_server_does_not_come_up_lets_another_lead() -> None:
    dead = replace(LEADER, postgres=replace(DOWN, since=NOW - 11))
    assert situation_and_actions(dead)[0] == "GivingUp"
    assert ReleaseLease() in situation_and_actions(dead)[1]


def test_but_first_a_server_that_only_hangs_is_killed() -> None:
    hangs = replace(LEADER, postgres=replace(DOWN, since=NOW - 11, alive=True))
    assert situation_and_actions(hangs) == ("GivingUp", (StopPostgres(signal.SIGKILL),))


def test_a_holder_whose_server_was_just_lost_keeps_the_lease_a_while() -> None:
    assert decide(replace(LEADER, postgres=DOWN), SETTINGS).situation == "Down"


LEAVING = replace(
    LEADER, pods=(replace(LEADER_PODS[0], deleting=True), *LEADER_PODS[1:]), postgres=DOWN
)


def test_a_deleted_primary_goes_on_until_its_server_has_stopped() -> None:
    assert decide(replace(LEAVING, postgres=WRITABLE), SETTINGS).situation == "Leading"


def test_then_it_releases_the_lease_and_keeps_the_label_that_the_next_primary_takes() -> None:
    found = replace(LEAVING, peers=peer(1), complete_peers=frozenset({"orders-1"}))
    assert situation_and_actions(found) == ("HandingOver", (ReleaseLease("orders-1"),))
    gone = replace(LEAVING, postgres=replace(DOWN, since=NOW - 1))
    assert situation_and_actions(gone) == ("Vacating", (ReleaseLease("orders-0"),))
    shrunk = replace(gone, me=ME, wanted=0)
    assert situation_and_actions(shrunk) == ("Vacating", (ReleaseLease(None),))
    shutting_down = replace(LEAVING, postgres=replace(DOWN, alive=True))
    assert situation_and_actions(shutting_down)[0] == "Down"
    released = replace(LEAVING, lease=lease(FREE, renewed_at=None))
    assert situation_and_actions(released) == ("Leaving", ())


def test_a_pod_of_its_name_that_was_deleted_before_is_not_itself() -> None:
    before = replace(LEADER_PODS[0], uid="uid-old", deleting=True)
    assert decide(replace(LEADER, pods=(before,), postgres=DOWN), SETTINGS).situation == "Down"


# ── handing over ──────────────────────────────────────────────────────────────────────────

DELETED = replace(LEAVING, postgres=WRITABLE, leaving_since=NOW - 0.2, peers=peer(1) | peer(2))


def test_a_deleted_primary_checkpoints_and_goes_on_serving_for_a_second() -> None:
    assert situation_and_actions(DELETED) == ("PreparingToStop", (Checkpoint(),))


def test_and_then_stops_to_hand_over() -> None:
    served = replace(WRITABLE, checkpointed_at=NOW - 0.5)
    ready = replace(DELETED, leaving_since=NOW - 1, postgres=served)
    situation, actions = situation_and_actions(ready)
    assert (situation, actions[-1]) == ("Stopping", StopPostgres(signal.SIGINT))


def test_a_shutdown_that_hangs_is_forced() -> None:
    hanging = replace(DOWN, since=NOW - 4, alive=True, has_written=True, checkpointed_at=NOW - 5)
    stuck = replace(DELETED, leaving_since=NOW - 5, postgres=hanging)
    assert decide(stuck, SETTINGS).actions[-1] == StopPostgres(signal.SIGQUIT)


def test_without_a_successor_a_deleted_primary_goes_on_until_it_is_stopped() -> None:
    assert decide(replace(DELETED, peers={}), SETTINGS).situation == "Leading"
    behind_api = peer(1, reaches_api=False) | peer(2, well=False)
    assert decide(replace(DELETED, peers=behind_api), SETTINGS).situation == "Leading"


def test_a_primary_that_crashed_hands_over_at_once_to_a_member_that_has_everything() -> None:
    crashed = replace(LEADER, postgres=DOWN, peers=peer(1, position=4900) | peer(2))
    complete = replace(crashed, complete_peers=frozenset({"orders-2"}))
    assert situation_and_actions(complete) == ("HandingOver", (ReleaseLease("orders-2"),))


def test_but_waits_for_its_restart_where_commits_would_be_lost() -> None:
    crashed = replace(LEADER, postgres=DOWN, peers=peer(1, position=4900))
    assert situation_and_actions(crashed) == ("Down", ())


@pytest.mark.parametrize(
    ("voters", "copies", "heir"),
    [
        (("orders-0", "orders-1"), 2, "orders-1"),
        (("orders-0", "orders-1", "orders-2"), 3, "orders-2"),
        # Of three, two have every commit: the one that is further ahead of the other two.
        (("orders-0", "orders-1", "orders-2"), 2, "orders-2"),
        (("orders-0",), 1, None),
    ],
)
def test_where_commits_waited_for_standbys_one_that_they_waited_for_has_enough(
    voters: tuple[str, ...], copies: int, heir: str | None
) -> None:
    promised = replace(RECORD, voters=voters, copies=copies)
    crashed = replace(
        LEADER,
        lease=lease(promised),
        postgres=DOWN,
        peers=peer(1, position=4800) | peer(2, position=4900),
    )
    released = (ReleaseLease(heir),) if heir else ()
    settings = replace(SETTINGS, durability="sync")
    assert situation_and_actions(crashed, settings)[1] == released


def test_what_a_dead_postmaster_left_running_is_killed_first() -> None:
    orphaned = replace(DOWN, alive=True, orphaned=True)
    crashed = replace(LEADER, postgres=orphaned, peers=peer(1), complete_peers=frozenset(peer(1)))
    assert situation_and_actions(crashed) == ("Orphaned", (StopPostgres(signal.SIGKILL),))


def test_in_a_rolling_update_a_pod_leads_that_has_been_rolled() -> None:
    def rolled(*names: str) -> tuple[Pod, ...]:
        return tuple(
            replace(pod, revision="new" if pod.name in names else "old") for pod in LEADER_PODS
        )

    crashed = replace(
        LEADER,
        postgres=DOWN,
        peers=peer(1) | peer(2),
        complete_peers=frozenset({"orders-1", "orders-2"}),
    )
    last = replace(crashed, pods=rolled("orders-2"))
    assert decide(last, SETTINGS).actions == (ReleaseLease("orders-2"),)
    first = replace(crashed, pods=rolled())
    assert decide(first, SETTINGS).actions == (ReleaseLease("orders-1"),)


def test_a_primary_on_which_nobody_new_can_write_is_stopped_harder_and_harder() -> None:
    for seconds, sent in ((3.5, signal.SIGINT), (4.5, signal.SIGQUIT), (5.5, signal.SIGKILL)):
        hung = replace(WRITABLE, unwell_since=NOW - seconds)
        unwell = replace(LEADER, postgres=hung, peers=peer(1))
        assert decide(unwell, SETTINGS).actions[-1] == StopPostgres(sent)
    assert decide(replace(unwell, peers={}), SETTINGS).situation == "Leading"


def test_the_heir_takes_the_lease_without_asking_anybody() -> None:
    left = replace(FREE, heir="orders-0")
    heir = replace(REPLICA, lease=lease(left, renewed_at=None), pods=LEADER_PODS)
    assert situation_and_actions(heir) == (
        "Succeeding",
        (TakeLease(expired=False), Promote(1)),
    )
    assert not needs_peers(heir, SETTINGS)


@pytest.mark.parametrize(
    ("ago", "situation"), [(1, "WaitingForHeir"), (3.5, "YieldingToPeer"), (9, "TakingLease")]
)
def test_another_than_the_heir_waits_a_while(ago: float, situation: str) -> None:
    left = replace(FREE, heir="orders-2")
    other = replace(
        REPLICA,
        lease=lease(left, renewed_at=None, changed_at=NOW - ago),
        peers=peer(2, position=5100),
    )
    assert decide(other, SETTINGS).situation == situation


# ── switchover and pause ──────────────────────────────────────────────────────────────────


def wished(name: str, observation: Observation = LEADER, **changes: Any) -> Observation:
    return replace(observation, lease=lease(replace(RECORD, switchover_to=name)), **changes)


def test_a_wished_switchover_is_recorded_and_begun() -> None:
    situation, actions = situation_and_actions(wished("orders-2"))
    assert situation == "AcceptingSwitchover"
    renewal = actions[0]
    assert isinstance(renewal, RenewLease)
    assert (renewal.heir, renewal.switchover_to) == ("orders-2", None)


def test_it_stops_postgresql_after_a_checkpoint() -> None:
    accepted = replace(LEADER, lease=lease(replace(RECORD, heir="orders-2")), peers=peer(2))
    assert situation_and_actions(accepted) == ("PreparingToStop", (Checkpoint(),))
    done = replace(accepted, postgres=replace(WRITABLE, checkpointed_at=NOW - 0.1))
    assert situation_and_actions(done) == ("Stopping", (StopPostgres(signal.SIGINT),))


@pytest.mark.parametrize(
    ("observation", "why"),
    [
        (wished("orders-7"), "there is no such pod in this set; there are: orders-1, orders-2"),
        (wished("orders-0"), "it leads already"),
        (wished("orders-1", paused=True), "the set is paused"),
        (
            wished("orders-1", postgres=replace(WRITABLE, followers=followers(2))),
            "it does not stream from the primary",
        ),
        (
            wished("orders-1", postgres=replace(WRITABLE, position=2**30)),
            f"it lags {2**30 - 5000} bytes behind, more than max-lag",
        ),
        (
            replace(
                LEADER,
                lease=lease(
                    replace(
                        RECORD,
                        switchover_to="orders-1",
                        voters=("orders-0", "orders-2"),
                        copies=2,
                    )
                ),
            ),
            "it is not in sync",
        ),
    ],
)
def test_a_wish_that_cannot_be_granted_is_cleared_and_says_why(
    observation: Observation, why: str
) -> None:
    situation, actions = situation_and_actions(observation)
    assert situation == "RefusingSwitchover"
    renewal = actions[0]
    assert isinstance(renewal, RenewLease)
    assert (renewal.heir, renewal.switchover_to) == (None, None)
    refusal = actions[1]
    assert isinstance(refusal, Refuse)
    assert refusal.sentence.endswith(why)


def test_after_a_failed_switchover_the_old_primary_leads() -> None:
    back = replace(
        LEADER,
        lease=lease(replace(RECORD, heir="orders-2")),
        postgres=replace(STREAMING, streaming=False),
    )
    situation, actions = situation_and_actions(back)
    assert (situation, [type(action) for action in actions]) == (
        "SwitchoverFailed",
        [RenewLease, Refuse],
    )


def test_nobody_takes_over_while_the_set_is_paused_but_the_last_primary_may_return() -> None:
    free = replace(REPLICA, lease=lease(FREE, renewed_at=None), paused=True)
    assert decide(free, SETTINGS).situation == "TakingLease"
    other = replace(free, me=Identity("orders-1", "uid-1"))
    assert decide(other, SETTINGS).situation == "Paused"


def test_a_paused_primary_hands_nothing_over() -> None:
    assert decide(replace(DELETED, paused=True), SETTINGS).situation == "Leading"
    crashed = replace(
        LEADER, postgres=DOWN, peers=peer(1), complete_peers=frozenset({"orders-1"}), paused=True
    )
    assert decide(crashed, SETTINGS).situation == "Down"


# ── the API server is away ────────────────────────────────────────────────────────────────

UNANSWERED = replace(
    LEADER,
    lease=lease(RECORD, renewed_at=NOW - 3, changed_at=NOW - 3),
    renewal_failed_at=NOW - 0.1,
)


def test_a_holder_that_cannot_renew_asks_the_members_before_it_tries_again() -> None:
    situation, actions = situation_and_actions(UNANSWERED)
    assert (situation, actions[0]) == ("Leading", AskToStay(("orders-1", "orders-2")))
    assert isinstance(actions[1], RenewLease)


def test_it_asks_also_whom_an_unanswered_renewal_may_have_recorded() -> None:
    view = UNANSWERED.lease
    assert view is not None
    perhaps = replace(UNANSWERED, lease=replace(view, perhaps_members=("orders-3",)))
    assert AskToStay(("orders-1", "orders-2", "orders-3")) in decide(perhaps, SETTINGS).actions


def test_while_all_members_let_it_a_holder_goes_on() -> None:
    long_ago = lease(RECORD, renewed_at=NOW - 60, changed_at=NOW - 60)
    excused = replace(UNANSWERED, lease=replace(long_ago, excused_at=NOW - 2))
    assert decide(excused, SETTINGS).situation == "Leading"
    refused = replace(UNANSWERED, lease=replace(long_ago, excused_at=NOW - 7))
    assert decide(refused, SETTINGS).situation == "Fencing"


def test_a_lost_primary_loses_its_label_a_second_before_anybody_can_promote() -> None:
    late = replace(REPLICA, lease=lease(OTHERS, renewed_at=None, changed_at=NOW - 9.1))
    assert decide(late, SETTINGS).actions == (SetRole("orders-1", "uid-1", None),)
    promised = replace(late, promised_until=NOW + 1)
    assert decide(promised, SETTINGS).actions == ()


def test_who_has_promised_does_not_take_the_lease() -> None:
    expired = replace(REPLICA, lease=lease(OTHERS, renewed_at=None, changed_at=NOW - 60))
    assert decide(expired, SETTINGS).situation == "TakingLease"
    promised = replace(expired, promised_until=NOW + 1)
    assert decide(promised, SETTINGS).situation == "Following"


CUT_OFF = replace(
    LEADER,
    lease=lease(RECORD, renewed_at=NOW - 2.5, changed_at=NOW - 2.5),
    postgres=replace(WRITABLE, followers_heard_at=NOW - 2.1),
    renewal_failed_at=NOW - 0.1,
    question_failed_at=NOW - 0.1,
)


def test_who_hears_from_nobody_at_all_stops_at_once() -> None:
    situation, actions = situation_and_actions(CUT_OFF)
    assert (situation, actions[0]) == ("Isolated", StopPostgres(signal.SIGINT))


@pytest.mark.parametrize(
    "observation",
    [
        replace(CUT_OFF, question_failed_at=None),
        replace(CUT_OFF, renewal_failed_at=None),
        replace(CUT_OFF, postgres=replace(WRITABLE, followers_heard_at=NOW - 1.5)),
        # The members were lost long before: they are away, and not this one.
        replace(CUT_OFF, postgres=replace(WRITABLE, followers_heard_at=NOW - 60)),
    ],
)
def test_but_not_who_hears_from_somebody_or_lost_the_members_before(
    observation: Observation,
) -> None:
    assert decide(observation, SETTINGS).situation == "Leading"


def test_an_isolated_holder_does_not_promote_what_it_has_stopped() -> None:
    restarted = replace(CUT_OFF, postgres=replace(STREAMING, streaming=False))
    isolated = replace(restarted, members_heard_at=NOW - 2.5)
    assert decide(isolated, SETTINGS).situation == "Resuming"


def test_a_member_that_cannot_reach_the_api_server_is_not_yielded_to() -> None:
    free = replace(REPLICA, lease=lease(FREE, renewed_at=None))
    ahead = replace(free, peers=peer(1, position=5100, reaches_api=False))
    assert decide(ahead, SETTINGS).situation == "TakingLease"


# ── what commits wait for ─────────────────────────────────────────────────────────────────

SYNC = replace(SETTINGS, durability="sync")
QUORUM = replace(SETTINGS, durability="quorum")


def promising(*ordinals: int, copies: int) -> LeaseRecord:
    return replace(RECORD, voters=tuple(f"orders-{n}" for n in ordinals), copies=copies)


def waiting(*ordinals: int, number: int | None = None, since: int | None = 4000) -> PostgresView:
    names = tuple(f"orders-{n}" for n in ordinals)
    count = len(names) if number is None else number
    return replace(WRITABLE, waits_for=names, waits_for_number=count, waits_from=since)


def test_sync_begins_with_the_primary_alone() -> None:
    actions = decide(LEADER, SYNC).actions
    assert isinstance(actions[0], RenewLease)
    assert (actions[0].voters, actions[0].copies) == (("orders-0",), 1)


def test_then_commits_wait_for_who_streams_before_that_is_on_record() -> None:
    alone = replace(LEADER, lease=lease(promising(0, copies=1)))
    assert decide(alone, SYNC).actions == (SetSynchronous(("orders-1", "orders-2"), 2),)
    early = replace(alone, postgres=waiting(1, 2, since=None))
    assert decide(early, SYNC).actions == ()
    behind = replace(alone, postgres=waiting(1, 2, since=6000))
    assert decide(behind, SYNC).actions == ()
    settled = replace(alone, postgres=waiting(1, 2))
    actions = decide(settled, SYNC).actions
    assert isinstance(actions[0], RenewLease)
    assert (actions[0].voters, actions[0].copies) == (("orders-0", "orders-1", "orders-2"), 3)


def test_a_standby_that_is_lost_is_off_the_record_before_commits_stop_waiting_for_it() -> None:
    lost = replace(
        LEADER,
        lease=lease(promising(0, 1, 2, copies=3)),
        postgres=replace(waiting(1, 2), followers=followers(1)),
    )
    renewal, setting = decide(lost, SYNC).actions[:2]
    assert isinstance(renewal, RenewLease)
    assert (renewal.voters, renewal.copies) == (("orders-0", "orders-1"), 2)
    assert setting == SetSynchronous(("orders-1",), 1)


def test_sync_strict_keeps_waiting_for_the_last_one() -> None:
    lost = replace(
        LEADER,
        lease=lease(promising(0, 1, copies=2)),
        postgres=replace(waiting(1), followers=()),
    )
    strict = replace(SETTINGS, durability="sync-strict")
    assert decide(lost, strict).actions == ()
    renewal, setting = decide(lost, SYNC).actions[:2]
    assert isinstance(renewal, RenewLease)
    assert renewal.voters == ("orders-0",)
    assert setting == SetSynchronous((), 0)


def test_sync_strict_waits_for_anybody_from_the_beginning() -> None:
    strict = replace(SETTINGS, durability="sync-strict")
    alone = replace(
        LEADER, lease=lease(promising(0, copies=1)), postgres=replace(WRITABLE, followers=())
    )
    assert SetSynchronous(("orders-1", "orders-2"), 1) in decide(alone, strict).actions


def test_quorum_waits_for_most_of_the_members_whether_they_are_there_or_not() -> None:
    set_up = replace(
        LEADER,
        lease=lease(promising(0, 1, 2, copies=2)),
        postgres=replace(waiting(1, 2, number=1), followers=followers(2)),
    )
    assert decide(set_up, QUORUM).actions == ()


def test_who_is_not_in_sync_does_not_lead() -> None:
    record = replace(promising(1, 2, copies=2), holder="")
    free = replace(REPLICA, lease=lease(record, renewed_at=None))
    assert decide(free, SYNC).situation == "NotEligible"


@pytest.mark.parametrize(
    ("peers", "situation"),
    [
        ({}, "MissingCommits"),
        (peer(2, position=4000), "TakingLease"),
        (peer(2, position=6000), "YieldingToPeer"),
        (peer(2, position=6000, reaches_api=False), "MissingCommits"),
        # One of three may be ahead by what was never acknowledged.
        (peer(1, position=9000, reaches_api=False) | peer(2, position=4000), "TakingLease"),
    ],
)
def test_with_quorum_as_many_must_have_answered_as_share_a_member_with_every_commit(
    peers: dict[str, Peer], situation: str
) -> None:
    record = replace(promising(0, 1, 2, copies=2), holder="")
    free = replace(REPLICA, lease=lease(record, renewed_at=None), peers=peers)
    assert decide(free, QUORUM).situation == situation


def test_before_a_majority_is_counted_its_members_stop_receiving_from_the_lost_primary() -> None:
    """It may be frozen, and go on acknowledging with them when it wakes."""
    ran_out = lease(
        replace(promising(0, 1, 2, copies=2), holder="orders-1_uid-1"),
        renewed_at=None,
        changed_at=NOW - 11,
    )
    expired = replace(REPLICA, lease=ran_out, peers=peer(2, position=4000))
    assert decide(expired, QUORUM).actions == (Detach(),)
    detached = replace(expired, postgres=replace(STREAMING, streaming=False, detached=True))
    assert decide(detached, QUORUM).situation == "MissingCommits"
    both = replace(detached, peers=peer(2, position=4000, detached=True))
    assert decide(both, QUORUM).situation == "TakingLease"
    led = replace(
        detached, lease=lease(replace(promising(0, 1, 2, copies=2), holder="orders-1_uid-1"))
    )
    assert Attach("10.0.0.1") in decide(led, QUORUM).actions


def test_with_async_nobody_leads_who_is_further_behind_than_the_lag_limit() -> None:
    record = replace(FREE, position=2**30)
    free = replace(REPLICA, lease=lease(record, renewed_at=None))
    assert decide(free, SETTINGS).situation == "TooFarBehind"


def test_nothing_is_promoted_that_would_not_keep_the_promise() -> None:
    record = replace(promising(0, 1, 2, copies=3), history=(Leadership(1, "orders-2", ""),))
    taken = replace(LEADER, lease=lease(record), postgres=STREAMING)
    renewal, setting = decide(taken, SYNC).actions
    assert isinstance(renewal, RenewLease)
    assert renewal.voters == ("orders-0", "orders-1")
    assert setting == SetSynchronous(("orders-1",), 1)
    kept = replace(STREAMING, waits_for=("orders-1",), waits_for_number=1)
    recorded = replace(record, voters=("orders-0", "orders-1"), copies=2)
    early = replace(taken, lease=lease(recorded), postgres=kept)
    assert situation_and_actions(early, SYNC) == ("Promoting", ())
    ready = replace(early, postgres=replace(kept, waits_from=4000))
    assert situation_and_actions(ready, SYNC) == ("Promoting", (Promote(1),))


@pytest.mark.parametrize(
    ("durability", "copies", "names", "number"),
    [
        ("sync", 3, ("orders-2",), 1),
        ("sync-strict", 3, ("orders-2",), 1),
        ("quorum", 2, ("orders-1", "orders-2"), 1),
    ],
)
def test_a_replica_is_set_to_wait_long_before_it_leads(
    durability: str, copies: int, names: tuple[str, ...], number: int
) -> None:
    record = replace(promising(0, 1, 2, copies=copies), holder="orders-1_uid-1")
    replica = replace(REPLICA, lease=lease(record, renewed_at=None))
    settings = replace(SETTINGS, durability=durability)
    assert decide(replica, settings).actions == (SetSynchronous(names, number),)


# ── what the simulator found ──────────────────────────────────────────────────────────────


def test_standby_signal_is_put_back_before_anything_that_may_fail() -> None:
    """In any situation of a primary, and where it died just after its promotion."""
    for observation in (wished("orders-7"), wished("orders-1"), LEADER, DELETED):
        unsafe = replace(observation, postgres=replace(observation.postgres, standby_signal=False))
        assert decide(unsafe, SETTINGS).actions[0] == PutStandbySignal()
    died = replace(REPLICA, postgres=replace(DOWN, standby_signal=False))
    assert decide(died, SETTINGS).actions[0] == PutStandbySignal()


def test_a_restarted_sidecar_does_not_stop_its_primary_before_it_has_heard_the_api_server() -> None:
    blind = replace(LEADER, started_at=NOW - 0.5, lease=None, pods=None)
    assert decide(blind, SETTINGS).situation == "WaitingForApi"


def test_an_heir_has_nothing_before_the_holder_has_released() -> None:
    record = replace(promising(0, 1, 2, copies=2), holder="orders-1_uid-1", heir="orders-0")
    expired = lease(record, renewed_at=None, changed_at=NOW - 11)
    alone = replace(
        REPLICA, lease=expired, postgres=replace(STREAMING, streaming=False, detached=True)
    )
    assert decide(alone, QUORUM).situation == "MissingCommits"


def test_a_lease_that_was_deleted_counts_as_held_for_a_ttl_but_for_who_held_it() -> None:
    vanished = replace(REPLICA, lease=lease(None, renewed_at=None), peers=peer(1) | peer(2))
    assert decide(vanished, SETTINGS).actions == ()
    later = replace(vanished, lease=lease(None, renewed_at=None, changed_at=NOW - 11), wanted=3)
    assert decide(later, SETTINGS).situation == "TakingLease"
    assert decide(replace(LEADER, lease=lease(None)), SETTINGS).situation == "Reclaiming"


def test_nobody_leads_while_a_member_says_that_it_is_writable() -> None:
    free = replace(REPLICA, lease=lease(FREE, renewed_at=None))
    writable = replace(free, peers=peer(1, position=1, writable=True, reaches_api=False))
    assert decide(writable, SETTINGS).situation == "YieldingToPeer"


def test_a_deleted_primary_that_has_more_than_anybody_is_waited_for() -> None:
    left = replace(FREE, heir="orders-1", history=(Leadership(1, "orders-1", ""),))
    waiting_for = replace(REPLICA, lease=lease(left, renewed_at=None, changed_at=NOW - 20))
    assert decide(waiting_for, SETTINGS).situation == "WaitingForHeir"
    assert decide(replace(waiting_for, now=NOW + 11), SETTINGS).situation == "TakingLease"


# ── rejoining ─────────────────────────────────────────────────────────────────────────────

NEWER = replace(OTHERS, timeline=2)
RETURNED = BootstrapView(
    data=DataState.PRESENT,
    running=True,
    system_identifier="111",
    timeline=1,
    position=5000,
    can_rewind=True,
)


@pytest.mark.parametrize(
    ("bootstrap", "actions"),
    [
        (RETURNED, (Rewind("111"),)),
        (replace(RETURNED, timeline=2), (StartPostgres(),)),
        (replace(RETURNED, can_rewind=False), (StartPostgres(),)),
        (replace(RETURNED, rewound=True), (StartPostgres(),)),
        (replace(RETURNED, data=DataState.BROKEN), (Rewind("111"),)),
        (
            replace(RETURNED, data=DataState.BROKEN, rewind_failed=True),
            (Reclone("111"),),
        ),
        # pg_rewind has found a divergence that it cannot mend.
        (replace(RETURNED, rewind_failed=True), (Reclone("111"),)),
        (replace(RETURNED, timeline=2, rewind_failed=True), (StartPostgres(),)),
    ],
)
def test_a_directory_that_may_have_diverged_is_rewound_or_cloned_anew_before_it_starts(
    bootstrap: BootstrapView, actions: tuple[Action, ...]
) -> None:
    returned = replace(
        REPLICA,
        lease=lease(NEWER, renewed_at=None),
        bootstrap=bootstrap,
        pods=pods(None),
        postgres=DOWN,
    )
    assert decide(returned, SETTINGS).actions == actions


def test_a_broken_directory_is_never_started() -> None:
    broken = replace(RETURNED, data=DataState.BROKEN)
    for record in (FREE, None, replace(RECORD, system_identifier=None)):
        alone = replace(REPLICA, lease=lease(record, renewed_at=None), bootstrap=broken)
        assert StartPostgres() not in decide(alone, SETTINGS).actions


DIVERGED = replace(
    REPLICA,
    lease=lease(NEWER, renewed_at=None),
    postgres=replace(STREAMING, streaming=False),
    fork=Fork(1, 4990),
)


def test_a_diverged_member_deletes_its_pod_to_get_to_bootstrap() -> None:
    situation, actions = situation_and_actions(DIVERGED)
    assert (situation, actions[-1]) == ("Diverged", DeleteOwnPod(reclone=False))
    cannot = replace(DIVERGED, bootstrap=replace(RUNNING, can_rewind=False))
    assert decide(cannot, SETTINGS).actions[-1] == DeleteOwnPod(reclone=True)


def test_one_that_is_merely_behind_does_not() -> None:
    behind = replace(DIVERGED, fork=Fork(1, 5000))
    assert decide(behind, SETTINGS).situation == "NotFollowing"


def test_a_member_whose_wal_is_gone_from_the_primary_is_cloned_anew() -> None:
    left_behind = replace(
        DIVERGED, fork=None, peers=peer(1, timeline=2, writable=True, oldest_wal=6000)
    )
    situation, actions = situation_and_actions(left_behind)
    assert (situation, actions[-1]) == ("LeftBehind", DeleteOwnPod(reclone=True))


class TestADatabaseThatHasVanishedUnderItsServer:
    """The image's entrypoint would make an empty one there, writable and labelled primary."""

    VANISHED = replace(RUNNING, vanished=True)
    SIGNAL_GONE = replace(WRITABLE, standby_signal=False)
    KILLED = StopPostgres(signal.SIGKILL)
    GONE = DeleteOwnPod(reclone=True)

    def test_a_primary_is_killed_leaves_the_lease_and_gets_to_bootstrap(self) -> None:
        seen = replace(LEADER, bootstrap=self.VANISHED, postgres=self.SIGNAL_GONE)
        stripped = SetRole("orders-0", "uid-0", None)
        assert situation_and_actions(seen) == (
            "DataVanished",
            (self.KILLED, stripped, ReleaseLease(), self.GONE),
        )

    def test_a_replica_is_killed_and_gets_to_bootstrap(self) -> None:
        seen = replace(REPLICA, bootstrap=self.VANISHED, postgres=DOWN)
        actions = [it for it in decide(seen, SETTINGS).actions if not isinstance(it, SetRole)]
        assert actions == [self.KILLED, self.GONE]

    def test_on_a_paused_set_nothing_is_done_but_that(self) -> None:
        seen = replace(LEADER, bootstrap=self.VANISHED, paused=True)
        assert decide(seen, SETTINGS).actions == (self.KILLED,)


class TestASetThatWasOptedOut:
    """Its pods become plain ones, of which the last primary alone is to be writable."""

    ALONE = replace(RECORD, members=("orders-0",))
    LEADING = replace(LEADER, opted_out=True)
    GONE = replace(
        LEADING,
        lease=lease(ALONE),
        pods=(replace(LEADER_PODS[0], deleting=True), *LEADER_PODS[1:]),
        leaving_since=NOW - 1.5,
        postgres=DOWN,
    )

    def test_the_primary_first_sees_to_it_that_nobody_else_may_lead(self) -> None:
        (renewal,) = decide(self.LEADING, SETTINGS).actions
        assert isinstance(renewal, RenewLease)
        assert renewal.members == ("orders-0",)

    def test_it_promises_nothing_of_its_commits_any_more(self) -> None:
        voters = ("orders-0", "orders-1", "orders-2")
        record = replace(RECORD, voters=voters, copies=3)
        synchronous = replace(WRITABLE, waits_for=voters[1:], waits_for_number=2, waits_from=1)
        seen = replace(self.LEADING, lease=lease(record), postgres=synchronous)
        renewal, waiting = decide(seen, replace(SETTINGS, durability="sync")).actions
        assert isinstance(renewal, RenewLease)
        assert (renewal.voters, renewal.copies) == ((), 0)
        assert waiting == SetSynchronous((), 0)

    def test_its_deletion_hands_nothing_over(self) -> None:
        leaving = replace(self.GONE, postgres=WRITABLE, peers=peer(1))
        assert decide(leaving, SETTINGS).situation == "Leading"

    def test_stopped_it_is_left_to_start_writable_without_us(self) -> None:
        decision = decide(self.GONE, SETTINGS)
        assert (decision.situation, decision.actions) == ("OptedOut", (RemoveStandbySignal(),))
        removed = replace(self.GONE, postgres=replace(DOWN, standby_signal=False))
        assert PutStandbySignal() not in decide(removed, SETTINGS).actions

    @pytest.mark.parametrize(
        "changes",
        [
            {"lease": lease(RECORD)},
            {"lease": lease(replace(OTHERS, members=("orders-0",)))},
            {"opted_out": False},
            {"postgres": replace(DOWN, alive=True)},
            {"pods": LEADER_PODS},
        ],
        ids=["others-may-lead", "another-holds", "not-opted-out", "not-stopped", "not-deleted"],
    )
    def test_and_only_then(self, changes: dict[str, Any]) -> None:
        assert RemoveStandbySignal() not in decide(replace(self.GONE, **changes), SETTINGS).actions

    def test_nobody_takes_over(self) -> None:
        record = replace(FREE, history=(Leadership(1, "orders-1", ""),))
        free = replace(REPLICA, lease=lease(record, renewed_at=None), opted_out=True)
        assert decide(free, SETTINGS).situation == "Paused"


UNRECORDED = replace(RUNNING, promoting_from=1)


def test_a_promotion_is_forgotten_once_its_timeline_is_on_record() -> None:
    history = (Leadership(1, "orders-1", ""), Leadership(2, "orders-0", ""))
    recorded = replace(RECORD, timeline=2, history=history)
    led = replace(LEADER, lease=lease(recorded), postgres=replace(WRITABLE, timeline=2))
    assert decide(replace(led, bootstrap=UNRECORDED), SETTINGS).actions == (ForgetPromotion(),)


def test_a_promotion_that_did_not_happen_is_forgotten_by_who_streams_on_the_old_timeline() -> None:
    replica = replace(REPLICA, bootstrap=UNRECORDED)
    assert decide(replica, SETTINGS).actions == (ForgetPromotion(),)


def test_who_may_have_begun_a_timeline_that_another_has_begun_too_is_cloned_anew() -> None:
    """Two timelines of one number: neither PostgreSQL nor pg_rewind tells them apart."""
    replica = replace(
        REPLICA,
        lease=lease(NEWER, renewed_at=None),
        postgres=replace(STREAMING, timeline=2),
        bootstrap=UNRECORDED,
    )
    situation, actions = situation_and_actions(replica)
    assert (situation, actions[-1]) == ("OnItsOwnTimeline", DeleteOwnPod(reclone=True))
    returned = replace(replica, bootstrap=replace(RETURNED, promoting_from=1), postgres=DOWN)
    assert Reclone("111") in decide(returned, SETTINGS).actions
    free = replace(replica, lease=lease(replace(NEWER, holder=""), renewed_at=None))
    assert decide(free, SETTINGS).situation == "NotEligible"


def test_but_it_may_lead_where_nobody_else_has() -> None:
    free = replace(
        REPLICA,
        lease=lease(FREE, renewed_at=None),
        postgres=replace(STREAMING, timeline=2),
        bootstrap=UNRECORDED,
    )
    assert decide(free, SETTINGS).situation == "TakingLease"


# ── slots ─────────────────────────────────────────────────────────────────────────────────


def test_a_primary_keeps_a_slot_for_each_wanted_member_and_a_replica_none() -> None:
    scaled = replace(LEADER, wanted=4)
    assert KeepSlots(("orders-1", "orders-2", "orders-3")) in decide(scaled, SETTINGS).actions
    shrunk = replace(LEADER, wanted=2)
    assert KeepSlots(("orders-1",)) in decide(shrunk, SETTINGS).actions
    replica = replace(REPLICA, postgres=replace(STREAMING, slots=("pgset_orders_1",)))
    assert KeepSlots(()) in decide(replica, SETTINGS).actions


# ── when to look again ────────────────────────────────────────────────────────────────────


def test_a_member_looks_when_the_lease_runs_out_and_not_before() -> None:
    late = replace(REPLICA, lease=lease(OTHERS, renewed_at=None, changed_at=NOW - 9.75))
    assert seconds_to_look(late, SETTINGS) == pytest.approx(0.25)
    assert seconds_to_look(REPLICA, SETTINGS) == 2.0
    wary = replace(REPLICA, lease=lease(OTHERS, renewed_at=None, heard_at=NOW - 2.5))
    assert seconds_to_look(wary, SETTINGS) == 1.0


def test_the_holder_looks_when_the_next_renewal_is_due() -> None:
    soon = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - 1.5))
    assert seconds_to_look(soon, SETTINGS) == 0.5
    just_now = replace(LEADER, lease=lease(RECORD, renewed_at=NOW))
    assert seconds_to_look(just_now, SETTINGS) == 2.0
    not_made = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - 2.0))
    assert seconds_to_look(not_made, SETTINGS) == pytest.approx(0.2)


def test_the_holder_looks_more_often_while_new_connections_cannot_write() -> None:
    unwell = replace(LEADER, postgres=replace(WRITABLE, unwell_since=NOW - 1))
    assert seconds_to_look(unwell, SETTINGS) == pytest.approx(0.2)
    assert seconds_to_look(replace(LEADER, postgres=DOWN), SETTINGS) == 0.03
    assert seconds_to_look(replace(REPLICA, postgres=DOWN), SETTINGS) == 0.1


def test_a_holder_in_recovery_has_a_right_that_ends() -> None:
    taken = replace(LEADER, postgres=STREAMING, lease=lease(RECORD, renewed_at=NOW - 4))
    assert seconds_of_right(taken, SETTINGS) == pytest.approx(3.0)
    assert seconds_of_right(REPLICA, SETTINGS) is None


# ── whatever is observed ──────────────────────────────────────────────────────────────────

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
