"""When a primary makes again what its replicas need."""

from sidecar.postgres.preparation import AGAIN_SECONDS, Preparation


def test_all_is_made_again_now_and_then_while_a_member_does_not_follow() -> None:
    preparation = Preparation()
    slots, all_follow, one_is_away = ("a", "b"), (1, 2), (1,)
    assert not preparation.is_due_again(slots, one_is_away, 1000.0)
    assert not preparation.is_due_again(slots, one_is_away, 999.0 + AGAIN_SECONDS)
    assert preparation.is_due_again(slots, one_is_away, 1000.0 + AGAIN_SECONDS)
    assert not preparation.is_due_again(slots, one_is_away, 1001.0 + AGAIN_SECONDS)
    assert not preparation.is_due_again(slots, all_follow, 1500.0)
    assert not preparation.is_due_again(slots, one_is_away, 1499.0 + AGAIN_SECONDS)
    assert preparation.is_due_again(slots, one_is_away, 1500.0 + AGAIN_SECONDS)
