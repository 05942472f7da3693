"""Each fault once, for real: what must never happen, and that the set heals.

`make chaos` plays the same faults, more often, and prints the times; here none is asserted.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from deploy.demo.stage import Stage
from deploy.local import paths
from tests.chaos import faults, leftovers, record, report, subject
from tests.chaos.measure import measure
from tests.chaos.round import Runner
from tests.chaos.sampler import Sampler
from tests.chaos.steps import steps
from tests.chaos.verdict import breaches, too_many_takeovers

pytestmark = pytest.mark.cluster

UNPLANNED = ("postmaster-killed", "node-cut", "node-killed")
"""What takes a primary away without a chance to send what it has: here durability counts."""

LANES = ("chaos-0", "chaos-1")
"""Each is a process with a set of its own. A fault that strikes nothing but the set is in one."""

SELDOM = (
    "api-slow",
    "etcd-stopped",
    "evicted",
    "kubelet-stopped-100s",
    "node-cut",
    "node-cut-incoming",
    "node-cut-outgoing",
    "node-cut-during-clone",
    "node-cut-during-switchover",
    "node-cut-from-api-100s",
    "node-cut-from-peers",
    "pod-deleted-during-clone",
    "sidecar-killed-during-switchover",
)
"""What takes long, and others nearly show: `node-cut` is played under `sync` each time."""

IN_ORDER = ("all-pods-deleted", "rolled")
"""What the StatefulSet controller does otherwise where it makes one pod after the other."""

NewRunner = Callable[..., Runner]


@pytest.fixture(scope="module")
def runners(played_on: Stage) -> Iterator[NewRunner]:
    """One set for each kind, made when it is asked for first and then kept."""
    leftovers.take_away()
    subject.install(played_on)
    made: dict[tuple[str, str], Runner] = {}
    with ExitStack() as stack:

        def runner(durability: str, policy: str = "Parallel") -> Runner:
            kind = (durability, policy)
            if kind not in made:
                # One set at a time: they have the same name.
                made.clear()
                stack.pop_all().close()
                put = subject.new(played_on, 3, durability, policy)
                sampler = stack.enter_context(Sampler(put))
                made[kind] = Runner(put, sampler, paths.state() / "chaos" / "-".join(kind))
            return made[kind]

        yield runner
    subject.sweep(played_on)


def each_fault() -> list[Any]:
    """Those that strike nothing but the set in turn for one lane and the other."""
    lanes = itertools.cycle(LANES)
    return [
        pytest.param(
            fault,
            id=fault.name,
            marks=[
                *([] if fault.alone else [pytest.mark.beside(lane=next(lanes))]),
                *([pytest.mark.rarely] if fault.name in SELDOM else []),
            ],
        )
        for fault in faults.named("all")
    ]


@pytest.mark.parametrize("fault", each_fault())
def test_the_set_survives(runners: NewRunner, fault: faults.Fault) -> None:
    play(runners("async"), fault)


@pytest.mark.rarely
@pytest.mark.beside(lane="chaos-0")
@pytest.mark.parametrize("name", IN_ORDER)
def test_a_set_whose_pods_are_made_in_order_survives(runners: NewRunner, name: str) -> None:
    play(runners("async", "OrderedReady"), faults.ALL[name])


@pytest.mark.parametrize(
    "name",
    [
        # The first strikes nothing but its set, the last shows what the one before nearly shows.
        pytest.param(UNPLANNED[0], marks=pytest.mark.beside(lane="chaos-1")),
        UNPLANNED[1],
        pytest.param(UNPLANNED[2], marks=pytest.mark.rarely),
    ],
)
@pytest.mark.parametrize("durability", ["sync", pytest.param("quorum", marks=pytest.mark.rarely)])
def test_no_promised_row_is_lost(runners: NewRunner, durability: str, name: str) -> None:
    play(runners(durability), faults.ALL[name])


ROUNDS = 3
"""A takeover that a fault does not call for may be called for by a machine that stood still for
seconds, but not in each of so many rounds."""


def play(runner: Runner, fault: faults.Fault) -> None:
    told: list[str] = []
    for number in range(ROUNDS):
        seen = runner.play(fault, number)
        folder = runner.folder / f"{fault.name}-{number + 1}"
        record.write(seen, folder / "record.json")
        numbers = measure(seen)
        told += [report.line(fault.name, [numbers]), report.details(steps(seen)), f"see {folder}"]
        broken = breaches(fault, runner.subject.durability, numbers, seen.trouble)
        if broken != [too_many_takeovers(fault, numbers)]:
            break
        runner.renew()
    assert broken == [], "\n".join(told)
