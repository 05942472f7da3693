"""What `make bench-sets` makes of looks and rows that are made by hand."""

from tests.bench.sets.result import (
    PROGRAMS,
    Acknowledged,
    Footprint,
    Look,
    Loss,
    Stage,
    gaps,
    parse_etcd_writes,
    parse_requests,
    table,
)

METRICS = """\
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",component="apiserver",verb="GET"} 12
apiserver_request_total{code="409",component="apiserver",verb="UPDATE"} 3
apiserver_request_terminations_total{code="504",verb="GET"} 100
etcd_requests_total{operation="get",type="leases"} 70
etcd_requests_total{operation="update",type="leases"} 20
etcd_requests_total{operation="create",type="pods"} 2
etcd_requests_total{operation="listWithCount",type="pods"} 900
"""


def test_requests_of_all_codes_and_verbs_are_counted_and_nothing_else() -> None:
    assert parse_requests(METRICS) == 15


def test_only_what_changes_etcd_is_a_write() -> None:
    assert parse_etcd_writes(METRICS) == 22


def test_a_gap_is_the_longest_time_between_two_rows_of_a_set_that_ends_after_the_loss() -> None:
    rows = [
        *(Acknowledged("a", at, 2) for at in (0.0, 5.0, 10.0, 11.5, 12.0)),
        *(Acknowledged("b", at, 2) for at in (9.5, 17.5, 18.0)),
        Acknowledged("c", 9.0, 2),
    ]

    assert gaps(rows, since=10.0) == {"a": 1.5, "b": 8.0, "c": float("inf")}


def test_a_set_costs_what_there_is_more_than_without_any() -> None:
    empty = Stage(0, 0.0, _look(0.0, cpu=0.0, requests=0), _look(60.0, cpu=0.6, requests=100))
    ten = Stage(10, 31.0, _look(0.0, cpu=0.0, requests=0), _look(60.0, cpu=6.6, requests=400))

    told = table(empty, [ten], cores=2).splitlines()

    assert _told(told, "those new ones are whole after, s") == "31"
    assert _told(told, "  API requests a minute") == "30.00"
    assert _told(told, "  CPU of etcd, % of a core") == "1.00"


def test_a_loss_is_told_with_its_worst() -> None:
    told = str(Loss(3, [9.0, 7.0, 8.0], 21.4))

    assert "8.0 s (p50), 9.0 s (p99), 9.0 s (max); all whole 21 s" in told


def _look(at: float, *, cpu: float, requests: float) -> Look:
    programs = {name: Footprint(cpu, 10.0) for name in PROGRAMS}
    return Look(at, programs, requests, etcd_writes=0.0, busy=0.0)


def _told(lines: list[str], name: str) -> str:
    return next(it for it in lines if it.startswith(name)).removeprefix(name).strip()
