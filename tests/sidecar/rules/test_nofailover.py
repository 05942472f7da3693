"""An operator wants other members to take over, by annotation `pgset.dev/nofailover` on a pod."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.action import RenewLease, SetSynchronous
from sidecar.contract import NOFAILOVER
from sidecar.decide import decide
from sidecar.observation import Observation
from tests.sidecar.rules.observations import (
    ADOPTED,
    DELETED,
    FREE,
    LEADER,
    NOW,
    QUORUM,
    SETTINGS,
    SYNC,
    VACANT,
    WRITABLE,
    followers,
    lease,
    peer,
    promising,
    waiting,
    wished,
)

WHY = f"its pod has annotation {NOFAILOVER}"


def marked(observation: Observation, *ordinals: int, **changes: Any) -> Observation:
    """The same, where these pods have it; this member's is orders-0."""
    pods = tuple(
        replace(pod, nofailover=number in ordinals)
        for number, pod in enumerate(observation.pods or ())
    )
    return replace(observation, pods=pods, **changes)


# ── the member itself ─────────────────────────────────────────────────────────────────────


def test_it_leads_by_no_election() -> None:
    assert decide(replace(VACANT, peers={}), SETTINGS).situation == "TakingLease"
    decision = decide(marked(VACANT, 0, peers={}), SETTINGS)
    assert (decision.situation, decision.actions) == ("NotToLead", ())
    assert f"this member may not: {WHY}" in decision.sentence


def test_a_marked_member_does_not_lead_as_an_heir_either() -> None:
    handed = replace(VACANT, lease=lease(replace(FREE, heir="orders-0"), renewed_at=None))
    assert decide(handed, SETTINGS).situation == "Succeeding"
    assert decide(marked(handed, 0), SETTINGS).situation == "NotToLead"


@pytest.mark.parametrize("members", [("orders-0",), ()], ids=["the only one", "nobody"])
def test_it_leads_where_no_other_is_on_record(members: tuple[str, ...]) -> None:
    record = replace(FREE, members=members)
    alone = marked(VACANT, 0, lease=lease(record, renewed_at=None), peers={})
    assert decide(alone, SETTINGS).situation == "TakingLease"


def test_it_leads_where_no_lease_tells_of_a_set() -> None:
    assert decide(marked(ADOPTED, 0, peers={}), SETTINGS).situation == "TakingLease"


def test_by_a_record_that_has_gone_back_the_one_furthest_ahead_leads_all_the_same() -> None:
    """The others, too, wait for the one that is ahead, and must not in vain."""
    back = lease(FREE, renewed_at=None, went_back=True)
    lost = replace(VACANT, lease=back, peers=peer(1, position=4000) | peer(2, position=4000))
    assert decide(marked(lost, 0), SETTINGS).situation == "TakingLease"
    behind = replace(lost, peers=peer(1, position=9000) | peer(2))
    assert decide(marked(behind, 1), SETTINGS).situation == "YieldingToPeer"


def test_a_primary_goes_on() -> None:
    assert decide(marked(LEADER, 0), SETTINGS) == decide(LEADER, SETTINGS)
    lost = lease(replace(FREE, holder=""), renewed_at=NOW - 1)
    assert decide(marked(LEADER, 0, lease=lost), SETTINGS).situation == "Reclaiming"


# ── the others ────────────────────────────────────────────────────────────────────────────


def test_nobody_waits_for_it_to_lead() -> None:
    ahead = replace(VACANT, peers=peer(1, position=9000))
    assert decide(ahead, SETTINGS).situation == "YieldingToPeer"
    assert decide(marked(ahead, 1), SETTINGS).situation == "TakingLease"


def test_nobody_hands_over_to_it() -> None:
    assert "over to orders-1" in decide(DELETED, SETTINGS).sentence
    assert "over to orders-2" in decide(marked(DELETED, 1), SETTINGS).sentence


def test_a_switchover_to_it_is_refused() -> None:
    decision = decide(marked(wished("orders-1"), 1), SETTINGS)
    assert decision.situation == "RefusingSwitchover"
    assert WHY in decision.actions[-1].sentence  # type: ignore[union-attr]


# ── what commits wait for ─────────────────────────────────────────────────────────────────


def test_with_sync_no_commit_waits_for_it_where_another_may_lead() -> None:
    seen = replace(LEADER, lease=lease(promising(0, copies=1)))
    assert SetSynchronous(("orders-1", "orders-2"), 2) in decide(seen, SYNC).actions
    assert SetSynchronous(("orders-2",), 1) in decide(marked(seen, 1), SYNC).actions


@pytest.mark.parametrize("others", [(1, 2), (1,)], ids=["all have it", "no other streams"])
def test_with_sync_commits_wait_for_it_where_no_other_may_lead(others: tuple[int, ...]) -> None:
    streams = replace(WRITABLE, followers=followers(*others))
    seen = replace(LEADER, lease=lease(promising(0, copies=1)), postgres=streams)
    names = tuple(f"orders-{number}" for number in others)
    assert SetSynchronous(names, len(names)) in decide(marked(seen, *others), SYNC).actions


def test_with_sync_it_is_off_the_record_before_commits_stop_waiting_for_it() -> None:
    kept = replace(LEADER, lease=lease(promising(0, 1, 2, copies=3)), postgres=waiting(1, 2))
    renewal, setting = decide(marked(kept, 1), SYNC).actions[:2]
    assert isinstance(renewal, RenewLease)
    assert (renewal.voters, renewal.copies) == (("orders-0", "orders-2"), 2)
    assert setting == SetSynchronous(("orders-2",), 1)


def test_with_quorum_commits_are_on_the_others_before_the_record_says_so() -> None:
    kept = promising(0, 1, 2, copies=2)
    seen = replace(LEADER, lease=lease(kept), postgres=waiting(1, 2, number=1))
    assert not any(isinstance(it, SetSynchronous) for it in decide(seen, QUORUM).actions)
    assert decide(marked(seen, 1), QUORUM).actions == (SetSynchronous(("orders-2",), 1),)
    waits = replace(seen, postgres=waiting(2, number=1))
    (renewal,) = decide(marked(waits, 1), QUORUM).actions
    assert isinstance(renewal, RenewLease)
    assert (renewal.voters, renewal.copies) == (("orders-0", "orders-2"), 2)


def test_with_quorum_commits_wait_for_it_again_as_soon_as_no_other_streams() -> None:
    """The promise of three is the weaker one, so it is on record at once."""
    alone = replace(waiting(2), followers=followers(1))
    seen = replace(LEADER, lease=lease(promising(0, 2, copies=2)), postgres=alone)
    renewal, setting = decide(marked(seen, 1), QUORUM).actions[:2]
    assert isinstance(renewal, RenewLease)
    assert (renewal.voters, renewal.copies) == (("orders-0", "orders-1", "orders-2"), 2)
    assert setting == SetSynchronous(("orders-1", "orders-2"), 1)


def test_a_primary_that_is_marked_has_its_copy_all_the_same() -> None:
    seen = replace(LEADER, lease=lease(promising(0, copies=1)))
    assert decide(marked(seen, 0), QUORUM) == decide(seen, QUORUM)
