"""What the benchmark's numbers mean, on looks made by hand."""

from dataclasses import replace

import pytest

from tests.bench.cost import (
    Cost,
    Look,
    NotMeasuredError,
    cost,
    parse_busy,
    parse_cpu,
    parse_memory,
    parse_requests,
    table,
)

FIRST = Look("primary", 7, 1000.0, 5.0, 30_000_000, 45_000_000, {"list": 3, "update": 10})
LAST = Look("primary", 7, 1030.0, 5.1, 31_500_000, 46_000_000, {"list": 3, "update": 25})
REPLICA = Cost("bench-0", "replica", 30.0, 45.0, 9.0, {"watch": 0.5, "update": 0.0})


def test_a_member_costs_what_its_sidecar_took_between_the_looks() -> None:
    found = cost("bench-1", FIRST, LAST)
    assert replace(found, cpu=round(found.cpu, 6)) == Cost(
        "bench-1", "primary", 31.5, 46.0, 12.0, {"list": 0.0, "update": 30.0}
    )
    assert found.all_requests == 30.0


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (replace(LAST, pid=8), "its sidecar was started again"),
        (replace(LAST, role="replica"), "primary first, then replica"),
    ],
    ids=["restart", "failover"],
)
def test_a_member_that_was_not_at_rest_has_no_cost(last: Look, reason: str) -> None:
    with pytest.raises(NotMeasuredError, match=f"bench-1 was not at rest: {reason}"):
        cost("bench-1", FIRST, last)


def test_cpu_time_is_that_of_user_and_system_whatever_the_process_is_called() -> None:
    stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 900 0 0 0 250 50 9 9 20 0 11 0 4711 1 2 3"
    assert parse_cpu(stat, ticks=100) == 3.0


def test_memory_is_told_in_bytes() -> None:
    rollup = (
        "00400000-7ffddd2c8000 ---p 00000000 00:00 0                              [rollup]\n"
        "Rss:               46684 kB\n"
        "Pss:               32412 kB\n"
        "Pss_Dirty:         28568 kB\n"
    )
    assert parse_memory(rollup) == (32412 * 1024, 46684 * 1024)


def test_requests_are_read_by_their_verb() -> None:
    metrics = (
        "# TYPE pgset_api_requests_total counter\n"
        'pgset_api_requests_total{set="bench",verb="list"} 3.0\n'
        'pgset_api_requests_total{set="bench",verb="update"} 1.25e+03\n'
        'pgset_info{set="bench",version="0.2.0"} 1.0\n'
    )
    assert parse_requests(metrics) == {"list": 3.0, "update": 1250.0}


def test_a_machine_that_is_idle_or_waits_for_its_disk_is_not_busy() -> None:
    stat = "cpu  10 20 30 400 500 6 7 8 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
    assert parse_busy(stat) == (81, 981)


def test_the_table_has_the_primary_first_and_the_budgets_beneath() -> None:
    lines = table([REPLICA, cost("bench-1", FIRST, LAST)]).splitlines()
    assert [line.split()[0] for line in lines] == [
        "member",
        "bench-1",
        "bench-0",
        "budget",
        "Patroni",
    ]
    assert [" ".join(line.split()) for line in lines[1:4]] == [
        "bench-1 primary 31.5 46.0 12.0 30.0 (update 30.0)",
        "bench-0 replica 30.0 45.0 9.0 0.5 (watch 0.5)",
        "budget 40 12 40 primary, 6 replica",
    ]


def test_the_columns_stand_below_their_heads() -> None:
    head, *lines = table([REPLICA]).splitlines()
    ends = [head.index(name) + len(name) for name in ("PSS MB", "CPU s/h")]
    assert [(line[end - 1].isdigit(), line[end : end + 2]) for line in lines for end in ends] == [
        (True, "  ")
    ] * (len(lines) * len(ends))
