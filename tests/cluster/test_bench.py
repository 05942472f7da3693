"""`make bench-agent` measures every member; its numbers are for a reader, and not asserted."""

import pytest

from deploy.demo.stage import Stage
from tests.bench import agent, subject
from tests.bench.cost import table
from tests.chaos.subject import install

pytestmark = pytest.mark.cluster


def test_each_member_of_a_set_at_rest_has_a_line_with_its_cost(played_on: Stage) -> None:
    install(played_on)
    costs = agent.measure(played_on, seconds=10, settle=5)
    roles = sorted(it.role for it in costs)
    assert roles == ["primary", *["replica"] * (subject.REPLICAS - 1)]
    for it in costs:
        # Of a Python program with a TLS client; and less than all of one core.
        assert 5 < it.pss < 200, it
        assert it.pss <= it.rss, it
        assert 0 < it.cpu < 3600, it
        # Nobody but the leader writes; a replica may ask for nothing at all.
        assert all(number >= 0 for number in it.requests.values()), it
        assert (it.requests["update"] > 0) == (it.role == "primary"), it
    lines = table(costs).splitlines()
    assert {line.split()[0] for line in lines} >= {it.member for it in costs}
