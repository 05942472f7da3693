"""Three minutes of `make storm`: faults that come faster than the set heals."""

import pytest

from deploy.demo.stage import Stage
from deploy.local import paths
from tests.chaos import leftovers, subject
from tests.chaos.round import Runner
from tests.chaos.sampler import Sampler
from tests.storm import bank, report, story
from tests.storm.faults import KINDS
from tests.storm.judge import breaches, judge
from tests.storm.plan import turns
from tests.storm.play import Storm, folder

pytestmark = [pytest.mark.cluster, pytest.mark.rarely]

SECONDS = 180.0
SEED = 1
REPLICAS = 3
DURABILITY = "sync"


def test_a_bank_in_a_storm_loses_nothing_and_every_member_returns(played_on: Stage) -> None:
    leftovers.take_away()
    subject.install(played_on)
    put = subject.new(played_on, REPLICAS, DURABILITY)
    kept = folder(paths.state(), SEED, DURABILITY)
    told: list[str] = []
    plan = turns(SEED, list(KINDS.values()), REPLICAS)
    with Sampler(put) as sampler:
        runner = Runner(put, sampler, kept, bank.TABLES)
        seen = Storm(runner, plan, SECONDS, told.append).play()
    story.write(seen, kept)
    numbers = judge(seen)
    told += [report.summary(numbers), f"see {kept}"]
    assert breaches(numbers, DURABILITY) == [], "\n".join(told)
    subject.sweep(played_on)
