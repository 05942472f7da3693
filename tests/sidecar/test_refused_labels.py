"""A label that the API server does not take: a policy of the cluster's judges changes of pods."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from sidecar.act import Actor
from sidecar.action import (
    Attach,
    DeleteOwnPod,
    ForgetPromotion,
    KeepSlots,
    PreparePrimary,
    Promote,
    ReleaseLease,
    RenewLease,
    SetRole,
    SetSynchronous,
    is_left_undone,
)
from sidecar.kube.client import ApiError, ConflictError, ForbiddenError, RetryLaterError
from sidecar.observe import Adapters
from tests.sidecar.test_loop import adapters, data

__all__ = ["adapters", "data"]

STRIP, OWN = SetRole("orders-1", "uid-1", None), SetRole("orders-0", "uid-0", "primary")
RENEWAL = RenewLease("111", 1, ("orders-0",))
POLICY = 'admission webhook "labels.example.com" denied the request'


class Doing:
    """Notes what is done; each label has the same answer of the API server."""

    def __init__(self, adapters: Adapters, answer: ApiError) -> None:
        self.done: list[str] = []
        self._answer = answer
        lease: Any = SimpleNamespace(
            peek=lambda: SimpleNamespace(record=None, renewed_at=adapters.clock()),
            renew=lambda _: self.done.append("renewed"),
            release=lambda *_: self.done.append("released"),
        )
        pods: Any = SimpleNamespace(
            set_role=self._label,
            observe=lambda: (),
            delete=lambda _: self.done.append("deleted"),
        )
        server: Any = SimpleNamespace(
            follow=lambda *_: self.done.append("attached"),
            prepare=lambda _: self.done.append("prepared"),
            keep_slots=lambda *_: self.done.append("slots"),
            set_synchronous=lambda *_: self.done.append("waits"),
            promote=lambda **_: self.done.append("promoted"),
            restores=False,
        )
        events: Any = None
        self._actor = Actor(replace(adapters, pods=pods, lease=lease, server=server), events)

    def _label(self, action: SetRole) -> None:
        self.done.append(f"asked for {action.pod}")
        raise self._answer

    def carry_out(self, *actions: Any) -> str | None:
        return self._actor.carry_out(actions, float("inf"))


def answered(error: ApiError) -> ApiError:
    error.answered = True
    return error


REFUSALS = [ForbiddenError(POLICY), ConflictError(POLICY), RetryLaterError(POLICY)]


@pytest.mark.parametrize("error", REFUSALS, ids=["403", "422", "500"])
def test_a_refused_label_keeps_nothing_else_from_being_done_and_is_told(
    adapters: Adapters, error: ApiError
) -> None:
    doing = Doing(adapters, answered(error))
    told = doing.carry_out(STRIP, Promote(1), OWN, RENEWAL, Attach("10.0.0.1"), ReleaseLease())
    assert doing.done == [
        *("asked for orders-1", "promoted", "asked for orders-0"),
        *("renewed", "attached", "released"),
    ]
    assert told is not None
    assert told.startswith("setting a pod's role label failed: the API server refused it")
    assert POLICY in told


def test_without_an_answer_the_promotion_does_not_wait_for_those_that_are_still_to_be_asked(
    adapters: Adapters,
) -> None:
    """The webhook that judges pods may be gone with the node that was lost."""
    doing = Doing(adapters, RetryLaterError("timed out"))
    other = SetRole("orders-2", "uid-2", None)
    assert doing.carry_out(STRIP, other, Promote(1), RENEWAL, Attach("10.0.0.1")) is not None
    assert doing.done == ["asked for orders-1", "promoted", "attached"]


def test_without_an_answer_a_new_primary_still_lets_others_follow_it(adapters: Adapters) -> None:
    doing = Doing(adapters, RetryLaterError("timed out"))
    wait = SetSynchronous(("orders-1",), 1)
    assert doing.carry_out(OWN, wait, PreparePrimary(), KeepSlots(("orders-1",))) is not None
    assert doing.done == ["asked for orders-0", "prepared", "slots"]


def test_without_an_answer_a_member_that_has_diverged_is_deleted_all_the_same(
    adapters: Adapters,
) -> None:
    """Until then it may be what the label of the primary leads to."""
    doing = Doing(adapters, RetryLaterError("timed out"))
    stripped = SetRole("orders-0", "uid-0", None)
    assert doing.carry_out(stripped, DeleteOwnPod(reclone=False)) is not None
    assert doing.done == ["asked for orders-0", "deleted"]


def test_a_pod_to_be_cloned_again_stays_until_its_label_is_gone_unless_that_was_wished() -> None:
    """Who bears the mark can lead no more; for a wish it is made after the deletion."""
    assert is_left_undone(DeleteOwnPod(reclone=True), refused=False, unheard=True)
    wished = DeleteOwnPod(reclone=True, wish="today")
    assert not is_left_undone(wished, refused=False, unheard=True)


def test_the_next_action_that_fails_ends_the_turn_as_before(adapters: Adapters) -> None:
    doing = Doing(adapters, answered(ForbiddenError(POLICY)))

    def refuse(_: object) -> None:
        raise answered(ConflictError("somebody else wrote"))

    doing._actor._adapters.lease.renew = refuse  # type: ignore[method-assign]
    told = doing.carry_out(STRIP, RENEWAL, ForgetPromotion(), ReleaseLease())
    assert doing.done == ["asked for orders-1"]
    assert told is not None
    assert told.startswith("renewing the Lease failed")
