"""What the numbers of a storm mean, on stories made by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.record import READ_ONLY, SILENT, WRITABLE, Attempt, Look, Moments, Record
from tests.storm import judge, report, story
from tests.storm.judge import Numbers
from tests.storm.story import Story, Struck

A, B = "chaos-0", "chaos-1"
BEGAN, ENDED = 100.0, 110.0


def acknowledged(number: int, at: float, client: str = "writer-0") -> Attempt:
    return Attempt(client, number, at - 0.01, at, "10.0.0.1")


def looks(member: str, start: float, end: float, state: str, *, receiving: bool) -> list[Look]:
    count = round((end - start) / 0.1)
    return [
        Look(member, start + 0.1 * n - 0.005, start + 0.1 * n, state, receiving=receiving)
        for n in range(count)
    ]


def quiet() -> Story:
    attempts = [
        acknowledged(n, BEGAN + 0.05 + 0.1 * n, f"writer-{writer}")
        for n in range(100)
        for writer in range(2)
    ]
    record = Record(
        "storm",
        A,
        (A, B),
        Moments(BEGAN, BEGAN + 1, 105.0, 105.0, ENDED),
        attempts=attempts,
        looks=[
            *looks(A, BEGAN, ENDED, WRITABLE, receiving=False),
            *looks(B, BEGAN, ENDED, READ_ONLY, receiving=True),
        ],
        present={f"writer-{writer}": [*range(100)] for writer in range(2)},
    )
    return Story(record, [], {A: "", B: ""})


def struck(ended: float, member: str = B, fault: str = "pod-deleted", left_out: str = "") -> Struck:
    return Struck(1, fault, member, (member,), 101.0, ended, left_out)


def broken(numbers: Numbers, durability: str = "sync") -> list[str]:
    return judge.breaches(numbers, durability)


def test_a_quiet_storm_breaks_nothing() -> None:
    numbers = judge.judge(quiet())
    assert broken(numbers) == []
    assert (numbers.acknowledged, numbers.without, numbers.never) == (200, [], [])


def test_a_transfer_is_lost_only_if_it_was_acknowledged() -> None:
    seen = quiet()
    seen.record.attempts.append(Attempt("writer-0", 100, 109.9, 109.95, None, "timed out"))
    assert broken(judge.judge(seen)) == []
    seen.record.present["writer-1"].remove(99)
    numbers = judge.judge(seen)
    assert numbers.lost == {"writer-1": [99]}
    for durability in ("sync", "sync-strict", "quorum"):
        assert broken(numbers, durability) == [
            "1 acknowledged transfers are lost: {'writer-1': [99]}"
        ]
    assert broken(numbers, "async") == []


@pytest.mark.parametrize("durability", ["sync", "async"])
def test_a_wrong_sum_is_told_with_the_service_that_it_was_read_by(durability: str) -> None:
    seen = quiet()
    seen.record.attempts += [
        Attempt("reader-primary", 0, 101, 101.1, "10.0.0.1"),
        Attempt("reader-replica", 0, 101, 101.1, "10.0.0.2", "the sum is 99999, and not 100000"),
        Attempt("reader-replica.2", 1, 102, 102.1, None, "timed out"),
    ]
    numbers = judge.judge(seen)
    assert (numbers.by_primary.answered, numbers.by_primary.wrong) == (1, 0)
    assert (numbers.by_replica.answered, numbers.by_replica.failed) == (1, 1)
    assert broken(numbers, durability) == [
        "1 wrong sums by the replicas, first: 10.0.0.2: the sum is 99999, and not 100000"
    ]


def test_what_one_writer_commits_is_no_time_without_a_writer_for_the_others() -> None:
    seen = quiet()
    seen.record.attempts = [it for it in seen.record.attempts if it.client == "writer-0"]
    assert judge.times_without(seen.record) == ([], True)
    kept = [it for it in seen.record.attempts if not 102 < it.ended < 104]
    (gap,), resumed = judge.times_without(replace(seen.record, attempts=kept))
    assert (round(gap, 2), resumed) == (2.1, True)


def test_writes_that_do_not_resume_are_a_breach() -> None:
    seen = quiet()
    seen.record.attempts = [it for it in seen.record.attempts if it.ended < 105]
    numbers = judge.judge(seen)
    assert round(numbers.without[-1], 2) == 5.05
    assert broken(numbers) == ["writes did not resume"]


def away_from(start: float, end: float, seen: Story) -> None:
    others = [it for it in seen.record.looks if it.member != B]
    seen.record.looks = [
        *others,
        *looks(B, BEGAN, start, READ_ONLY, receiving=True),
        *looks(B, start, end, SILENT, receiving=False),
        *looks(B, end, ENDED, READ_ONLY, receiving=True),
    ]


def test_a_return_counts_from_the_last_fault_that_kept_the_member_away() -> None:
    seen = quiet()
    away_from(102, 108, seen)
    seen.blows = [
        struck(103),
        struck(105),
        struck(106, member=A),
        struck(109),
        struck(107, left_out="n2 is struck already"),
    ]
    (found,) = judge.returns(seen.record, seen.blows)
    assert (found.member, round(found.seconds, 2)) == (B, 3.0)


def test_a_return_counts_from_when_the_member_went_if_nothing_struck_it() -> None:
    seen = quiet()
    away_from(102, 108, seen)
    assert round(judge.returns(seen.record, [])[0].seconds, 1) == 6.0


def test_a_member_that_does_not_stream_in_the_end_never_came_back() -> None:
    seen = quiet()
    away_from(109, ENDED, seen)
    assert judge.never_back(seen.record) == []
    seen.record.moments = replace(seen.record.moments, whole=None)
    numbers = judge.judge(seen)
    assert numbers.never == [B]
    assert broken(numbers) == [f"never came back: {B}"]
    assert judge.returns(seen.record, []) == []


def test_every_other_breach_is_told() -> None:
    good = judge.judge(quiet())
    for bad in (
        replace(good, double_ticks=1),
        replace(good, books=["chaos-1: can't be read"]),
        replace(good, stays=["node-cut on chaos-1: iptables failed"]),
        replace(good, trouble="not whole 360 s later: writable are none"),
    ):
        assert len(broken(bad, "async")) == 1


def test_members_that_are_writable_at_once_are_counted() -> None:
    seen = quiet()
    seen.record.looks += looks(B, 103, 104, WRITABLE, receiving=False)
    assert judge.judge(seen).double_ticks > 5


def test_percentiles_are_values_that_were_seen() -> None:
    times = [float(n) for n in range(1, 201)]
    assert (report.percentile(times, 50), report.percentile(times, 99)) == (100, 198)
    assert report.percentile([2.0], 50) == report.percentile([2.0], 99) == 2.0


def test_the_summary_tells_all_of_it() -> None:
    seen = quiet()
    away_from(102, 108, seen)
    seen.record.attempts = [it for it in seen.record.attempts if not 102 < it.ended < 104]
    seen.record.present["writer-0"].remove(99)
    seen.blows = [struck(103), struck(104, left_out="n2 is struck already")]
    assert report.summary(judge.judge(seen)).splitlines() == [
        "faults                    1 in 10 s, 1 left out",
        "transfers acknowledged    160",
        "transfers lost            1",
        "sums wrong                0 of 0 read by the primary",
        "                          0 of 0 read by replicas",
        "seconds without a writer  p50 2.10, p99 2.10, sum 2.1, 1 times",
        "two writable at once      0 of 200 samples",
        "longest return            5.0 s, chaos-1, of 1",
        "never returned            none",
    ]


def test_a_fault_is_told_as_it_went() -> None:
    went = struck(103.5)
    assert report.blow(went, BEGAN) == "    1.0 s  1: pod-deleted on chaos-1, for 2.5 s"
    assert report.blow(replace(went, left_out="n2 is struck already"), BEGAN).endswith(
        "pod-deleted on chaos-1, left out: n2 is struck already"
    )
    assert report.blow(replace(went, ended=101.0, stays="no answer"), BEGAN).endswith(
        "pod-deleted on chaos-1, STAYS: no answer"
    )


def test_a_story_that_was_kept_is_read_back_as_it_was(tmp_path: Path) -> None:
    seen = quiet()
    seen.blows = [struck(103)]
    story.write(seen, tmp_path)
    assert story.read(tmp_path) == seen
