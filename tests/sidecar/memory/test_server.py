"""Since when PostgreSQL is in its state, what commits wait for, and where histories part."""

from dataclasses import replace

import pytest

from sidecar.memory.commit_wait import RELOAD_SECONDS, CommitWait
from sidecar.memory.fork import ForkMemory
from sidecar.memory.pods import PodsMemory
from sidecar.memory.server import (
    ANSWER_SECONDS,
    LastTimeline,
    ServerMemory,
    as_of,
    has_written,
)
from sidecar.observation import Fork, ServerState
from tests.sidecar.rules.observations import FREE, OTHERS, RUNNING, STREAMING, WRITABLE

DOWN, RECOVERY = ServerState.DOWN, ServerState.RECOVERY


def test_a_state_counts_from_the_look_that_first_showed_it() -> None:
    memory = ServerMemory(0.0)
    assert memory.see(RECOVERY, 1.0)
    assert not memory.see(RECOVERY, 2.0)
    assert memory.look(2.5) == (RECOVERY, 1.0)


def test_a_server_that_does_not_answer_is_down_after_3_seconds_and_not_before() -> None:
    memory = ServerMemory(0.0)
    memory.see(RECOVERY, 1.0)
    silent_from = 1.0 + ANSWER_SECONDS
    assert memory.look(silent_from) == (RECOVERY, 1.0)
    assert memory.look(silent_from + 0.1) == (DOWN, silent_from)
    assert not memory.see(DOWN, silent_from + 1.0)
    assert memory.since == silent_from


def test_the_same_holds_of_a_view() -> None:
    assert as_of(WRITABLE, 1.0, 4.0) is WRITABLE
    silent = as_of(WRITABLE, 1.0, 5.0)
    assert (silent.state, silent.since) == (DOWN, 4.0)
    assert silent.problem == "PostgreSQL has not answered for 4 s"


def test_what_was_prepared_holds_for_one_leadership() -> None:
    memory = ServerMemory(0.0)
    memory.see(ServerState.WRITABLE, 1.0)
    memory.was_prepared(memory.since)
    assert memory.prepared
    memory.see(RECOVERY, 2.0)
    assert not memory.prepared
    memory.see(ServerState.WRITABLE, 3.0)
    assert not memory.prepared


def test_its_time_to_come_up_begins_when_it_is_told_to_start() -> None:
    memory = ServerMemory(0.0)
    memory.told_to_start(7.0)
    assert memory.look(8.0) == (DOWN, 7.0)


@pytest.mark.parametrize(
    ("postmaster", "last_writer", "starts_writable", "expected"),
    [
        (None, 7, True, False),
        (7, 7, False, True),
        (8, 7, False, False),
        (8, 7, True, True),
    ],
)
def test_a_postmaster_may_be_writable_that_was_or_that_starts_so(
    postmaster: int | None, last_writer: int, *, starts_writable: bool, expected: bool
) -> None:
    assert has_written(postmaster, last_writer, starts_writable=starts_writable) is expected


def test_a_promotion_counts_from_the_first_order_until_the_state_changes() -> None:
    memory = ServerMemory(0.0)
    memory.see(ServerState.RECOVERY, 1.0)
    memory.asked_to_be_promoted(2.0)
    memory.asked_to_be_promoted(3.0)
    memory.see(ServerState.RECOVERY, 3.5)
    assert memory.promoting_since == 2.0
    memory.see(ServerState.DOWN, 4.0)
    assert memory.promoting_since is None


def test_commits_wait_from_where_wal_was_once_every_process_has_reloaded() -> None:
    wait = CommitWait()
    wait.see("two", None, 0.0)
    assert not wait.is_due(RELOAD_SECONDS - 0.1)
    assert wait.is_due(RELOAD_SECONDS)
    assert wait.read("two", everybody=True)
    wait.see("two", 500, RELOAD_SECONDS)
    wait.see("two", 900, RELOAD_SECONDS + 1.0)
    assert wait.waits_from == 500


def test_what_a_standby_had_at_its_promotion_has_to_be_with_the_standbys_too() -> None:
    wait = CommitWait()
    wait.see("two", None, 0.0)
    wait.see("two", 500, 1.0)
    wait.see_state(writable=False, position=900)
    assert wait.waits_from == 500
    wait.see_state(writable=True, position=1200)
    wait.see_state(writable=True, position=1500)
    assert wait.waits_from == 1200


def test_a_file_that_says_otherwise_may_come_into_force() -> None:
    wait = CommitWait()
    wait.see("two", None, 0.0)
    assert not wait.read("one", everybody=True)
    assert wait.filed == "one"


@pytest.mark.parametrize("forget", ["see", "was_set"])
def test_another_setting_begins_anew(forget: str) -> None:
    wait = CommitWait()
    wait.see("two", None, 0.0)
    wait.see("two", 500, 1.0)
    if forget == "see":
        wait.see("one", 600, 2.0)
    else:
        wait.was_set(2.0)
    assert wait.waits_from is None


def test_a_fork_is_asked_for_where_a_standby_does_not_stream_on_an_older_timeline() -> None:
    lost = replace(STREAMING, streaming=False)
    newer = replace(OTHERS, timeline=2)
    memory = ForkMemory()
    assert memory.question(lost, newer) == (1, 2)
    assert memory.question(STREAMING, newer) is None
    assert memory.question(lost, OTHERS) is None
    assert memory.question(lost, replace(FREE, timeline=2)) is None
    memory.learn((1, 2), None)
    assert memory.answer((1, 2)) == Fork(1, 0)
    assert memory.answer((1, 3)) is None


def test_since_when_a_pod_leaves_is_kept_while_it_is_there() -> None:
    memory = PodsMemory()
    memory.see(
        leaving=["a"], taken_out=["b"], unready=["b"], fenced=[], reinit={}, failover={}, now=1.0
    )
    memory.see(leaving=["a"], taken_out=[], unready=[], fenced=[], reinit={}, failover={}, now=2.0)
    assert (memory.leaving_since("a"), memory.taken_out_since("b")) == (1.0, None)
    assert memory.unready_since("b") is None


def test_a_pod_is_cloned_again_once_for_each_wish_that_came_while_it_was_looked_at() -> None:
    memory = PodsMemory()

    def asked(value: str | None) -> str | None:
        asked = {"a": value}
        memory.see(
            leaving=[], taken_out=[], unready=[], fenced=[], reinit=asked, failover={}, now=1.0
        )
        return memory.reinit("a")

    # Of before this sidecar started: it may have been refused then.
    assert asked("old") is None
    assert asked("1") == "1"
    memory.reinit_is_answered("a", "1")
    assert asked("1") is None
    assert asked(None) is None
    assert asked("1") == "1"


def test_a_pod_is_to_lead_once_for_each_wish_whatever_else_is_asked_of_it() -> None:
    memory = PodsMemory()

    def asked(reinit: str | None, failover: str | None) -> tuple[str | None, str | None]:
        wishes = {"reinit": {"a": reinit}, "failover": {"a": failover}}
        memory.see(leaving=[], taken_out=[], unready=[], fenced=[], **wishes, now=1.0)
        return memory.reinit("a"), memory.failover("a")

    assert asked(None, "old") == (None, None)
    assert asked("1", "7") == ("1", "7")
    memory.failover_is_answered("a", "7")
    assert asked("1", "7") == ("1", None)
    assert asked("1", None) == ("1", None)
    assert asked("1", "7") == ("1", "7")


def test_since_when_a_pod_is_fenced_is_kept_and_since_when_it_is_no_more() -> None:
    memory = PodsMemory()
    memory.see(leaving=[], taken_out=[], unready=[], fenced=["a"], reinit={}, failover={}, now=1.0)
    memory.see(leaving=[], taken_out=[], unready=[], fenced=["a"], reinit={}, failover={}, now=2.0)
    assert (memory.fenced_since("a"), memory.unfenced_at("a")) == (1.0, None)
    memory.see(leaving=[], taken_out=[], unready=[], fenced=[], reinit={}, failover={}, now=3.0)
    memory.see(leaving=[], taken_out=[], unready=[], fenced=[], reinit={}, failover={}, now=4.0)
    assert (memory.fenced_since("a"), memory.unfenced_at("a")) == (None, 3.0)
    memory.see(leaving=[], taken_out=[], unready=[], fenced=["a"], reinit={}, failover={}, now=5.0)
    assert (memory.fenced_since("a"), memory.unfenced_at("a")) == (5.0, None)


def test_a_server_that_is_down_was_on_the_timeline_of_its_last_look() -> None:
    memory = LastTimeline()
    reported = replace(RUNNING, timeline=2, position=1000)
    assert memory.look(None, reported) is None
    assert memory.look(3, reported) == 3
    assert memory.look(None, reported) == 3


def test_what_bootstrap_has_read_since_counts_more() -> None:
    """It may have been rewound, or cloned anew."""
    memory = LastTimeline()
    memory.look(3, replace(RUNNING, timeline=2, position=1000))
    assert memory.look(None, replace(RUNNING, timeline=2, position=9000)) is None
