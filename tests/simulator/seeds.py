"""The schedule of a seed: the same each time."""

import random
from dataclasses import replace
from typing import Final

from tests.simulator.faults.registry import ALL
from tests.simulator.schedule import Fault, Schedule

FAULTS_END: Final = 190.0
"""Seconds: nothing is wrong any more after that."""


_OF_ONE: Final = 0.04
"""How many of the sets have one member."""

_GIVEN_UP: Final = 0.1
"""In how many of the schedules an operator wants a member to lead whatever others have."""


_MARKED: Final = 0.25
"""In how many of them a member is not to take over, or is preferred."""


def from_seed(seed: int, *, world: bool = False) -> Schedule:
    """Make the schedule of a seed; with `world`, the same with one or two of its faults more."""
    chance = random.Random(f"pgset {seed}")  # noqa: S311 - a simulation
    ttl = chance.choice((10, 20, 30))
    members = chance.choice((2, 3, 3, 4, 5))
    kinds = [name for name, kind in ALL.items() if not kind.world]
    if chance.random() < 0.12:
        kinds = sorted(name for name, kind in ALL.items() if kind.wish)
    if chance.random() < 0.5:
        # Together they may well take away all that knew of a commit.
        kinds.remove("scale")
    elif "delete_lease" in kinds:
        kinds.remove("delete_lease")
    weights = [ALL[kind].weight for kind in kinds]
    count = min(12, 1 + int(chance.expovariate(0.35)))
    start = 10.0 if chance.random() < 0.15 else 40.0
    # What comes at once, or into what the last one has begun, is what finds most.
    centres = [chance.uniform(start, FAULTS_END - 30) for _ in range(chance.randint(1, 3))]
    spread = chance.choice((1.0, 5.0, 15.0, 80.0))
    faults = sorted(
        (
            _fault(
                chance,
                kind,
                members,
                ttl,
                min(
                    FAULTS_END - 30,
                    max(start, chance.choice(centres) + chance.uniform(-spread, spread)),
                ),
            )
            for kind in chance.choices(kinds, weights, k=count)
        ),
        key=lambda fault: fault.at,
    )
    schedule = Schedule(
        seed=seed,
        members=members,
        durability=chance.choice(("async", "sync", "sync-strict", "quorum")),
        ttl=ttl,
        renew_interval={10: 2, 20: 5, 30: 7}[ttl],
        parallel=chance.random() < 0.6,
        tick=chance.choice((2.0, 5.0, 5.0, 5.0, 5.0, 10.0, 10.0, 10.0, 10.0, 10.0)),
        commit_every=chance.choice((0.5, 1.0, 2.0, 3.0)),
        commit_size=chance.choice((100, 100_000, 4_000_000)),
        second_writer=chance.randrange(members) if chance.random() < 0.4 else None,
        faults=tuple(faults),
    )
    return _with_marks(_with_a_failover(_in_the_world(schedule))) if world else schedule


def _in_the_world(schedule: Schedule) -> Schedule:
    """Drawn apart, so that a seed has the other faults that it has without."""
    chance = random.Random(f"pgset world {schedule.seed}")  # noqa: S311 - a simulation
    kinds = [kind for kind in ALL.values() if kind.world]
    weights = [kind.weight for kind in kinds]
    more = [
        _fault(
            chance,
            kind.name,
            schedule.members,
            schedule.ttl,
            chance.uniform(40.0, FAULTS_END - 30),
        )
        for kind in chance.choices(kinds, weights, k=chance.randint(1, 2))
    ]
    if chance.random() < _OF_ONE:
        # What is aimed at another member happens to nobody.
        schedule = replace(schedule, members=1, second_writer=None)
    return replace(
        schedule,
        faults=tuple(sorted((*schedule.faults, *more), key=lambda fault: fault.at)),
        orders=chance.choice(((0.01, 0.5), (0.01, 0.5), (0.01, 0.5), (0.5, 4.0))),
    )


def _with_a_failover(schedule: Schedule) -> Schedule:
    """Apart from these, too: now and then somebody gives up what a member lacks."""
    chance = random.Random(f"pgset failover {schedule.seed}")  # noqa: S311 - a simulation
    if chance.random() >= _GIVEN_UP:
        return schedule
    at = chance.uniform(40.0, FAULTS_END - 30)
    wish = _fault(chance, "failover", schedule.members, schedule.ttl, at)
    faults = sorted((*schedule.faults, wish), key=lambda fault: fault.at)
    return replace(schedule, faults=tuple(faults))


def _with_marks(schedule: Schedule) -> Schedule:
    """Apart again: who is not to take over, or is preferred, mostly from before the first fault
    on."""
    chance = random.Random(f"pgset marks {schedule.seed}")  # noqa: S311 - a simulation
    if chance.random() >= _MARKED:
        return schedule
    marks = []
    for _ in range(chance.randint(1, 2)):
        at = chance.choice((35.0, chance.uniform(35.0, FAULTS_END - 30)))
        seconds = chance.uniform(10.0, FAULTS_END - at)
        kind = chance.choice(("nofailover", "nofailover", "prefer"))
        marks.append(Fault(at, kind, chance.randrange(schedule.members), seconds))
    faults = sorted((*schedule.faults, *marks), key=lambda fault: fault.at)
    return replace(schedule, faults=tuple(faults))


def _fault(chance: random.Random, name: str, members: int, ttl: int, time: float) -> Fault:
    kind = ALL[name]
    at = round(time, 3)
    about = chance.choice((0.5, 2.0, 0.6 * ttl, ttl, 1.5 * ttl, 3 * ttl))
    seconds = round(min(about * chance.uniform(0.5, 1.5), FAULTS_END - at), 3)
    # Most of what is interesting happens to the primary, which is pod 0 at first.
    target = 0 if chance.random() < 0.4 else chance.randrange(members)
    if chance.random() < 0.3:
        target = -1
    detail = chance.choice(kind.details) if kind.details else ""
    fault = Fault(at, name, target, seconds, detail)
    return kind.draw(chance, fault, members) if kind.draw is not None else fault
