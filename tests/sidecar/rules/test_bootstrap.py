"""Rules for a data directory before PostgreSQL starts on it."""

import signal
from dataclasses import replace
from typing import Any

import pytest

from sidecar.action import (
    Action,
    Attention,
    Clone,
    DeleteOwnPod,
    LeaveAlone,
    Reclone,
    ReleaseLease,
    RenewLease,
    Rewind,
    RunInitdb,
    SetRole,
    StartPostgres,
    StopPostgres,
    TakeLease,
)
from sidecar.decide import decide
from sidecar.observation import (
    BootstrapView,
    DataState,
    Identity,
    LeaseRecord,
    LeaseView,
    Peer,
    Pod,
)
from tests.sidecar.rules.observations import (
    ADOPTED,
    DOWN,
    EMPTY,
    FIRST_POD,
    FREE,
    LEADER,
    ME,
    NEWER,
    NOW,
    OTHERS,
    RECORD,
    REPLICA,
    RETURNED,
    RUNNING,
    SETTINGS,
    VACANT,
    WRITABLE,
    lease,
    peer,
    pods,
    situation_and_actions,
)


def test_the_first_pod_of_a_new_set_takes_the_lease_before_initdb() -> None:
    assert situation_and_actions(FIRST_POD) == (
        "TakingToInitialize",
        (TakeLease(expired=False),),
    )


def test_the_first_pod_runs_initdb_once_it_holds_the_lease() -> None:
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


@pytest.mark.parametrize(
    ("bootstrap", "order"),
    [
        (EMPTY, Clone("111")),
        (RETURNED, Rewind("111")),
        (replace(RETURNED, rewind_failed=True), Reclone("111")),
    ],
    ids=["clone", "rewind", "reclone"],
)
def test_a_copy_does_not_wait_for_an_answer_to_a_label(
    bootstrap: BootstrapView, order: Action
) -> None:
    """Where nobody answers to a change of a label, what comes after it is not done."""
    new = replace(REPLICA, lease=lease(NEWER, renewed_at=None), bootstrap=bootstrap, postgres=DOWN)
    assert decide(new, SETTINGS).actions == (order, SetRole("orders-0", "uid-0", None))


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


class TestASetThatIsMadeAnewUnderTheNameOfOneWhoseLeaseIsThere:
    """Deleted with its volumes, and applied again: the Lease outlives both."""

    BEFORE = replace(RECORD, holder="orders-0_uid-before")
    NOBODY = peer(1, has_data=False) | peer(2, has_data=False)
    NEW = replace(
        LEADER,
        lease=lease(BEFORE, renewed_at=None, changed_at=NOW - 600),
        bootstrap=EMPTY,
        postgres=DOWN,
        pods=pods(None, None, None),
        peers=NOBODY,
    )

    @pytest.mark.parametrize(
        "changes",
        [{}, {"wanted": 1, "pods": pods(None), "peers": {}}],
        ids=["three", "one"],
    )
    def test_the_operator_is_told_which_lease_it_waits_for_and_no_initdb_runs(
        self, changes: dict[str, Any]
    ) -> None:
        decision = decide(replace(self.NEW, **changes), SETTINGS)
        assert (decision.situation, decision.actions) == ("NobodyHasData", ())
        assert decision.attention is Attention.WARNING
        assert "Lease pgset-orders remembers a database" in decision.sentence
        assert "system identifier 111" in decision.sentence
        assert "delete Lease pgset-orders" in decision.sentence

    @pytest.mark.parametrize(
        "changes",
        [
            {"peers": NOBODY | peer(2)},
            {"peers": peer(1, has_data=False)},
            {"peers": NOBODY | peer(2, has_data=None)},
            {"wanted": None},
            {"wanted": 4},
        ],
        ids=["somebody has", "one is silent", "one does not know", "unknown", "more to come"],
    )
    def test_nobody_is_told_so_before_each_that_is_wanted_has_said_that_it_has_none(
        self, changes: dict[str, Any]
    ) -> None:
        assert decide(replace(self.NEW, **changes), SETTINGS).situation == "WaitingForLeader"


def test_data_of_another_set_is_refused() -> None:
    foreign = BootstrapView(data=DataState.PRESENT, running=True, system_identifier="999")
    decision = decide(replace(REPLICA, bootstrap=foreign, postgres=DOWN), SETTINGS)
    assert (decision.situation, decision.actions) == (
        "DataOfAnotherSet",
        (SetRole("orders-0", "uid-0", None),),
    )
    assert "its system identifier is 999, this set's is 111" in decision.sentence


def test_data_that_is_marked_to_be_cloned_again_is_whoevers_it_has_become() -> None:
    """The image's entrypoint makes a database where ours has disappeared; it is kept, too."""
    made = BootstrapView(
        data=DataState.BROKEN, running=True, system_identifier="999", rewind_failed=True
    )
    decision = decide(replace(REPLICA, bootstrap=made, postgres=DOWN), SETTINGS)
    assert (decision.situation, decision.actions[0]) == ("Recloning", Reclone("111"))


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


def test_existing_data_is_started_read_only_at_once_and_not_by_the_label_of_its_admission() -> None:
    found = replace(ADOPTED, bootstrap=replace(RUNNING, running=True), postgres=DOWN)
    no_role = SetRole("orders-0", "uid-0", None)
    assert situation_and_actions(found) == ("Starting", (StartPostgres(detached=True), no_role))


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


class TestAStatefulSetThatCreatesItsPodsInOrder:
    """OrderedReady: who needs a primary to copy keeps those from being created that could lead."""

    FIRST = replace(VACANT, ordered=True, pods=pods(None), postgres=DOWN)

    def test_so_it_is_where_postgresql_does_not_come_up(self) -> None:
        long_down = replace(self.FIRST, postgres=replace(DOWN, since=NOW - 90))
        decision = decide(long_down, SETTINGS)
        assert decision.situation == "DownBeforeOthersAreCreated"
        assert decision.attention is Attention.WARNING
        assert "--cascade=orphan" in decision.sentence
        assert decide(self.FIRST, SETTINGS).situation == "Down"
        others_are_there = replace(long_down, ordered=False)
        assert decide(others_are_there, SETTINGS).situation == "ReturningToReport"

    @pytest.mark.parametrize("data", [DataState.EMPTY, DataState.INTERRUPTED, DataState.BROKEN])
    def test_the_operator_is_told_the_way_out(self, data: DataState) -> None:
        bootstrap = replace(RETURNED, data=data, system_identifier=None, rewind_failed=True)
        decision = decide(replace(self.FIRST, bootstrap=bootstrap), SETTINGS)
        assert decision.situation == "KeepsOthersFromBeingCreated"
        assert decision.attention is Attention.WARNING
        assert "--cascade=orphan" in decision.sentence

    @pytest.mark.parametrize("seconds", [5.0, 40.0])
    def test_who_is_there_and_does_not_lead_in_time_is_no_way_out(self, seconds: float) -> None:
        waits = replace(
            self.FIRST,
            lease=lease(FREE, changed_at=NOW - seconds),
            pods=pods(None, "replica"),
            bootstrap=EMPTY,
            peers=peer(1),
        )
        situation = decide(waits, SETTINGS).situation
        assert situation == ("WaitingForLeader" if seconds < 30 else "KeepsOthersFromBeingCreated")

    @pytest.mark.parametrize(
        "changes",
        [{"ordered": False}, {"pods": pods(None, "replica", "replica")}],
        ids=["parallel", "all-are-there"],
    )
    def test_it_is_not_where_nobody_waits_for_this_pod(self, changes: dict[str, Any]) -> None:
        seen = replace(self.FIRST, bootstrap=EMPTY, **changes)
        assert decide(seen, SETTINGS).situation == "WaitingForLeader"

    def test_an_empty_pod_after_one_that_may_not_lead_tells_it_as_well(self) -> None:
        """orders-2 waits for orders-1, which is empty, to be ready."""
        empty = replace(
            FIRST_POD,
            me=Identity("orders-1", "uid-1"),
            ordered=True,
            pods=pods("replica", None),
            peers=peer(0),
            lease=lease(replace(FREE, voters=("orders-2",), copies=1), changed_at=NOW - 40),
        )
        assert decide(empty, SETTINGS).situation == "KeepsOthersFromBeingCreated"
        assert decide(replace(empty, ordered=False), SETTINGS).situation == "WaitingForLeader"

    def test_once_another_leads_it_is_copied(self) -> None:
        led = replace(self.FIRST, bootstrap=EMPTY, lease=lease(OTHERS, renewed_at=None))
        assert decide(led, SETTINGS).situation == "Cloning"

    def test_without_a_lease_it_looks_like_a_new_set_but_not_with_parallel(self) -> None:
        """Why the Lease belongs in backups: nobody is there yet who could tell of data."""
        lost = replace(FIRST_POD, ordered=True)
        assert decide(lost, SETTINGS).situation == "TakingToInitialize"
        parallel = replace(lost, ordered=False, pods=pods(None, None), peers=peer(1))
        assert decide(parallel, SETTINGS).situation == "WaitingForInitialization"


# ── Data that cannot become a set's ───────────────────────────────────────────────────────────

OBJECTED = replace(RUNNING, running=True, objection="the database has tablespaces")
ALONE = replace(
    ADOPTED,
    lease=lease(None, renewed_at=None, renewal_seen=False),
    bootstrap=OBJECTED,
    postgres=DOWN,
    pods=pods(None),
    wanted=1,
)
"""A set of one that has just been opted in."""


def test_data_that_cannot_become_a_sets_is_left_alone_in_a_set_of_one() -> None:
    decision = decide(ALONE, SETTINGS)
    assert decision.situation == "LeavingAlone"
    assert decision.actions[0] == LeaveAlone()
    assert "runs as if there were no pgset" in decision.sentence
    assert "the database has tablespaces" in decision.sentence


def test_data_that_bootstrap_refuses_is_left_alone_in_a_set_of_one() -> None:
    refused = replace(OBJECTED, refusal="PostgreSQL would listen on port 5433")
    assert decide(replace(ALONE, bootstrap=refused), SETTINGS).situation == "LeavingAlone"


@pytest.mark.parametrize(
    "changed",
    [
        {"wanted": 2},
        {"wanted": None},
        {"pods": pods(None, None)},
        {"lease": lease(RECORD, renewed_at=None)},
        {"bootstrap": replace(OBJECTED, objection=None)},
        {"bootstrap": replace(OBJECTED, other_writer="uid-old")},
    ],
    ids=[
        "another is wanted",
        "nobody knows how many are wanted",
        "another pod is there",
        "the set has led",
        "pgset has had it started before",
        "another pod writes there",
    ],
)
def test_nothing_is_left_alone_of_which_another_pod_may_have_a_copy(changed: Any) -> None:
    decision = decide(replace(ALONE, **changed), SETTINGS)
    assert LeaveAlone() not in decision.actions


def test_it_is_left_alone_beside_pods_that_have_said_that_they_have_no_data() -> None:
    """A set of one that was left alone, then scaled up, and whose first pod comes back."""
    scaled = replace(ALONE, wanted=2, pods=pods(None, None), peers=peer(1, has_data=False))
    assert decide(scaled, SETTINGS).situation == "LeavingAlone"
    copied = replace(scaled, peers=peer(1, has_data=True))
    assert LeaveAlone() not in decide(copied, SETTINGS).actions


LEFT = replace(
    ALONE,
    bootstrap=replace(OBJECTED, running=False, left_alone=True),
    postgres=replace(WRITABLE, standby_signal=False),
)


def test_what_is_left_alone_is_served_and_nothing_is_done_to_it() -> None:
    decision = decide(LEFT, SETTINGS)
    assert decision.situation == "LeftAlone"
    assert decision.actions == (SetRole("orders-0", "uid-0", "primary"),)
    assert (decision.fence_in, decision.probe_fails_in) == (None, None)


def test_it_stays_left_alone_whatever_becomes_of_the_set() -> None:
    vanished = replace(LEFT, bootstrap=replace(LEFT.bootstrap, vanished=True))
    led = replace(LEFT, lease=lease(replace(RECORD, holder="orders-1_uid-1")))
    for observed in (vanished, led, replace(LEFT, wanted=3)):
        decision = decide(observed, SETTINGS)
        assert decision.situation == "LeftAlone"
        assert all(isinstance(it, SetRole) for it in decision.actions)
        assert (decision.fence_in, decision.probe_fails_in) == (None, None)


@pytest.mark.parametrize(
    "view",
    [None, lease(None, renewed_at=None, renewal_seen=False), lease(RECORD, renewed_at=None)],
    ids=["the Lease was not seen yet", "there is no Lease", "it names this pod"],
)
def test_what_is_left_alone_is_looked_at_as_seldom_as_all_at_rest(view: LeaseView | None) -> None:
    for observed in (LEFT, replace(LEFT, bootstrap=replace(LEFT.bootstrap, vanished=True))):
        for server in (observed.postgres, DOWN):
            decision = decide(replace(observed, lease=view, postgres=server), SETTINGS)
            assert (decision.situation, decision.asks_peers) == ("LeftAlone", False)
            assert decision.look_in == 2.0


def test_no_label_of_it_is_changed_before_the_lease_was_seen() -> None:
    for role in ("primary", None):
        assert decide(replace(LEFT, lease=None, pods=pods(role)), SETTINGS).actions == ()


def test_left_alone_or_not_a_directory_that_another_pod_has_taken_is_written_by_nobody() -> None:
    taken = replace(LEFT, bootstrap=replace(LEFT.bootstrap, other_writer="uid-new"))
    decision = decide(taken, SETTINGS)
    assert decision.situation == "DirectoryTaken"
    assert decision.actions[:2] == (StopPostgres(signal.SIGKILL), DeleteOwnPod(reclone=False))
    assert decision.fence_in == 0
    hangs = replace(LEFT.bootstrap, silent_since=NOW - 60)
    unheard = lease(None, renewed_at=None, renewal_seen=False, heard_at=NOW - 60)
    lost = replace(LEFT, bootstrap=hangs, lease=unheard)
    assert decide(lost, SETTINGS).situation == "VolumeLost"


def test_beside_a_leader_it_has_no_role() -> None:
    led = lease(replace(RECORD, holder="orders-1_uid-1"))
    labelled = replace(LEFT, lease=led, pods=pods("primary"))
    assert decide(labelled, SETTINGS).actions == (SetRole("orders-0", "uid-0", None),)
