"""Data that is new to the set: it may be a copy that was written to apart from the others."""

from dataclasses import replace

import pytest

from sidecar.action import Attach, Attention, DeleteOwnPod, Rewind, SetRole, StartPostgres
from sidecar.decide import decide
from sidecar.memory.comparison import ComparisonMemory
from sidecar.observation import Fork, Leadership, Observation
from tests.sidecar.rules.observations import (
    DOWN,
    FREE,
    ME,
    NEWER,
    OTHERS,
    REPLICA,
    RETURNED,
    RUNNING,
    SETTINGS,
    STREAMING,
    lease,
    peer,
    situation_and_actions,
)

WITHOUT_ME = replace(OTHERS, members=("orders-1", "orders-2"), history=())
DETACHED = replace(STREAMING, streaming=False, detached=True, upstream="")

NEW = replace(REPLICA, lease=lease(WITHOUT_ME, renewed_at=None), postgres=DETACHED)
"""It has replayed all that it had, and follows nobody yet."""

NO_ROLE = SetRole("orders-0", "uid-0", None)


def starting(observation: Observation) -> tuple[StartPostgres, ...]:
    waits = replace(observation, bootstrap=replace(RETURNED, running=True), postgres=DOWN)
    found = decide(waits, SETTINGS).actions
    return tuple(action for action in found if isinstance(action, StartPostgres))


def test_it_follows_only_once_its_wal_is_known_to_be_the_primarys() -> None:
    assert situation_and_actions(NEW) == ("NotFollowing", (NO_ROLE,))
    same = replace(NEW, wal_matches=True)
    assert situation_and_actions(same) == ("NotFollowing", (NO_ROLE, Attach("10.0.0.1")))


def test_what_was_written_to_apart_stays_out_and_the_operator_is_told_what_to_do() -> None:
    apart = replace(NEW, wal_matches=False)
    assert situation_and_actions(apart) == ("OtherWal", (NO_ROLE,))
    decision = decide(apart, SETTINGS)
    assert decision.attention is Attention.WARNING
    assert "kubectl pgset reinit orders-0" in decision.sentence
    asked = replace(
        apart,
        pods=(replace(apart.pods[0], reinit="now"), *apart.pods[1:]),  # type: ignore[index]
        peers=peer(1, writable=True),
    )
    assert situation_and_actions(asked)[1][-1] == DeleteOwnPod(reclone=True, wish="now")


def test_a_member_on_record_is_not_compared_and_neither_is_what_was_copied_from_the_primary() -> (
    None
):
    led = replace(WITHOUT_ME, history=(Leadership(1, "orders-0", ""),))
    known = (
        replace(NEW, lease=lease(OTHERS, renewed_at=None)),
        replace(NEW, lease=lease(led, renewed_at=None)),
        replace(NEW, bootstrap=replace(RUNNING, copied=True)),
        replace(NEW, bootstrap=replace(RUNNING, rewound=True)),
    )
    memory = ComparisonMemory()
    for member in known:
        assert Attach("10.0.0.1") in decide(member, SETTINGS).actions
        assert decide(replace(member, wal_matches=False), SETTINGS).situation == "NotFollowing"
        record = member.lease.record if member.lease else None
        assert memory.question(member.postgres, record, member.bootstrap, ME) is None
    assert memory.question(NEW.postgres, WITHOUT_ME, NEW.bootstrap, ME) is not None


def test_who_has_led_on_another_timeline_is_no_member_by_that() -> None:
    """The next pod of its name may have another volume."""
    led = replace(WITHOUT_ME, timeline=2, history=(Leadership(2, "orders-0", ""),))
    assert (
        Attach("10.0.0.1")
        not in decide(replace(NEW, lease=lease(led, renewed_at=None)), SETTINGS).actions
    )


@pytest.mark.parametrize("record", [None, FREE, OTHERS], ids=["no Lease", "free", "led"])
def test_it_starts_without_a_primary_to_follow(record: object) -> None:
    """The Service may lead to one before it was compared."""
    members = None if record is None else replace(record, members=("orders-1",), history=())  # type: ignore[type-var]
    unknown = replace(REPLICA, lease=lease(members, renewed_at=None), peers=peer(1))  # type: ignore[arg-type]
    assert starting(unknown) == (StartPostgres(detached=True),)
    assert starting(REPLICA) == (StartPostgres(),)


ON_OLD = replace(
    NEW, lease=lease(replace(WITHOUT_ME, timeline=2), renewed_at=None), bootstrap=RETURNED
)


def test_it_is_not_rewound_before_it_was_compared() -> None:
    """pg_rewind, too, looks at timelines alone, and finds nothing to do."""
    assert starting(ON_OLD) == (StartPostgres(detached=True),)
    member = replace(ON_OLD, lease=lease(NEWER, renewed_at=None), postgres=DOWN)
    assert Rewind("111") in decide(member, SETTINGS).actions


def test_what_it_has_beyond_the_primarys_history_is_set_aside_by_a_clone() -> None:
    """The next bootstrap would not know that it was compared."""
    ahead = replace(
        ON_OLD, bootstrap=replace(RUNNING, can_rewind=True), fork=Fork(1, 4990), wal_matches=True
    )
    situation, actions = situation_and_actions(ahead)
    assert (situation, actions[-1]) == ("Diverged", DeleteOwnPod(reclone=True))
    assert decide(replace(ahead, wal_matches=None), SETTINGS).situation == "NotFollowing"
    assert decide(replace(ahead, wal_matches=False), SETTINGS).situation == "OtherWal"


def test_where_the_primary_has_removed_the_wal_it_is_cloned_again_as_any_member() -> None:
    behind = replace(NEW, peers=peer(1, writable=True, oldest_wal=6000))
    situation, actions = situation_and_actions(behind)
    assert (situation, actions[-1]) == ("LeftBehind", DeleteOwnPod(reclone=True))


class TestWhatIsCompared:
    def test_where_a_standby_has_replayed_all_and_somebody_else_leads(self) -> None:
        memory = ComparisonMemory()

        def question(record: object = WITHOUT_ME, **changes: object) -> object:
            postgres = replace(DETACHED, **changes)  # type: ignore[arg-type]
            return memory.question(postgres, record, RUNNING, ME)  # type: ignore[arg-type]

        assert question() == ("orders-1_uid-1", 1, 5000)
        assert question(position=None) is None
        assert question(blind=True) is None
        assert question(streaming=True) is None
        assert question(replace(WITHOUT_ME, holder="")) is None
        assert question(None) is None

    def test_an_answer_is_about_that_end_and_that_primary(self) -> None:
        memory = ComparisonMemory()
        memory.learn(("orders-1_uid-1", 1, 5000), False)
        assert memory.answer(("orders-1_uid-1", 1, 5000)) is False
        assert memory.answer(("orders-2_uid-2", 1, 5000)) is None
        assert memory.answer(("orders-1_uid-1", 1, 5001)) is None
        assert memory.answer(None) is None
