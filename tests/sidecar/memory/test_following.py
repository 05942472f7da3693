"""Who was promoted by hand is told from who leads by right."""

from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.following_file import FollowingFile
from sidecar.memory.following import Following
from sidecar.observation import LeaseView, PostgresView
from tests.sidecar.rules.observations import (
    DOWN,
    FREE,
    ME,
    OTHERS,
    RECORD,
    STREAMING,
    WRITABLE,
    lease,
)

ANOTHERS = lease(OTHERS, renewed_at=None)
PROMOTED = replace(WRITABLE, timeline=2)


def seen(*looks: tuple[PostgresView, LeaseView | None]) -> int | None:
    """What is told after these looks, one after the other."""
    following = Following()
    return [following.promoted_from(postgres, view, ME) for postgres, view in looks][-1]


@pytest.mark.parametrize("view", [ANOTHERS, lease(FREE, renewed_at=None)], ids=["held", "free"])
def test_who_streamed_and_is_writable_without_the_lease_was_promoted_by_hand(
    view: LeaseView,
) -> None:
    assert seen((STREAMING, ANOTHERS), (PROMOTED, view)) == 1
    ends = replace(STREAMING, streaming=False)
    assert seen((STREAMING, ANOTHERS), (ends, view), (DOWN, view), (PROMOTED, view)) == 1


def test_a_restarted_sidecar_knows_what_the_one_before_has_seen(tmp_path: Path) -> None:
    assert FollowingFile(tmp_path).promoted_from(STREAMING, ANOTHERS, ME) is None
    assert FollowingFile(tmp_path).promoted_from(PROMOTED, None, ME) == 1
    assert FollowingFile(tmp_path).promoted_from(PROMOTED, lease(RECORD), ME) is None
    assert FollowingFile(tmp_path).promoted_from(PROMOTED, ANOTHERS, ME) is None


def test_who_has_held_the_lease_since_may_have_the_sets_own_rows() -> None:
    """Whoever asked for the promotion."""
    assert seen((STREAMING, ANOTHERS), (PROMOTED, lease(RECORD))) is None
    ends = replace(STREAMING, streaming=False)
    held = ((STREAMING, ANOTHERS), (ends, lease(RECORD)))
    assert seen(*held, (PROMOTED, lease(RECORD)), (PROMOTED, ANOTHERS)) is None
    assert seen(*held, (STREAMING, ANOTHERS), (PROMOTED, ANOTHERS)) == 1


@pytest.mark.parametrize(
    "looks",
    [
        ((PROMOTED, ANOTHERS),),
        ((STREAMING, lease(FREE, renewed_at=None)), (PROMOTED, ANOTHERS)),
        ((STREAMING, None), (PROMOTED, ANOTHERS)),
        ((STREAMING, ANOTHERS), (replace(PROMOTED, blind=True), ANOTHERS)),
        ((STREAMING, ANOTHERS), (replace(PROMOTED, timeline=1), ANOTHERS)),
        ((STREAMING, ANOTHERS), (replace(STREAMING, timeline=2), ANOTHERS)),
    ],
    ids=[
        "never seen to follow",
        "followed while nobody led",
        "followed before the Lease was seen",
        "may not be looked at",
        "on the timeline that it followed",
        "read-only",
    ],
)
def test_where_that_is_not_sure_nothing_is_told(
    looks: tuple[tuple[PostgresView, LeaseView | None], ...],
) -> None:
    assert seen(*looks) is None
