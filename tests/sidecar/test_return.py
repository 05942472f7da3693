"""A member whose PostgreSQL does not come up while another leads goes back through bootstrap."""

from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.action import (
    Attention,
    DeleteOwnPod,
    ForgetReturns,
    Reclone,
    Rewind,
    SetRole,
    StartPostgres,
)
from sidecar.bootstrap import Bootstrap
from sidecar.decide import decide
from sidecar.observation import (
    BootstrapView,
    DataState,
    Identity,
    Leadership,
    Observation,
)
from tests.sidecar.rules.observations import (
    DOWN,
    FREE,
    NOW,
    OTHERS,
    RECORD,
    REPLICA,
    RUNNING,
    SETTINGS,
    STREAMING,
    lease,
    peer,
    pods,
    situation_and_actions,
)
from tests.support.patient_volume import patient

LEADS = peer(1, writable=True)


def down_for(seconds: float, returns: int = 0) -> Observation:
    return replace(
        REPLICA,
        bootstrap=replace(RUNNING, returns=returns, reached_data=True),
        postgres=replace(DOWN, since=NOW - seconds),
        peers=LEADS,
    )


OUT = down_for(61)


def test_a_member_that_does_not_come_up_is_deleted_to_be_rewound_and_next_to_be_cloned_anew() -> (
    None
):
    assert situation_and_actions(OUT) == (
        "NotComingUp",
        (SetRole("orders-0", "uid-0", None), DeleteOwnPod(reclone=False, returns=1)),
    )
    _, actions = situation_and_actions(down_for(121, returns=1))
    assert actions[-1] == DeleteOwnPod(reclone=True, returns=2)
    decision = decide(OUT, SETTINGS)
    assert decision.attention is Attention.WARNING
    assert "PostgreSQL does not come up, while orders-1 leads" in decision.sentence


def test_who_was_only_to_come_back_sooner_has_its_rewind_before_it() -> None:
    """A primary whose kubelet had backed off: nothing was wrong with its data then."""
    backs_off = tuple(replace(pod, backs_off=True) for pod in pods("primary", "replica"))
    crashed = replace(down_for(4), pods=backs_off, lease=lease(RECORD), peers={})
    crashed = replace(crashed, bootstrap=replace(RUNNING, returns=None))
    situation, (*_, sooner) = situation_and_actions(crashed)
    assert (situation, sooner) == ("Returning", DeleteOwnPod(reclone=False, returns=0))
    again = replace(crashed, bootstrap=replace(RUNNING, returns=0))
    assert situation_and_actions(again)[0] != "Returning"
    _, (*_, first) = situation_and_actions(down_for(61, returns=0))
    assert first == DeleteOwnPod(reclone=False, returns=1)


def test_where_nobody_leads_it_goes_back_once_without_a_clone() -> None:
    """The others may be waiting for its report, and its data is all that there is of some rows."""
    down = down_for(61)
    for record in (None, replace(RECORD, holder="")):
        free = replace(
            down,
            lease=lease(record, renewed_at=None, changed_at=NOW - 60),
            bootstrap=replace(down.bootstrap, returns=None),
        )
        situation, actions = situation_and_actions(free)
        assert situation == "ReturningToReport"
        assert actions[-1] == DeleteOwnPod(reclone=False, returns=0)
        again = replace(free, bootstrap=replace(down.bootstrap, returns=0))
        assert situation_and_actions(again)[0] == "Down"
        assert situation_and_actions(replace(free, paused=True))[0] == "Down"


def test_what_a_first_clone_has_kept_aside_is_not_replaced_by_a_second() -> None:
    for returns in (2, 3, 50):
        _, actions = situation_and_actions(down_for(601, returns=returns))
        assert actions[-1] == DeleteOwnPod(reclone=False, returns=returns + 1)


@pytest.mark.parametrize(
    ("returns", "pause"), [(0, 60.0), (1, 120.0), (2, 240.0), (4, 600.0), (5000, 600.0)]
)
def test_each_time_it_is_waited_for_longer(returns: int, pause: float) -> None:
    assert decide(down_for(pause - 1, returns), SETTINGS).situation == "Down"
    assert decide(down_for(pause + 1, returns), SETTINGS).situation == "NotComingUp"


LEFT_ALONE = {
    "no leader": replace(OUT, lease=lease(FREE, renewed_at=None)),
    "a leader that is silent": replace(OUT, peers={}),
    "a leader that recovers itself": replace(OUT, peers=peer(1, running=False)),
    "a pod that is deleted already": replace(
        OUT, pods=tuple(replace(pod, deleting=pod.name == "orders-0") for pod in REPLICA.pods or ())
    ),
    "a paused set": replace(OUT, paused=True),
    "a set that was opted out": replace(OUT, opted_out=True),
    "a full volume": replace(OUT, bootstrap=replace(RUNNING, write_failure="no space")),
    "a recovery that moves": replace(
        OUT, postgres=replace(DOWN, alive=True, since=NOW - 3600, progress_at=NOW - 299)
    ),
}


@pytest.mark.parametrize("seen", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_it_is_left_alone_with(seen: Observation) -> None:
    decision = decide(seen, SETTINGS)
    assert not [action for action in decision.actions if isinstance(action, DeleteOwnPod)]


def test_a_recovery_that_waits_for_wal_which_is_nowhere_ends_up_as_a_clone() -> None:
    """A standby that can never become consistent."""
    waits = replace(DOWN, alive=True, since=NOW - 3600, progress_at=NOW - 301)
    assert decide(replace(OUT, postgres=waits), SETTINGS).situation == "NotComingUp"
    again = replace(down_for(0, returns=1), postgres=waits)
    assert DeleteOwnPod(reclone=True, returns=2) in decide(again, SETTINGS).actions


def test_data_that_postgresql_never_got_as_far_as_is_not_cloned_anew() -> None:
    """A misspelled parameter, a library that is not there: what is wrong is not the data."""
    never = replace(RUNNING, returns=1, reached_data=False)
    wrong = replace(down_for(86400), bootstrap=never)
    situation, actions = situation_and_actions(wrong)
    assert situation == "Down"
    assert not [action for action in actions if isinstance(action, DeleteOwnPod)]
    once = replace(wrong, bootstrap=RUNNING)
    assert DeleteOwnPod(reclone=False, returns=1) in decide(once, SETTINGS).actions


def test_the_leader_is_asked_before_and_not_ten_times_a_second() -> None:
    early, late = (replace(down_for(seconds), peers=None) for seconds in (59, 61))
    assert not decide(early, SETTINGS).asks_peers
    assert decide(late, SETTINGS).asks_peers
    assert decide(replace(OUT, peers={}), SETTINGS).look_in >= 1.0
    assert decide(down_for(59), SETTINGS).look_in == 0.1


def test_who_streams_has_no_returns_behind_it_any_more() -> None:
    for returns in (0, 2):
        followed = replace(REPLICA, bootstrap=replace(RUNNING, returns=returns))
        assert situation_and_actions(followed) == ("Following", (ForgetReturns(),))
    silent = replace(STREAMING, streaming=False)
    assert ForgetReturns() not in decide(replace(followed, postgres=silent), SETTINGS).actions


def test_the_note_outlives_the_pod_and_is_gone_when_it_is_forgotten(tmp_path: Path) -> None:
    data, handshake = tmp_path / "data", tmp_path / "handshake"
    data.mkdir()
    handshake.mkdir()
    (handshake / "report").write_text(
        f"session=1\ndone=0\nrefusal=\nfailure=\npgdata={data}\ndata=present\nrewind=\n"
    )
    for uid, before in (("uid-0", None), ("uid-1", 3)):
        bootstrap = patient(Bootstrap(handshake, Identity("orders-0", uid), ttl=0))
        assert bootstrap.observe(NOW).returns == before
        bootstrap.note_returns(3)
    bootstrap.forget_returns()
    bootstrap.forget_returns()
    assert bootstrap.observe(NOW).returns is None
    assert not list(data.glob(".pgset-returns*"))


# ── before it is started at all ───────────────────────────────────────────────────────────

BEHIND = BootstrapView(
    data=DataState.PRESENT,
    running=True,
    system_identifier="111",
    timeline=16,
    position=0x6B48408,
    can_rewind=True,
)
HELD = replace(
    OTHERS,
    timeline=17,
    history=(Leadership(16, "orders-0", ""), Leadership(17, "orders-1", "")),
)
LEFT = replace(HELD, holder="")


def free_for(seconds: float, bootstrap: BootstrapView = BEHIND) -> Observation:
    return replace(
        REPLICA,
        pods=pods(None, "primary"),
        bootstrap=bootstrap,
        postgres=DOWN,
        lease=lease(LEFT, renewed_at=None, changed_at=NOW - seconds),
    )


def test_who_is_behind_the_record_waits_for_a_primary_in_the_moment_between_two() -> None:
    assert situation_and_actions(free_for(0.2)) == ("WaitingToRewind", ())
    held = replace(free_for(0.2), lease=lease(HELD, renewed_at=None))
    assert situation_and_actions(held) == ("Rewinding", (Rewind("111"),))
    unrewindable = replace(BEHIND, rewind_failed=True)
    assert situation_and_actions(free_for(0.2, unrewindable)) == ("WaitingToRewind", ())
    held = replace(held, bootstrap=unrewindable)
    assert situation_and_actions(held) == ("Recloning", (Reclone("111"),))


def test_it_does_not_wait_for_long_since_the_election_may_need_it_running() -> None:
    assert situation_and_actions(free_for(10.1)) == ("Starting", (StartPostgres(),))


def test_who_is_on_the_newest_timeline_is_started_at_once() -> None:
    newest = replace(BEHIND, timeline=17)
    assert situation_and_actions(free_for(0.2, newest)) == ("Starting", (StartPostgres(),))
