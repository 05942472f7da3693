"""The holder of the Lease whose PostgreSQL is writable."""

from collections.abc import Iterator
from typing import Final

from sidecar.action import (
    Action,
    Attention,
    Checkpoint,
    ForgetPromotion,
    KeepSlots,
    PreparePrimary,
    Refuse,
    StopPostgres,
)
from sidecar.situation import Situation
from sidecar.situation.patience import STOP_PATIENCE, UNWELL_PATIENCE, UNWELL_STOP_PATIENCE
from sidecar.table.steps import (
    HARDER_AND_HARDER,
    Row,
    own_role,
    question,
    renewal,
    strip_other_primaries,
    synchronous,
)


def _refuse_switchover(s: Situation) -> Iterator[Action]:
    yield from question(s)
    yield from renewal(s)
    yield Refuse("SwitchoverRefused", f"no switchover to {s.candidate}: {s.refusal}")


def _accept_switchover(s: Situation) -> Iterator[Action]:
    yield from question(s)
    yield from renewal(s)
    yield Checkpoint()


def _stop(s: Situation) -> Iterator[Action]:
    """Stop fast; harder where that hangs, since all that counts is on the disk of another."""
    step = 0.0
    if s.is_down:
        step = s.in_this_state_for / STOP_PATIENCE
    elif s.is_unwell and s.seen.postgres.unwell_since is not None:
        unwell_for = s.seen.now - s.seen.postgres.unwell_since
        step = (unwell_for - UNWELL_PATIENCE) / UNWELL_STOP_PATIENCE
    index = min(len(HARDER_AND_HARDER) - 1, int(step))
    yield StopPostgres(HARDER_AND_HARDER[index])
    yield from renewal(s)


def _prepare_to_stop(s: Situation) -> Iterator[Action]:
    yield from _lead(s)
    if not s.has_fresh_checkpoint:
        yield Checkpoint()


def _lead(s: Situation) -> Iterator[Action]:
    # Clients wait for the label, and a renewal was sent a moment ago. At any other time nothing
    # that may fail comes before it.
    if s.was_just_promoted:
        yield from own_role(s, s.settings.primary_value)
        yield from strip_other_primaries(s)
    yield from question(s)
    yield from renewal(s)
    if s.seen.bootstrap.promoting_from is not None and s.leads_on_record:
        yield ForgetPromotion()
    yield from synchronous(s)
    if not s.was_just_promoted:
        yield from own_role(s, s.settings.primary_value)
        yield from strip_other_primaries(s)
    if not s.seen.postgres.prepared:
        yield PreparePrimary()
    if s.seen.wanted is not None and not s.slots_are_right:
        yield KeepSlots(s.wanted_slots)


PRIMARY: Final = (
    Row(
        "RefusingSwitchover",
        lambda s: s.is_writable and s.refusal is not None,
        _refuse_switchover,
        "an operator's switchover is refused",
    ),
    Row(
        "AcceptingSwitchover",
        lambda s: s.is_writable and s.wish is not None,
        _accept_switchover,
        "a switchover to {s.wish} was asked for",
        Attention.NORMAL,
    ),
    Row(
        "Stopping",
        lambda s: s.wants_to_hand_over and bool(s.successors) and s.is_ready_to_stop,
        _stop,
        "stopping PostgreSQL to hand over to {s.successor_words}{s.why_words}",
        Attention.NORMAL,
    ),
    Row(
        "PreparingToStop",
        lambda s: s.is_writable and s.wants_to_hand_over and bool(s.successors),
        _prepare_to_stop,
        "primary, about to hand over to {s.successor_words}{s.why_words}",
    ),
    Row(
        "Leading",
        lambda s: s.is_writable,
        _lead,
        "primary",
        Attention.NORMAL,
    ),
)
