"""Settings that a standby's start refuses: who starts all the same, how, and who is told what."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.action import (
    Attention,
    PutStandbySignal,
    ReleaseLease,
    RemoveStandbySignal,
    RenewLease,
    StartPostgres,
    TakeLease,
)
from sidecar.decide import decide
from sidecar.observation import (
    BootstrapView,
    DataState,
    LeaseRecord,
    LeaseView,
    Observation,
    Peer,
    Pod,
)
from sidecar.postgres.refused import read_refused, with_raised
from sidecar.refused_setting import Origin, RefusedSetting
from sidecar.situation import Situation
from tests.sidecar.rules.observations import (
    DOWN,
    LEADER,
    ME,
    NOW,
    RECORD,
    RUNNING,
    SETTINGS,
    WRITABLE,
)

IN_A_FILE = RefusedSetting("max_connections", "50", "200", Origin.FILE)
AS_AN_ARGUMENT = replace(IN_A_FILE, origin=Origin.COMMAND_LINE)
MINIMAL_IN_A_FILE = RefusedSetting("wal_level", "minimal", "replica", Origin.FILE)
MINIMAL_AS_AN_ARGUMENT = replace(MINIMAL_IN_A_FILE, origin=Origin.COMMAND_LINE)
MINIMAL_DATA = replace(MINIMAL_IN_A_FILE, origin=Origin.DATA)
NO_SENDERS = RefusedSetting("max_wal_senders", "0", "10", Origin.FILE)

ONE = replace(RECORD, members=("orders-0",))
FREE = replace(ONE, holder="")
POD = Pod("orders-0", "uid-0", "10.0.0.1", None)
OTHER = Pod("orders-1", "uid-1", "10.0.0.2", None)


def waiting(*refused: RefusedSetting) -> BootstrapView:
    return BootstrapView(
        data=DataState.PRESENT,
        running=True,
        system_identifier="111",
        timeline=1,
        position=5000,
        refused=refused,
    )


def free(record: LeaseRecord | None) -> LeaseView:
    return LeaseView(record, changed_at=900.0, heard_at=NOW - 1)


ALONE = replace(
    LEADER,
    lease=free(FREE),
    wanted=1,
    pods=(POD,),
    postgres=DOWN,
    bootstrap=waiting(AS_AN_ARGUMENT),
)
HELD = replace(ALONE, lease=replace(free(ONE), renewed_at=NOW - 1))
THREE = replace(ALONE, lease=free(replace(RECORD, holder="")), wanted=3)
STARTED = replace(
    HELD,
    bootstrap=replace(RUNNING, refused=(AS_AN_ARGUMENT,), started_writable=True),
    postgres=replace(DOWN, standby_signal=False),
)


def starts(observation: Observation) -> list[StartPostgres]:
    actions = decide(observation, SETTINGS).actions
    return [action for action in actions if isinstance(action, StartPostgres)]


def test_without_such_a_setting_the_start_is_as_ever() -> None:
    assert starts(replace(ALONE, bootstrap=waiting())) == [StartPostgres()]


def test_a_member_of_several_starts_as_a_standby_with_more_than_its_files_say() -> None:
    decision = decide(replace(THREE, bootstrap=waiting(IN_A_FILE)), SETTINGS)
    assert StartPostgres((("max_connections", "200"),)) in decision.actions
    assert decision.attention is Attention.WARNING
    assert "max_connections is 200 instead of 50" in decision.sentence


def test_a_member_of_several_with_such_an_argument_is_not_started_and_says_what_to_do() -> None:
    decision = decide(THREE, SETTINGS)
    assert decision.situation == "SettingsRefused"
    assert decision.attention is Attention.WARNING
    assert "max_connections is 50 on the command line" in decision.sentence
    assert "at least 200" in decision.sentence
    assert decision.actions == ()


@pytest.mark.parametrize(
    "refused", [AS_AN_ARGUMENT, IN_A_FILE, MINIMAL_DATA, MINIMAL_AS_AN_ARGUMENT]
)
def test_an_only_member_takes_the_lease_and_then_starts_writable(refused: RefusedSetting) -> None:
    alone = replace(ALONE, bootstrap=waiting(refused))
    taking = decide(alone, SETTINGS)
    assert [type(action) for action in taking.actions] == [TakeLease]
    held = replace(HELD, bootstrap=waiting(refused))
    assert starts(held) == [StartPostgres(writable=True)]
    assert decide(held, SETTINGS).attention is Attention.WARNING


def test_what_no_set_can_run_with_is_raised_in_files_for_whichever_start() -> None:
    both = (MINIMAL_IN_A_FILE, NO_SENDERS)
    raised = (("wal_level", "replica"), ("max_wal_senders", "10"))
    assert starts(replace(ALONE, bootstrap=waiting(*both))) == [StartPostgres(raised)]
    adopted = replace(HELD, bootstrap=waiting(MINIMAL_DATA, *both))
    assert starts(adopted) == [StartPostgres(raised, writable=True)]


def test_an_adopted_database_is_recorded_with_its_only_member_before_it_starts() -> None:
    new = LeaseRecord(holder=str(ME), ttl=10, resource_version="1")
    adopting = replace(HELD, lease=replace(free(new), renewed_at=NOW - 1))
    assert starts(adopting) == []
    renewals = [a for a in decide(adopting, SETTINGS).actions if isinstance(a, RenewLease)]
    assert [(r.system_identifier, r.members) for r in renewals] == [("111", ("orders-0",))]


def test_a_holder_that_has_not_renewed_itself_starts_nothing_writable() -> None:
    assert starts(replace(HELD, lease=free(ONE))) == []


def test_an_earlier_life_that_still_holds_is_waited_for() -> None:
    former = replace(ONE, holder="orders-0_uid-former")
    held = replace(ALONE, lease=replace(free(former), changed_at=NOW - 1))
    assert decide(held, SETTINGS).situation == "WaitingToStart"
    assert starts(held) == []


@pytest.mark.parametrize(
    ("peers", "situation"),
    [
        ({}, "SettingsRefused"),
        ({"orders-1": Peer("orders-1", None)}, "SettingsRefused"),
        ({"orders-1": Peer("orders-1", True)}, "SettingsRefused"),
        ({"orders-1": Peer("orders-1", False)}, "StartingWritable"),
    ],
)
def test_another_pod_must_have_said_that_it_has_no_data(
    peers: dict[str, Peer], situation: str
) -> None:
    held = replace(HELD, pods=(POD, OTHER), wanted=2, peers=peers)
    assert decide(replace(held, peers=None), SETTINGS).asks_peers
    decision = decide(held, SETTINGS)
    assert decision.situation == situation
    assert (ReleaseLease() in decision.actions) == (situation == "SettingsRefused")


def test_before_the_first_record_every_wanted_member_must_have_said_so() -> None:
    """One that is not there has a volume all the same."""
    new = replace(ALONE, lease=free(None), wanted=2)
    assert decide(new, SETTINGS).situation == "SettingsRefused"
    empty = {"orders-1": Peer("orders-1", False)}
    asked = replace(new, pods=(POD, OTHER), peers=empty)
    assert decide(asked, SETTINGS).situation == "TakingToStart"


def test_the_file_stays_away_until_the_server_has_come_up_and_goes_back_at_once() -> None:
    assert PutStandbySignal() not in decide(STARTED, SETTINGS).actions
    up = replace(STARTED, postgres=replace(WRITABLE, followers=(), standby_signal=False))
    assert decide(up, SETTINGS).actions[0] == PutStandbySignal()


@pytest.mark.parametrize(
    "record", [FREE, replace(ONE, members=("orders-0", "orders-1")), replace(ONE, holder="x_y")]
)
def test_the_file_goes_back_before_the_start_where_somebody_else_might_lead(
    record: LeaseRecord,
) -> None:
    lost = replace(STARTED, lease=replace(free(record), renewed_at=NOW - 1))
    assert decide(lost, SETTINGS).actions[0] == PutStandbySignal()


def test_minimal_wal_on_the_command_line_keeps_the_file_away_while_nobody_else_is_a_member() -> (
    None
):
    """A restart in place would be refused otherwise."""
    minimal = replace(STARTED.bootstrap, refused=(MINIMAL_AS_AN_ARGUMENT,))
    writable = replace(WRITABLE, followers=(), standby_signal=False)
    up = replace(STARTED, bootstrap=minimal, postgres=writable)
    assert PutStandbySignal() not in decide(up, SETTINGS).actions
    joined = replace(
        up, lease=replace(free(replace(ONE, members=("orders-0", "orders-1"))), renewed_at=NOW - 1)
    )
    assert decide(joined, SETTINGS).actions[0] == PutStandbySignal()


def test_from_the_order_on_a_server_that_does_not_answer_may_be_writable() -> None:
    """As `observe` tells it: see tests/sidecar/test_loop.py."""
    silent = replace(STARTED.postgres, alive=True, has_written=True)
    assert Situation(replace(STARTED, postgres=silent), SETTINGS).server.could_write


OPTED_OUT = replace(
    LEADER,
    lease=free(None),
    wanted=1,
    opted_out=True,
    leaving_since=NOW - 5,
    pods=(replace(POD, deleting=True),),
    postgres=replace(DOWN, since=900.0),
    bootstrap=RUNNING,
)
NEVER_LED = replace(FREE, timeline=None, history=())


@pytest.mark.parametrize("record", [None, NEVER_LED, replace(NEVER_LED, members=())])
@pytest.mark.parametrize("bootstrap", [RUNNING, waiting(MINIMAL_DATA)])
def test_a_set_that_opts_out_before_anybody_led_is_left_as_it_was_found(
    record: LeaseRecord | None, bootstrap: BootstrapView
) -> None:
    leaving = replace(OPTED_OUT, lease=free(record), bootstrap=bootstrap)
    assert RemoveStandbySignal() in decide(leaving, SETTINGS).actions
    standby = replace(leaving, bootstrap=replace(bootstrap, found_standby=True))
    assert RemoveStandbySignal() not in decide(standby, SETTINGS).actions


@pytest.mark.parametrize(
    "changes",
    [
        {"lease": free(FREE)},
        {"lease": free(replace(NEVER_LED, holder="orders-1_uid-1"))},
        {"lease": free(replace(NEVER_LED, members=("orders-0", "orders-1")))},
        {"lease": None},
        {"lease": replace(free(None), changed_at=NOW - 1, renewal_seen=True)},
        {"wanted": None},
        {"wanted": 2},
        {"pods": (replace(POD, deleting=True), OTHER)},
        {"opted_out": False},
        {"postgres": replace(DOWN, alive=True)},
    ],
)
def test_it_stays_read_only_where_somebody_may_have_led_or_may_lead(
    changes: dict[str, object],
) -> None:
    leaving = replace(OPTED_OUT, **changes)  # type: ignore[arg-type]
    assert RemoveStandbySignal() not in decide(leaving, SETTINGS).actions


_settings = st.lists(
    st.sampled_from(
        [IN_A_FILE, AS_AN_ARGUMENT, MINIMAL_IN_A_FILE, MINIMAL_AS_AN_ARGUMENT, MINIMAL_DATA]
    )
).map(tuple)
_records = st.sampled_from(
    [
        None,
        FREE,
        ONE,
        RECORD,
        NEVER_LED,
        replace(ONE, holder="orders-1_uid-1"),
        replace(ONE, voters=("orders-0", "orders-1"), copies=2),
        replace(ONE, members=()),
    ]
)


@given(
    refused=_settings,
    record=_records,
    renewed_at=st.sampled_from([None, NOW - 1, NOW - 100]),
    pods=st.sampled_from([None, (POD,), (POD, OTHER), (replace(POD, deleting=True),)]),
    peers=st.sampled_from([{}, *({"orders-1": Peer("orders-1", d)} for d in (None, True, False))]),
    wanted=st.sampled_from([None, 1, 2]),
)
def test_a_start_is_writable_only_under_the_lease_of_an_only_member(
    *,
    refused: tuple[RefusedSetting, ...],
    record: LeaseRecord | None,
    renewed_at: float | None,
    pods: tuple[Pod, ...] | None,
    peers: dict[str, Peer],
    wanted: int | None,
) -> None:
    view = LeaseView(record, changed_at=NOW - 1, heard_at=NOW - 1, renewed_at=renewed_at)
    seen = replace(
        ALONE, bootstrap=waiting(*refused), lease=view, pods=pods, peers=peers, wanted=wanted
    )
    for start in starts(seen):
        if start.writable:
            assert record is not None
            assert (record.holder, record.members) == (str(ME), ("orders-0",))
            assert renewed_at is not None
            assert set(record.voters) <= {"orders-0"}
            others = {pod.name for pod in pods or ()} - {"orders-0"}
            assert all(peers[name].has_data is False for name in others)
        else:
            assert all(r.origin is Origin.FILE for r in refused)


def test_the_words_of_bootstrap_are_read() -> None:
    words = " max_connections:50:200:command-line wal_level:minimal:replica:data"
    assert read_refused(words) == (AS_AN_ARGUMENT, MINIMAL_DATA)
    assert read_refused("") == ()


def test_what_is_raised_goes_with_the_next_start_and_an_operators_own_value_comes_back() -> None:
    own = "# a comment\nmax_connections = '50'\n"
    raised = with_raised(own, {"max_connections": "200", "wal_level": "replica"})
    assert raised == f"{own}max_connections = '0x000000c8'\nwal_level = 'Replica'\n"
    assert with_raised(raised, {"max_connections": "300"}) == (
        f"{own}max_connections = '0x0000012c'\n"
    )
    assert with_raised(raised, {}) == own


def test_what_an_operator_has_switched_on_is_not_taken_for_ours() -> None:
    own = "hot_standby_feedback = 'On'\n"
    with_ours = with_raised(own, {"hot_standby_feedback": "on"})
    assert with_ours != own
    assert with_raised(with_ours, {}) == own
