"""How often PostgreSQL is looked at."""

from dataclasses import replace

import pytest

from sidecar.observation import Follower
from sidecar.postgres.polling import seconds_to_poll
from tests.sidecar.rules.observations import NOW, followers, waiting

AHEAD = followers(1, 2, position=6000)


@pytest.mark.parametrize(
    ("present", "promotes", "often"),
    [
        (followers(1, 2), True, True),
        ((), True, True),
        (AHEAD, True, False),
        (followers(1, 2), False, False),
    ],
    ids=["behind", "away", "settled", "long-ago"],
)
def test_a_new_primary_is_looked_at_often_until_the_standbys_have_what_it_has(
    present: tuple[Follower, ...], *, promotes: bool, often: bool
) -> None:
    view = replace(waiting(1, 2, since=6000), followers=present)
    seconds = seconds_to_poll(view, NOW, promotes=promotes, wal_grows=False)
    assert (seconds < 0.1) is often
