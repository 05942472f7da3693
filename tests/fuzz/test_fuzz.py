"""A few of the requests that `make fuzz` makes; what it found is a test where it was mended."""

import random
from collections import Counter

import pytest

from sidecar.report import message
from tests.fuzz import claims, texts
from tests.fuzz.mutation import Request, request


@pytest.mark.thorough
def test_every_claim_holds_for_the_first_few_hundred():
    outcomes = Counter(claims.check(request(0, number)) for number in range(400))
    assert {"patched", "unchanged", "denied", "400"} <= set(outcomes)


def test_a_request_is_made_of_seed_and_number_alone():
    assert request(7, 12) == request(7, 12) != request(8, 12)


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, {"error": "the webhook failed"}),
        (200, {"kind": "AdmissionReview", "response": {"uid": "another"}}),
    ],
)
def test_a_broken_claim_is_noticed(monkeypatch, status, answer):
    monkeypatch.setitem(claims.HANDLERS, "never_led", lambda *_: (status, answer))
    with pytest.raises(claims.BrokenClaimError):
        claims.check(Request("/mutate/pods", b'{"request": {"uid": "1"}}', "never_led"))


@pytest.mark.parametrize("kind", texts.CHECKS)
@pytest.mark.parametrize(
    "numbers",
    [range(50), pytest.param(range(50, 200), marks=pytest.mark.thorough)],
    ids=["the first", "more"],
)
def test_what_the_sidecar_reads_from_others_harms_no_parser(numbers, kind):
    for number in numbers:
        texts.CHECKS[kind](random.Random(f"0:{number}"))  # noqa: S311 - to be made again


@pytest.mark.thorough
def test_requests_to_the_sidecar_are_read_as_deep_as_h11_reads_them():
    outcomes = Counter(
        texts.CHECKS["http"](random.Random(f"1:{number}"))  # noqa: S311 - to be made again
        for number in range(1000)
    )
    assert {"read alike", "refused", "more has to come", "taken by ours alone"} == set(outcomes)


@pytest.mark.thorough
def test_a_request_that_the_two_read_differently_is_noticed(monkeypatch):
    """As a parser would that takes the first of two lengths."""
    monkeypatch.setattr(message, "_length", lambda _: 1)
    with pytest.raises(AssertionError):
        [texts.CHECKS["http"](random.Random(f"0:{n}")) for n in range(1000)]  # noqa: S311
