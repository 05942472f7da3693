"""`make chaos`: real faults on the local cluster, under load; one line a fault.

FAULT=pod-deleted   one fault, or several with commas; without it all
ROUNDS=3            how often each
DURABILITY=async    or sync, quorum
REPLICAS=3          members of the set
POLICY=Parallel     or OrderedReady
DETAILS=1           the steps of each round as well
PICTURE=x.svg       draw the last round
"""

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Final

from deploy.demo.play import local_cluster
from deploy.local import paths
from tests.chaos import faults, leftovers, picture, record, report, subject
from tests.chaos.api import ApiError
from tests.chaos.link import LinkError
from tests.chaos.measure import measure
from tests.chaos.options import DURABILITIES, choice, number, run, show, tell
from tests.chaos.round import Runner
from tests.chaos.sampler import Sampler
from tests.chaos.steps import steps
from tests.chaos.strikes import FaultError
from tests.chaos.verdict import breaches

POLICIES: Final = ("Parallel", "OrderedReady")


def main() -> int:
    """Return 0 when every round was played and every promise kept."""
    environment = os.environ
    parser = argparse.ArgumentParser(
        prog="make chaos", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--fault", default=environment.get("FAULT") or "all")
    parser.add_argument("--rounds", default=environment.get("ROUNDS") or "1")
    parser.add_argument("--durability", default=environment.get("DURABILITY") or "async")
    parser.add_argument("--replicas", default=environment.get("REPLICAS") or "3")
    parser.add_argument("--policy", default=environment.get("POLICY") or "Parallel")
    parser.add_argument("--details", action="store_true", default=bool(environment.get("DETAILS")))
    parser.add_argument("--picture", default=environment.get("PICTURE"))
    chosen = parser.parse_args()
    left = "the fault was taken away, the set is left as it is"
    return run("chaos", lambda workspace: _play(chosen, workspace), left)


def _play(chosen: argparse.Namespace, workspace: Path) -> int:
    wanted = [it for name in chosen.fault.split(",") for it in faults.named(name.strip())]
    rounds = number("ROUNDS", chosen.rounds, 1, 1000)
    replicas = number("REPLICAS", chosen.replicas, 2, 9)
    durability = choice("DURABILITY", chosen.durability, DURABILITIES)
    policy = choice("POLICY", chosen.policy, POLICIES)
    leftovers.take_away()
    stage = local_cluster(workspace)
    folder = paths.state() / "chaos"
    shutil.rmtree(folder, ignore_errors=True)
    subject.install(stage)
    put = subject.new(stage, replicas, durability, policy)
    kept = True
    with Sampler(put) as sampler:
        runner = Runner(put, sampler, folder)
        for fault in wanted:
            try:
                played = [_round(runner, fault, again) for again in range(rounds)]
            except (FaultError, ApiError, LinkError) as error:
                tell(f"{fault.name}: {error}")
                kept = False
                continue
            kept = _report(fault, played, chosen) and kept
    tell(f"What was noted, and the sidecars' logs: {folder}")
    return 0 if kept else 1


def _report(fault: faults.Fault, played: list[record.Record], chosen: argparse.Namespace) -> bool:
    """Print and draw a fault's rounds; return whether every promise was kept."""
    measured = [measure(it) for it in played]
    show(report.line(fault.name, measured))
    if chosen.details:
        for seen in played:
            show(report.details(steps(seen)))
    if chosen.picture:
        drawn = picture.draw(played[-1], f"{fault.name}: {fault.sentence}", measured[-1])
        Path(chosen.picture).write_text(drawn)
    broken = [
        f"{fault.name}, round {number}: {sentence}"
        for number, (seen, it) in enumerate(zip(played, measured, strict=True), start=1)
        for sentence in breaches(fault, chosen.durability, it, seen.trouble, again=number > 1)
    ]
    for sentence in broken:
        tell(sentence)
    return not broken


def _round(runner: Runner, fault: faults.Fault, number: int) -> record.Record:
    seen = runner.play(fault, number)
    record.write(seen, runner.folder / f"{fault.name}-{number + 1}" / "record.json")
    return seen


if __name__ == "__main__":
    sys.exit(main())
