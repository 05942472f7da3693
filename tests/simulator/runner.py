"""One run: a schedule is carried out, the judge looks on."""

from dataclasses import dataclass

from tests.simulator.client import Client
from tests.simulator.faults import registry
from tests.simulator.faults.strike import Strike
from tests.simulator.judge.judge import Judge
from tests.simulator.judge.violation import ViolationError
from tests.simulator.kubernetes.api_server import LeaseChanged
from tests.simulator.member.agent import Agent
from tests.simulator.member.parts import Parts
from tests.simulator.reader import Reader
from tests.simulator.schedule import Schedule
from tests.simulator.simulation import Simulation
from tests.simulator.world import CLIENT, World


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run."""

    violation: ViolationError | None
    transcript: tuple[str, ...]
    commits: int
    promotions: int
    leader: str | None
    """Who holds the Lease at the end."""


def run(schedule: Schedule, parts: Parts = Parts(), *, recording: bool = False) -> Result:  # noqa: B008 - frozen
    """Carry a schedule out with members that are made so."""
    simulation = Simulation(schedule, parts, Agent)
    world, cluster = simulation.world, simulation.cluster
    if recording:
        world.transcript = []
        _note_holders(world)
    judge = Judge(simulation, only_wishes=registry.only_wishes(schedule))
    violation = None
    try:
        cluster.reconcile_soon()
        _start_clients(simulation)
        for fault in schedule.faults:
            strike = Strike(registry.ALL[fault.kind], fault, cluster, judge)
            world.after(fault.at, strike.begin)
        judge.start()
        world.run_until(schedule.length)
        judge.settling.wait()
    except ViolationError as error:
        violation = error
    return Result(
        violation,
        tuple(world.transcript or ()),
        judge.commits.count,
        judge.promotions,
        cluster.api.lease.holder_pod if cluster.api.lease is not None else None,
    )


def _start_clients(simulation: Simulation) -> None:
    schedule, cluster = simulation.schedule, simulation.cluster
    every, size = schedule.commit_every, schedule.commit_size
    Client(cluster, CLIENT, every, size)
    if schedule.second_writer is not None:
        Client(cluster, schedule.second_writer, 2.1 * every, size)
    if schedule.durability != "async":
        Reader(cluster, schedule.seed)


def _note_holders(world: World) -> None:
    """For the transcript."""

    def note(event: LeaseChanged) -> None:
        before, after = event.before, event.after
        if (before.holder if before else "") != after.holder:
            heir = f", heir {after.heir}" if after.heir and not after.holder else ""
            world.note("Lease", f"is held by {after.holder or 'nobody'}{heir}")

    world.subscribe(LeaseChanged, note)
