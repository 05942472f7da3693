"""What the numbers of a chaos run mean, on records made by hand."""

from dataclasses import replace

import pytest

from tests.chaos import faults, measure, report
from tests.chaos.record import (
    READ_ONLY,
    SILENT,
    WRITABLE,
    Attempt,
    EndpointsSeen,
    LeaseSeen,
    Look,
    Moments,
    PodSeen,
    Record,
)
from tests.chaos.steps import Step, steps
from tests.chaos.strikes import FaultError
from tests.chaos.verdict import breaches, too_many_takeovers

OLD, NEW = "chaos-0", "chaos-1"
FAULT = 100.0


def commit(number: int, at: float, by: str | None = "old", client: str = "main") -> Attempt:
    return Attempt(client, number, at - 0.01, at, by)


def look(member: str, at: float, state: str) -> Look:
    return Look(member, at - 0.005, at, state)


def pod(at: float, name: str, role: str, address: str, says: str = "") -> PodSeen:
    return PodSeen(at, name, "uid", role, True, False, address, says)


def record(**more: object) -> Record:
    moments = Moments(began=98.0, fault=FAULT, healed=None, whole=104.0, ended=106.0)
    base = Record("pod-deleted", OLD, (OLD, NEW), moments)
    return replace(base, **more)  # type: ignore[arg-type]


def a_failover() -> Record:
    before = [commit(n, 98.0 + 0.1 * n) for n in range(22)]
    failed = [commit(n, 98.0 + 0.1 * n, by=None) for n in range(22, 34)]
    after = [commit(n, 98.0 + 0.1 * n, by="new") for n in range(34, 80)]
    return record(
        attempts=[*before, *failed, *after],
        looks=[
            *(look(OLD, 98 + 0.05 * n, WRITABLE) for n in range(44)),
            look(OLD, 100.2, SILENT),
            *(look(NEW, 98 + 0.05 * n, READ_ONLY) for n in range(63)),
            *(look(NEW, 101.15 + 0.05 * n, WRITABLE) for n in range(90)),
        ],
        pods=[
            pod(90, OLD, "primary", "old", "primary"),
            pod(90, NEW, "replica", "new", "replica of chaos-0"),
            pod(100.22, OLD, "primary", "old", "released the Lease"),
            pod(101.2, NEW, "primary", "new", "primary"),
            pod(101.3, OLD, "", "old", "released the Lease"),
        ],
        leases=[LeaseSeen(90, OLD, ""), LeaseSeen(100.3, "", ""), LeaseSeen(100.4, NEW, "")],
        endpoints=[
            EndpointsSeen(90, ("old",)),
            EndpointsSeen(100.05, ()),
            EndpointsSeen(101.25, ("new",)),
        ],
        present={"main": [*range(22), *range(34, 80)]},
    )


def test_the_gap_is_between_two_acknowledgements_of_the_main_writer() -> None:
    gap, resumed = measure.write_gap(a_failover())
    assert (round(gap.start, 3), round(gap.end, 3), resumed) == (100.1, 101.4, True)


def test_a_gap_that_has_not_ended_lasts_to_the_end_of_the_record() -> None:
    stuck = record(attempts=[commit(n, 98.0 + 0.1 * n) for n in range(22)])
    gap, resumed = measure.write_gap(stuck)
    assert (round(gap.seconds, 3), resumed) == (5.9, False)


def test_no_acknowledgement_at_all_is_a_gap_too() -> None:
    gap, resumed = measure.write_gap(record(attempts=[commit(0, 99.5, by=None)]))
    assert (gap.seconds, resumed) == (7.0, False)


def test_what_the_second_writer_commits_does_not_shorten_the_gap() -> None:
    seen = a_failover()
    seen.attempts += [commit(n, 100.0 + 0.1 * n, client=measure.CUT_OFF) for n in range(20)]
    assert round(measure.write_gap(seen)[0].seconds, 3) == 1.3


def test_a_row_is_lost_only_if_it_was_acknowledged() -> None:
    seen = a_failover()
    assert measure.lost_rows(seen) == {"main": []}
    seen.present["main"].remove(20)
    assert measure.lost_rows(seen) == {"main": [20]}


def test_lost_rows_are_told_apart_by_the_side_that_they_were_written_on() -> None:
    seen = a_failover()
    seen.attempts += [commit(n, 100.0, client=measure.CUT_OFF) for n in (1, 2, 3)]
    seen.present[measure.CUT_OFF] = [1]
    numbers = measure.measure(seen)
    assert (numbers.lost, numbers.lost_cut_off, numbers.acknowledged) == (2, 2, 68 + 3)


def test_a_hand_over_however_quick_is_not_two_writable_members() -> None:
    looks = [
        *(look(OLD, 100 + 0.05 * n, WRITABLE) for n in range(10)),
        *(look(NEW, 100.455 + 0.05 * n, WRITABLE) for n in range(10)),
    ]
    assert measure.double_writable(record(looks=looks))[0] == 0


def test_two_that_are_writable_at_once_are_counted_by_the_tick() -> None:
    looks = [look(member, 100 + 0.05 * n, WRITABLE) for n in range(21) for member in (OLD, NEW)]
    double, ticks = measure.double_writable(record(looks=looks))
    assert (double, ticks) == (20, 160)


def test_two_that_are_writable_for_less_than_a_tick_are_still_seen() -> None:
    looks = [
        Look(member, at, at + 0.001, WRITABLE) for at in (100.001, 100.02) for member in (OLD, NEW)
    ]
    assert measure.double_writable(record(looks=looks))[0] == 1


def test_nobody_vouches_for_the_time_in_which_a_member_did_not_answer() -> None:
    looks = [
        look(OLD, 100, WRITABLE),
        look(OLD, 103, WRITABLE),
        *(look(NEW, 101 + 0.05 * n, WRITABLE) for n in range(20)),
    ]
    assert measure.double_writable(record(looks=looks))[0] == 0


def test_labels_are_counted_over_all_pods() -> None:
    assert measure.most_primary_labels(a_failover().pods) == 2


def test_a_takeover_is_another_holder_and_not_a_release() -> None:
    again = [LeaseSeen(90, OLD, ""), LeaseSeen(100, "", ""), LeaseSeen(101, OLD, "")]
    assert measure.takeovers(a_failover()) == 1
    assert measure.takeovers(record(leases=again)) == 0


def test_the_steps_of_a_failover_add_up_to_its_gap() -> None:
    seen = {step.name: step.at and round(step.at, 2) for step in steps(a_failover())}
    assert seen == {
        "last row": 0.1,
        "detect": 0.22,
        "stopped": 0.2,
        "release": 0.3,
        "take": 0.4,
        "promote": 1.15,
        "label": 1.2,
        "endpoints": 1.25,
        "first row": 1.4,
    }


def test_healing_counts_from_where_the_fault_was_taken_away() -> None:
    moments = replace(record().moments, healed=103.0)
    assert measure.measure(replace(a_failover(), moments=moments)).healing == 1.0


def test_the_line_tells_the_rounds_together() -> None:
    rounds = [measure.measure(a_failover()), measure.measure(a_failover())]
    assert report.line("pod-deleted", rounds) == (
        "pod-deleted          2 rounds · gap p50  1.30 max  1.30 s · acknowledged 136 · lost 0 · "
        "double-writable 0 of 320 samples · primary labels ≤ 2 · takeovers 2 · "
        "reads failed 0 of 0 · all streaming after 4.0 s, at most 4.0 s"
    )


def test_the_line_says_so_when_the_set_does_not_heal_or_writes_do_not_resume() -> None:
    stuck = replace(record(), moments=replace(record().moments, whole=None))
    line = report.line("node-cut", [measure.measure(stuck)])
    assert "max  7.00 s and more" in line
    assert line.endswith("NOT WHOLE AGAIN in 1")


def test_details_come_in_the_order_of_their_time() -> None:
    text = report.details([Step("take", 2.0), Step("detect", 1.0)])
    assert text.strip() == "detect +1.00  take +2.00"
    assert report.details([Step("take", None)]).endswith("(not seen: take)")


def test_promises_are_judged_by_what_the_fault_allows() -> None:
    good = measure.measure(a_failover())
    unplanned, planned = faults.ALL["node-killed"], faults.ALL["rolled"]
    assert breaches(planned, "async", good, "") == []
    lost = replace(good, lost=3)
    assert breaches(unplanned, "async", lost, "") == []
    assert breaches(unplanned, "quorum", lost, "") == breaches(planned, "async", lost, "") != []
    for bad in (
        replace(good, double_ticks=1),
        replace(good, resumed=False),
        replace(good, takeovers=3),
    ):
        assert len(breaches(planned, "async", bad, "")) == 1
    assert breaches(planned, "async", good, "not whole") == ["not whole"]
    hasty = replace(good, takeovers=3)
    assert breaches(planned, "async", hasty, "") == [too_many_takeovers(planned, hasty)]
    killed = faults.ALL["sidecar-killed"]
    assert len(breaches(killed, "async", good, "")) == 1
    assert breaches(killed, "async", good, "", again=True) == []


def test_every_fault_says_what_it_does() -> None:
    for name, fault in faults.ALL.items():
        assert fault.name == name
        assert fault.sentence


def test_a_fault_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    assert [fault.name for fault in faults.named("rolled")] == ["rolled"]
    with pytest.raises(FaultError, match='FAULT is "foo"; allowed: all, pod-deleted, '):
        faults.named("foo")
