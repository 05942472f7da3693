"""What an update of a set that runs may change in PostgreSQL's arguments, and what not."""

import pytest

from tests.webhook import objects
from tests.webhook.changes import together
from tests.webhook.test_server_checks import replicas, stamped, with_args
from webhook.errors import DeniedError
from webhook.mutate import mutate_statefulset


def updated(before, after, number=3):
    old = stamped(together(with_args(*before), replicas(number)))
    new = objects.changed(old, with_args(*after))
    return mutate_statefulset(objects.review_of(new, "UPDATE", old=old))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["-N", "200"], ["-N", "100"]),
        (["-c", "max_connections=200"], ["-N100"]),
        (["--max-worker-processes=0x10"], ["-c", "max_worker_processes=8"]),
        (["-c", "max_wal_senders=10"], ["-c", "max_wal_senders=5"]),
        (["-c", "max_prepared_transactions=9"], ["-c", "max_prepared_transactions=0"]),
        (["-c", "max_locks_per_transaction=128"], ["-c", "max_locks_per_transaction=64"]),
    ],
)
def test_what_standbys_refuse_to_start_with_is_not_lowered_by_arguments(before, after):
    with pytest.raises(DeniedError, match=r"ALTER SYSTEM on each member"):
        updated(before, after)


def test_members_do_not_move_to_another_port_one_by_one():
    with pytest.raises(DeniedError, match="port changes from 5432 to 5433"):
        updated(["-p", "5432"], ["-p", "5433"])


@pytest.mark.parametrize(
    ("before", "after", "number"),
    [
        (["-p", "5432"], ["-p", "5433"], 1),
        (["-p", "5433"], ["--port=5433"], 3),
        (["-N", "100"], ["-N", "200"], 3),
        (["-N", "200"], [], 3),
        (["-N", "200"], ["-N", "100"], 1),
        (["-N", "$(MANY)"], ["-N", "100"], 3),
    ],
    ids=[
        "a port",
        "the same port",
        "raised",
        "left to a file, where pgset lowers it",
        "the only member",
        "not known",
    ],
)
def test_what_members_start_with_is_accepted(before, after, number):
    assert updated(before, after, number).warnings is not None
