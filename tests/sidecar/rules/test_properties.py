"""What holds whatever is observed, with any durability."""

import signal
from dataclasses import fields

import pytest
from hypothesis import given

from sidecar.action import (
    AskToStay,
    Clone,
    Promote,
    ReleaseLease,
    RenewLease,
    RunInitdb,
    SetRole,
    SetSynchronous,
    StopPostgres,
    TakeLease,
)
from sidecar.decide import decide
from sidecar.observation import DataState, Observation, ServerState
from sidecar.settings import Settings
from sidecar.synchronous import Promise
from sidecar.table import TABLE
from tests.sidecar.rules.drawn import NOT_DRAWN, STRATEGIES, observations, settings
from tests.sidecar.rules.observations import ME, NOW


@pytest.mark.parametrize("kind", STRATEGIES, ids=lambda kind: kind.__name__)
def test_each_field_of_a_view_is_drawn_or_has_a_reason_not_to_be(kind: type) -> None:
    for field in fields(kind):
        name = f"{kind.__name__}.{field.name}"
        assert (field.name in STRATEGIES[kind]) != (name in NOT_DRAWN), (
            f"{name} is never drawn: give it a strategy in tests/sidecar/rules/drawn.py, or a "
            "reason in NOT_DRAWN"
            if name not in NOT_DRAWN
            else f"{name} is drawn: take its reason out of NOT_DRAWN"
        )


def has_no_rival(observation: Observation) -> bool:
    """Nobody else may take the Lease, by the record and what may have become of it."""
    view = observation.lease
    if view is None or view.record is None:
        return False
    return {*view.record.members, *view.possible_members, ME.name} == {ME.name} and bool(
        view.record.members
    )


def unrenewed_for(observation: Observation) -> float:
    """Seconds since this member was last entitled to lead; infinite where it does not know."""
    view = observation.lease
    if view is None or view.renewed_at is None:
        return float("inf")
    return NOW - max(view.renewed_at, view.excused_at or view.renewed_at)


@given(observations, settings)
def test_only_a_holder_with_time_left_promotes_or_carries_the_primary_label(
    observation: Observation, settings: Settings
) -> None:
    actions = decide(observation, settings).actions
    for action in actions:
        gives_label = isinstance(action, SetRole) and action.value == "primary"
        if gives_label and observation.bootstrap.left_alone:
            # It is no member: it runs as if there were no pgset.
            assert observation.postgres.state is ServerState.WRITABLE
            continue
        if isinstance(action, Promote) or gives_label:
            view = observation.lease
            assert view is not None
            assert view.record is not None
            if any(isinstance(before, TakeLease) for before in actions):
                # What the API server grants is fresh; if it does not, nothing more is done.
                continue
            assert view.record.holder == str(ME)
            assert view.renewed_at is not None
            assert has_no_rival(observation) or unrenewed_for(observation) < 7
        if gives_label:
            assert observation.postgres.state is ServerState.WRITABLE


@given(observations, settings)
def test_initdb_and_clone_happen_only_where_there_is_no_data(
    observation: Observation, settings: Settings
) -> None:
    for action in decide(observation, settings).actions:
        if isinstance(action, RunInitdb | Clone):
            assert observation.bootstrap.data in (DataState.EMPTY, DataState.INTERRUPTED)
            assert observation.bootstrap.other_writer is None
        if isinstance(action, RunInitdb):
            assert observation.lease is not None
            assert observation.lease.record is not None
            assert observation.lease.record.system_identifier is None


@given(observations, settings)
def test_a_writable_server_past_its_deadline_is_always_stopped(
    observation: Observation, settings: Settings
) -> None:
    started_long_ago = NOW - observation.started_at > 2
    if (
        observation.postgres.state is ServerState.WRITABLE
        and unrenewed_for(observation) >= 7
        and started_long_ago
        and not has_no_rival(observation)
        # It is the database of a pod alone, which nobody else has: see rule 1.
        and not observation.bootstrap.left_alone
    ):
        decision = decide(observation, settings)
        assert any(isinstance(action, StopPostgres) for action in decision.actions)
        assert decision.fence_in == 0


@given(observations, settings)
def test_a_lease_that_somebody_holds_is_never_taken(
    observation: Observation, settings: Settings
) -> None:
    for action in decide(observation, settings).actions:
        if isinstance(action, TakeLease):
            assert observation.lease is not None
            record = observation.lease.record
            # Where it has gone back, a primary claims it that held it until a moment ago.
            claims = observation.lease.went_back and unrenewed_for(observation) < 7
            if claims and observation.postgres.state is ServerState.WRITABLE:
                continue
            if record is not None and record.holder:
                assert NOW - observation.lease.changed_at > max(10, record.ttl)
                assert (observation.pledged_until or 0.0) <= NOW


@given(observations, settings)
def test_the_lease_of_an_initialised_set_is_taken_only_by_a_recorded_member(
    observation: Observation, settings: Settings
) -> None:
    record = observation.lease.record if observation.lease else None
    decision = decide(observation, settings)
    takes = any(isinstance(action, TakeLease) for action in decision.actions)
    # A primary under which the Lease was emptied was its holder a moment ago.
    takes_over = takes and decision.situation != "Reclaiming"
    if takes_over and record is not None and record.system_identifier is not None:
        assert ME.name in (record.members or (ME.name,))
        assert ME.name in (record.voters or (ME.name,))


@given(observations, settings)
def test_the_lease_is_never_released_while_a_postmaster_may_still_send_or_write(
    observation: Observation, settings: Settings
) -> None:
    killed = False
    for action in decide(observation, settings).actions:
        killed |= action == StopPostgres(signal.SIGKILL)
        if isinstance(action, ReleaseLease):
            server = observation.postgres
            read_only = server.state is ServerState.RECOVERY and not server.has_written
            assert observation.bootstrap.running or not server.alive or read_only or killed


@given(observations, settings)
def test_a_primarys_commits_wait_for_no_fewer_than_the_record_promises(
    observation: Observation, settings: Settings
) -> None:
    record = observation.lease.record if observation.lease else None
    if record is None or observation.postgres.state is not ServerState.WRITABLE:
        return
    promise = Promise(frozenset(record.voters), record.copies)
    for action in decide(observation, settings).actions:
        if isinstance(action, RenewLease):
            # If the renewal fails, what comes after it is not done.
            promise = Promise(frozenset(action.voters), action.copies)
        if isinstance(action, SetSynchronous):
            kept = Promise(frozenset((*action.members, ME.name)), 1 + action.number)
            assert kept.implies(promise, ME.name)


@given(observations, settings)
def test_a_member_looks_again_before_its_deadline(
    observation: Observation, settings: Settings
) -> None:
    decision = decide(observation, settings)
    assert 0.02 <= decision.look_in <= 2.0
    if decision.fence_in is not None:
        assert decision.look_in <= max(0.1, decision.fence_in)


@given(observations, settings)
def test_a_decision_on_answers_asks_no_more(observation: Observation, settings: Settings) -> None:
    assert observation.peers is None or not decide(observation, settings).asks_peers


def test_every_row_has_a_name_of_its_own_and_a_sentence() -> None:
    rows = [row for part in TABLE for row in part.rows]
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.sentence for row in rows)


@given(observations, settings)
def test_only_a_writable_server_is_a_reason_to_ask_the_members_to_leave_the_lease(
    observation: Observation, settings: Settings
) -> None:
    """A stopped one's pledges would keep those from leading that could."""
    asks = any(isinstance(action, AskToStay) for action in decide(observation, settings).actions)
    assert not asks or observation.postgres.state is ServerState.WRITABLE
