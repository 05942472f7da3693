"""`make storm`: a bank under faults that come faster than the set heals, drawn by a seed.

MINUTES=10          how long faults come
SEED=7              of the faults: the same seed makes the same sequence; without it any, and told
DURABILITY=sync     or quorum, sync-strict, async
REPLICAS=3          members of the set
IMAGE=…             pgset's image, where not this tree's own; it has to be on the nodes
POSTGRES_IMAGE=…    likewise
PLAN=1              only tell what would come
"""

import argparse
import itertools
import os
import random
import sys
from dataclasses import replace
from pathlib import Path

from deploy.demo.play import local_cluster
from deploy.demo.stage import Stage
from deploy.local import images, paths
from tests.chaos import leftovers, subject
from tests.chaos.options import DURABILITIES, choice, number, run, show, tell
from tests.chaos.round import Runner
from tests.chaos.sampler import Sampler
from tests.storm import bank, report, story
from tests.storm.faults import KINDS
from tests.storm.judge import breaches, judge
from tests.storm.plan import turns
from tests.storm.play import Storm, folder

_SEEDS = 1_000_000


def main() -> int:
    """Return 0 when the storm was played and every promise kept."""
    environment = os.environ
    parser = argparse.ArgumentParser(
        prog="make storm", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", default=environment.get("MINUTES") or "10")
    parser.add_argument("--seed", default=environment.get("SEED"))
    parser.add_argument("--durability", default=environment.get("DURABILITY") or "sync")
    parser.add_argument("--replicas", default=environment.get("REPLICAS") or "3")
    parser.add_argument("--image", default=environment.get("IMAGE"))
    parser.add_argument("--postgres-image", default=environment.get("POSTGRES_IMAGE"))
    parser.add_argument("--plan", action="store_true", default=bool(environment.get("PLAN")))
    chosen = parser.parse_args()
    left = "the faults were taken away, the set is left as it is"
    return run("storm", lambda workspace: _play(chosen, workspace), left)


def _play(chosen: argparse.Namespace, workspace: Path) -> int:
    minutes = number("MINUTES", chosen.minutes, 1, 10_000)
    drawn = str(random.randrange(_SEEDS))  # noqa: S311 - it is told, so that it can be played again
    seed = number("SEED", chosen.seed or drawn, 0, 10**9)
    replicas = number("REPLICAS", chosen.replicas, 2, 9)
    durability = choice("DURABILITY", chosen.durability, DURABILITIES)
    plan = turns(seed, list(KINDS.values()), replicas)
    if chosen.plan:
        # A turn takes nine seconds or so.
        for place, turn in enumerate(itertools.islice(plan, minutes * 7), start=1):
            show(report.plan(place, turn))
        return 0
    leftovers.take_away()
    stage = _with_images(local_cluster(workspace), chosen)
    subject.install(stage)
    put = subject.new(stage, replicas, durability)
    kept = folder(paths.state(), seed, put.durability)
    tell(f"SEED={seed}, {minutes} min, {put.durability}, {replicas} members")
    with Sampler(put) as sampler:
        runner = Runner(put, sampler, kept, bank.TABLES)
        seen = Storm(runner, plan, minutes * 60.0, tell).play()
    story.write(seen, kept)
    numbers = judge(seen)
    show(report.summary(numbers))
    broken = breaches(numbers, put.durability)
    for sentence in broken:
        tell(sentence)
    tell(f"What was noted, and the sidecars' logs: {kept}")
    return 1 if broken else 0


def _with_images(stage: Stage, chosen: argparse.Namespace) -> Stage:
    if not chosen.image and not chosen.postgres_image:
        return stage
    ours, database = chosen.image or images.PGSET, chosen.postgres_image or images.POSTGRES
    return replace(stage, images=(ours, database))


if __name__ == "__main__":
    sys.exit(main())
