"""The promise about acknowledged commits: what it implies, and how it changes safely."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.synchronous import (
    EVERYWHERE,
    NONE,
    Promise,
    can_have_acknowledged,
    next_promise,
    promised,
)

NAMES = ("p", "a", "b", "c", "d")
LEADER = "p"


def promise(voters: str, copies: int) -> Promise:
    return Promise(frozenset(voters), copies)


_voters = st.sets(st.sampled_from(NAMES[1:])).map(lambda names: frozenset(names) | {LEADER})
_promises = _voters.flatmap(
    lambda voters: st.integers(1, len(voters)).map(lambda copies: Promise(voters, copies))
)


def keeps(holders: frozenset[str], kept: Promise) -> bool:
    return len(holders & kept.voters) >= kept.copies


@given(_promises, _promises)
def test_what_a_promise_implies_is_true_of_every_commit_that_keeps_it(
    old: Promise, new: Promise
) -> None:
    """Every set of members that a commit may be on, the primary always among them."""
    commits = [
        frozenset(on) | {LEADER}
        for size in range(len(NAMES))
        for on in itertools.combinations(NAMES[1:], size)
    ]
    always = all(keeps(commit, new) for commit in commits if keeps(commit, old))
    assert old.implies(new, LEADER) == always


@pytest.mark.parametrize("durability", ["sync", "sync-strict", "quorum"])
@given(recorded=_voters, wanted=_voters)
def test_there_is_a_safe_order_for_every_step(
    durability: str, recorded: frozenset[str], wanted: frozenset[str]
) -> None:
    old, goal = promised(recorded, durability), promised(wanted, durability)
    for _ in range(10):
        if old == goal:
            return
        new = next_promise(old, goal, durability, may_lead=NAMES)
        assert new != old
        # Either the record may change first, or PostgreSQL may.
        assert old.implies(new, LEADER) or new.implies(old, LEADER)
        old = new
    raise AssertionError("the goal is never reached")


def test_sync_has_every_commit_on_each_voter_and_quorum_on_most() -> None:
    assert promised("pab", "sync") == promise("pab", 3)
    assert promised("pab", "quorum") == promise("pab", 2)
    assert promised("pabc", "quorum") == promise("pabc", 3)
    assert promised("pab", "async") == NONE


def test_a_change_of_durability_is_one_step() -> None:
    assert next_promise(promise("pab", 3), promised("pab", "quorum"), "quorum", NAMES) == promise(
        "pab", 2
    )
    assert next_promise(promise("pab", 3), NONE, "async", NAMES) == NONE


def test_the_standbys_that_commits_wait_for_are_the_voters_but_the_primary() -> None:
    assert promise("pab", 3).names("p") == ("a", "b")


@pytest.mark.parametrize(
    ("promise", "places", "furthest"),
    [
        (NONE, {}, (0, 0)),
        (promise("pab", 3), {"a": (1, 90)}, (1, 90)),
        (promise("pab", 3), {}, EVERYWHERE),
        (promise("pab", 3), {"p": (1, 100), "a": (1, 90), "b": (1, 80)}, (1, 80)),
        (promise("pab", 2), {"p": (1, 100), "a": (1, 90), "b": (1, 80)}, (1, 90)),
        (promise("pab", 2), {"a": (1, 90), "b": (1, 80)}, (1, 90)),
        (promise("pab", 2), {"b": (1, 80)}, EVERYWHERE),
        (promise("pa", 1), {"a": (1, 90)}, EVERYWHERE),
        (promise("pab", 2), {"a": (1, 90), "b": (2, 10)}, (2, 10)),
    ],
)
def test_how_far_commits_may_have_been_acknowledged(
    promise: Promise, places: dict[str, tuple[int, int]], furthest: tuple[int, int]
) -> None:
    assert can_have_acknowledged(promise, places) == furthest


@given(
    _promises,
    st.tuples(*[st.integers(0, 9)] * len(NAMES)),
    st.sets(st.sampled_from(NAMES)),
)
def test_who_is_as_far_as_that_has_every_commit_that_keeps_the_promise(
    kept: Promise, ends: tuple[int, ...], told: set[str]
) -> None:
    """A commit at position x is on every member whose WAL ends at x or beyond."""
    end = dict(zip(NAMES, ends, strict=True))
    furthest = can_have_acknowledged(kept, {name: (1, end[name]) for name in told})
    for position in range(10):
        holders = frozenset(name for name in NAMES if end[name] >= position)
        if keeps(holders, kept):
            assert furthest >= (1, position)


def test_where_most_voters_are_gone_for_good_all_that_stay_must_have_everything() -> None:
    """Scaled from five to two at once: no majority of five will ever answer again."""
    step = next_promise(promise("pabcd", 3), promised("pa", "quorum"), "quorum", may_lead="pa")
    assert step == promise("pa", 2)
    larger = next_promise(promise("pabcd", 3), promised("pab", "quorum"), "quorum", may_lead="pab")
    assert larger == promise("pab", 3)
    assert next_promise(larger, promised("pab", "quorum"), "quorum", "pab") == promise("pab", 2)
    still_there = next_promise(promise("pabcd", 3), promised("pa", "quorum"), "quorum", "pabcd")
    assert still_there == promise("pacd", 3)
