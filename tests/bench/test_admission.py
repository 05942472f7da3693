"""What `make bench-admission` makes of its numbers, on numbers made by hand."""

import json
from dataclasses import replace

import pytest

from tests.bench.admission import __main__ as bench
from tests.bench.admission import request
from tests.bench.admission.result import (
    CONNECTIONS,
    DIFF,
    HAND_BUILT,
    OURS,
    Footprint,
    Load,
    Round,
    footprints,
    median,
    parse_load,
    ratios,
    table,
)
from tests.bench.cost import NotMeasuredError

LOAD = Load(answered=1000, errors=0, per_second=500, p50=2.0, p99=8.0)
ROUND = Round(dict.fromkeys(CONNECTIONS, LOAD), cpu=600.0, pss=40.0)


def round_of(**load: float) -> Round:
    return replace(ROUND, loads=dict.fromkeys(CONNECTIONS, replace(LOAD, **load)))


def verdicts(ours: Round, hand_built: Round, diff: Round) -> dict[tuple[str, str], str]:
    lines = ratios({DIFF: diff, HAND_BUILT: hand_built, OURS: ours}).splitlines()
    return {(line[:22].rstrip(), line[31:45].rstrip()): line.split()[-1] for line in lines}


def test_the_load_generators_line_is_read():
    line = '{"answered":550,"errors":1,"per_second":549.97,"p50":1.418,"p99":9.742}\n'
    assert parse_load(line) == Load(550, 1, 549.97, 1.418, 9.742)


def test_a_server_that_answered_nothing_has_no_numbers():
    line = '{"answered":0,"errors":8,"per_second":0,"p50":0,"p99":0}'
    with pytest.raises(NotMeasuredError, match="none of 8 connections got an answer"):
        parse_load(line)


def test_of_several_rounds_the_medians_count_and_all_errors():
    rounds = [round_of(p99=9.0, errors=1), round_of(p99=5.0), round_of(p99=70.0, errors=2)]
    assert median([replace(rounds[0], pss=41.0), rounds[1], replace(rounds[2], pss=90.0)]) == (
        replace(round_of(p99=9.0, errors=3), pss=41.0)
    )


def test_the_table_has_a_line_for_each_server_with_its_numbers_below_their_heads():
    head, *lines = table({HAND_BUILT: ROUND, OURS: round_of(errors=1)}).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "Go, hand-built 2.00 / 8.00 500, 8.0 500, 8.0 600 40.0 0",
        "ours 2.00 / 8.00 500, 8.0 500, 8.0 600 40.0 3",
    ]
    ends = [head.index(name) + len(name) for name in ("CPU µs a review", "PSS MiB", "errors")]
    assert all(line[end - 1].isdigit() for line in lines for end in ends)


def test_the_same_numbers_are_enough_but_for_the_two_targets_that_ask_for_more():
    found = verdicts(ROUND, ROUND, ROUND)
    assert {what for what, verdict in found.items() if verdict == "MISSED"} == {
        ("1 connection, p50", HAND_BUILT),
        ("8 connections, req/s", DIFF),
        ("50 connections, req/s", DIFF),
    }
    assert set(found.values()) == {"met", "MISSED"}


def test_times_and_memory_may_be_no_larger_and_throughput_no_smaller():
    better = replace(round_of(per_second=1000, p50=1.8, p99=7.9), pss=52.0)
    assert set(verdicts(better, ROUND, ROUND).values()) == {"met"}
    worse = replace(round_of(per_second=499, p50=1.81, p99=8.1), pss=52.1)
    assert set(verdicts(worse, ROUND, ROUND).values()) == {"MISSED"}


def test_the_review_has_about_8_kb_and_is_of_a_pod_that_is_to_be_injected(tmp_path):
    request.write(tmp_path)
    body = (tmp_path / request.REVIEW).read_bytes()
    assert 7500 < len(body) < 8500
    patch = json.loads((tmp_path / request.PATCH).read_text())
    pod = json.loads((tmp_path / request.POD).read_text())
    assert "/spec/initContainers" in {operation["path"] for operation in patch}
    assert len(pod["spec"]["initContainers"]) == 2


def test_the_memory_is_told_look_by_look_and_by_how_much_it_grew():
    looks = [Footprint(10000, 40.8, 50.1), Footprint(200000, 40.9, 50.4)]
    head, *lines, growth = footprints(looks).splitlines()
    assert head.split() == ["reviews", "PSS", "MiB", "RSS", "MiB"]
    assert [line.split() for line in lines] == [
        ["10000", "40.8", "50.1"],
        ["200000", "40.9", "50.4"],
    ]
    assert growth == "RSS grew by +0.3 MiB from the first look to the last"


@pytest.mark.cluster  # needs none, but builds the Go programs and takes both cores
@pytest.mark.rarely
def test_each_server_is_measured_under_each_load():
    for _ in range(3):
        medians = bench.measure(rounds=1, seconds=1)
        # A server cuts off whoever stands still for 5 s, as a busy machine may, but not each time.
        if all(load.errors == 0 for it in medians.values() for load in it.loads.values()):
            break
    assert list(medians) == [DIFF, HAND_BUILT, OURS]
    for name, it in medians.items():
        assert set(it.loads) == set(CONNECTIONS), name
        assert all(load.errors == 0 < load.p50 <= load.p99 for load in it.loads.values()), it
        assert 5 < it.pss < 500, name
        assert 10 < it.cpu < 1e6, name


@pytest.mark.cluster  # as above
@pytest.mark.rarely
def test_the_memory_is_looked_at_until_so_many_reviews_are_answered():
    *_, last, _growth = bench.footprint(reviews=1000, seconds=1).splitlines()
    answered, pss, rss = map(float, last.split())
    assert answered >= 1000
    assert 5 < pss <= rss < 500
