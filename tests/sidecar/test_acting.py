"""What is done for a start of PostgreSQL, and for a change of its primary."""

import contextlib
import re
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sidecar.act import Actor
from sidecar.action import (
    Action,
    AnswerFailover,
    Attach,
    DeleteOwnPod,
    MarkForReclone,
    Promote,
    RefuseReinit,
    RenewLease,
    SetRole,
    StartPostgres,
    TakeLease,
    TellSet,
)
from sidecar.kube.client import RetryLaterError
from sidecar.observe import Adapters
from tests.sidecar.rules.observations import RECORD, lease
from tests.sidecar.test_loop import adapters, data
from tests.support.hung_files import HungFiles, hung
from tests.support.patient_volume import hurry

__all__ = ["adapters", "data", "hung"]


def carry_out(adapters: Adapters, action: Action, **changes: Any) -> str | None:
    """Return what has failed; the action must not take long, whatever hangs."""
    followed: Any = SimpleNamespace(follow=lambda *_: None)
    events: Any = None
    actor = Actor(replace(adapters, server=followed, **changes), events)
    told: list[str | None] = []
    acting = threading.Thread(
        target=lambda: told.append(actor.carry_out((action,), float("inf"))), daemon=True
    )
    acting.start()
    acting.join(180)
    assert told, "it hangs with the volume"
    return told[0]


@pytest.mark.parametrize(("by_slot", "slot"), [(True, "pgset_orders_0"), (False, "")])
def test_only_a_primary_has_a_slot_for_who_follows_it(
    adapters: Adapters, data: Path, *, by_slot: bool, slot: str
) -> None:
    (data / "PG_VERSION").write_text("17\n")
    asked: list[tuple[str, str]] = []
    server: Any = SimpleNamespace(follow=lambda *words: asked.append(words))
    events: Any = None
    actor = Actor(replace(adapters, server=server), events)
    assert actor.carry_out((Attach("10.0.0.1", by_slot=by_slot),), float("inf")) is None
    assert [("host='10.0.0.1'" in conninfo, name) for conninfo, name in asked] == [(True, slot)]


@pytest.mark.thorough
@pytest.mark.parametrize("action", [Attach("10.0.0.1"), StartPostgres()], ids=["attach", "start"])
def test_a_volume_that_hangs_does_not_hang_the_loop_that_asks_for_the_version(
    adapters: Adapters, data: Path, hung: HungFiles, action: Action
) -> None:
    hung.hang(data / "PG_VERSION")
    hurry(adapters.bootstrap)
    told = carry_out(adapters, action)
    assert told is not None
    # The one who looked first, where the machine was too busy for the look before.
    assert re.search("the volume (has not answered|does not answer)", told)


@pytest.mark.parametrize(
    ("wanted", "members", "copies"),
    [
        (1, ("orders-0",), False),
        (1, (), False),
        (2, ("orders-0",), True),
        (1, ("orders-0", "orders-1"), True),
        (None, ("orders-0",), True),
    ],
    ids=["alone", "not on record yet", "one is wanted", "one is on record", "nobody knows"],
)
def test_slots_are_copied_only_where_there_can_be_a_member_that_has_them(
    adapters: Adapters,
    tmp_path: Path,
    data: Path,
    wanted: int | None,
    members: tuple[str, ...],
    *,
    copies: bool,
) -> None:
    """In a set of one, whose container restarts in place, the next start with another wal_level
    would end by that setting, with no bootstrap to take it away."""
    report = tmp_path / "handshake" / "report"
    report.write_text(report.read_text() + "logical=yes\n")
    (data / "PG_VERSION").write_text("17\n")
    pods: Any = SimpleNamespace(wanted=lambda: wanted, observe=lambda: ())
    view = lease(replace(RECORD, members=members))
    seen: Any = SimpleNamespace(peek=lambda: view)
    assert carry_out(adapters, StartPostgres(), pods=pods, lease=seen) is None
    written = (data / "postgresql.auto.conf").read_text()
    assert ("sync_replication_slots = 'oN'" in written) == copies


@pytest.mark.parametrize("detached", [True, False])
def test_who_is_to_start_detached_is_told_nobody_to_follow(
    adapters: Adapters, data: Path, *, detached: bool
) -> None:
    view = lease(replace(RECORD, members=()))
    (data / "PG_VERSION").write_text("17\n")
    pods: Any = SimpleNamespace(wanted=lambda: 3, observe=lambda: ())
    seen: Any = SimpleNamespace(peek=lambda: view)
    action = StartPostgres(detached=detached)
    assert carry_out(adapters, action, pods=pods, lease=seen) is None
    written = (data / "postgresql.auto.conf").read_text()
    assert ("primary_conninfo = ''\n" in written) == detached


def test_what_is_seen_once_is_told_until_the_api_server_has_taken_it(adapters: Adapters) -> None:
    """Which slots a takeover has lost is overwritten on the Lease by the renewal before."""
    now, answers, told = 0.0, False, []

    def answer(*words: Any, **_: Any) -> None:
        if not answers:
            raise RetryLaterError("no answer")
        told.extend(words)

    keeper: Any = SimpleNamespace(renew=answer, peek=lambda: lease(RECORD))
    pods: Any = SimpleNamespace(statefulset=lambda: None)
    events: Any = SimpleNamespace(record=lambda reason, *_, **__: answer(reason))
    actor = Actor(replace(adapters, lease=keeper, pods=pods, clock=lambda: now), events)
    renewal, lost = RenewLease("111", 2, ()), TellSet("LogicalSlotsLost", "feed")
    assert actor.carry_out((renewal, lost), float("inf")) is not None
    assert actor.carry_out((), float("inf")) is not None
    answers, now = True, 5.0
    assert (actor.carry_out((), float("inf")), told) == (None, [])
    now = 11.0
    for _ in range(2):
        assert (actor.carry_out((), float("inf")), told) == (None, ["LogicalSlotsLost"])
        now += 60


@pytest.mark.parametrize(("seconds", "is_labelled"), [(5.0, True), (9.0, False)])
def test_a_label_with_the_take_is_not_set_once_that_may_be_anothers(
    adapters: Adapters, seconds: float, *, is_labelled: bool
) -> None:
    """The sidecar may be frozen in between; before the turn it held nothing that could end."""
    now, labels = 100.0, list[str]()

    def promote(**_: Any) -> None:
        nonlocal now
        now += seconds

    taken = lease(RECORD, renewed_at=now)
    keeper: Any = SimpleNamespace(take=lambda _: None, peek=lambda: taken)
    pods: Any = SimpleNamespace(set_role=lambda action: labels.append(action.value))
    pledges: Any = SimpleNamespace(taking=lambda _: contextlib.nullcontext())
    server: Any = SimpleNamespace(promote=promote, restores=False)
    bootstrap: Any = SimpleNamespace(
        note_promotion=lambda *_, **__: None, data_directory=lambda: Path("/nowhere")
    )
    parts: dict[str, Any] = {"lease": keeper, "pods": pods, "pledges": pledges}
    parts |= {"server": server, "bootstrap": bootstrap, "clock": lambda: now}
    events: Any = None
    actor = Actor(replace(adapters, **parts), events)
    actions = (TakeLease(expired=False), Promote(1), SetRole("orders-0", "uid-0", "primary"))
    told = actor.carry_out(actions, float("inf"))
    assert labels == (["primary"] if is_labelled else [])
    assert (told is None) is is_labelled


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (RefuseReinit("now", "it leads"), ["ReinitRefused", "now"]),
        (AnswerFailover("7", "it leads"), ["FailoverRefused", "7"]),
    ],
    ids=["reinit", "failover"],
)
def test_a_wish_is_refused_once_and_only_where_the_event_was_taken(
    adapters: Adapters, answer: Action, told: list[str]
) -> None:
    answers, answered = False, list[str]()

    def record(reason: str, *_: Any) -> None:
        if not answers:
            raise RetryLaterError("no answer")
        answered.append(reason)

    def note(_: Any, value: str) -> None:
        answered.append(value)

    pods: Any = SimpleNamespace(reinit_is_answered=note, failover_is_answered=note)
    events: Any = SimpleNamespace(record=record)
    actor = Actor(replace(adapters, pods=pods), events)
    assert actor.carry_out((answer,), float("inf")) is not None
    assert answered == []
    answers = True
    assert actor.carry_out((answer,), float("inf")) is None
    assert answered == told


def test_of_a_failover_that_was_done_no_event_tells_here(adapters: Adapters) -> None:
    answered = list[str]()
    pods: Any = SimpleNamespace(failover_is_answered=lambda _, value: answered.append(value))
    assert carry_out(adapters, AnswerFailover("7", None), pods=pods) is None
    assert answered == ["7"]


@pytest.mark.parametrize("wish", [None, "now"])
def test_who_may_yet_lead_is_marked_only_when_its_pod_goes(
    adapters: Adapters, data: Path, wish: str | None
) -> None:
    def delete(_: Any) -> None:
        marked.append((data / ".pgset-reclone").exists())
        raise RetryLaterError("no answer")

    marked: list[bool] = []
    pods: Any = SimpleNamespace(delete=delete)
    assert carry_out(adapters, DeleteOwnPod(reclone=True, wish=wish), pods=pods) is not None
    assert marked == [wish is None]
    assert (data / ".pgset-reclone").exists() is (wish is None)


@pytest.mark.parametrize("action", [DeleteOwnPod(reclone=True, wish="now"), MarkForReclone("now")])
def test_a_wish_for_a_clone_is_answered_once_the_data_is_marked(
    adapters: Adapters, data: Path, action: Action
) -> None:
    def answered(_: Any, value: str) -> None:
        assert (data / ".pgset-reclone").exists()
        values.append(value)

    values: list[str] = []
    pods: Any = SimpleNamespace(delete=lambda _: None, reinit_is_answered=answered)
    assert carry_out(adapters, action, pods=pods) is None
    assert values == ["now"]
