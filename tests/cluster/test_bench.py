"""What `make bench-…` measures on the cluster; the numbers are for a reader, and not asserted."""

from collections import Counter

import pytest

from deploy.demo.stage import Stage
from tests.bench import agent, subject
from tests.bench.cost import table
from tests.bench.pods import __main__ as pods
from tests.bench.pods import result
from tests.bench.pods.creations import Kind
from tests.bench.sets.bench import Bench
from tests.chaos.subject import install

pytestmark = pytest.mark.cluster


@pytest.mark.rarely
def test_each_member_of_a_set_at_rest_has_a_line_with_its_cost(played_on: Stage) -> None:
    install(played_on)
    costs = agent.measure(played_on, seconds=30, settle=5)
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


@pytest.mark.rarely
def test_pods_of_sets_and_plain_ones_are_created_and_timed_and_deleted(played_on: Stage) -> None:
    install(played_on)
    measured = pods.measure(played_on, pods.Options(pods=20, connections=8, rounds=1, seed=0))
    # Also that pods of sets came back with a sidecar, and the others without.
    assert result.faults(measured.answers) == []
    assert Counter(it.kind for it in measured.answers) == dict.fromkeys(Kind, 20)
    # Of requests through a real API server.
    assert all(0.1 < it.milliseconds < 60_000 for it in measured.answers)
    namespaces = played_on.get("namespaces", namespace=None)["items"]
    assert subject.NAMESPACE not in {it["metadata"]["name"] for it in namespaces}


@pytest.mark.rarely
def test_a_real_set_is_measured_at_rest_and_when_its_node_is_lost(played_on: Stage) -> None:
    install(played_on)
    bench = Bench(played_on, seconds=10)
    try:
        empty = bench.begin()
        one = bench.grow(0, 1)
        loss = bench.lose_node(1)
    finally:
        bench.sweep()
    # Two sidecars more ask for nothing, and the third renews the Lease.
    assert one.requests > empty.requests
    assert one.etcd_writes > empty.etcd_writes
    assert one.share("sidecars") > empty.share("sidecars") == 0
    # Nobody takes the Lease before its time is over.
    assert [1 < it < 120 for it in loss.gaps] == [True]
