import argparse
from datetime import timedelta

import pytest

from certs.lifetimes import DEFAULT, InvalidLifetimesError, Lifetimes, duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("12h", 43_200), ("365d", 31_536_000), ("0.5s", 0.5)],
)
def test_a_duration_is_a_number_with_or_without_a_unit(text, seconds):
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1w", "1 s", "1e3", "nan", "9999999999", "1h30m"])
def test_what_is_no_duration_is_refused_with_what_is_allowed(text):
    with pytest.raises(argparse.ArgumentTypeError) as refusal:
        duration(text)
    assert str(refusal.value) == (
        f'"{text}" is not a duration; allowed: a number of seconds, or one with s, m, h or d, '
        "such as 90s or 365d"
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"settle": "0s"}, "a lifetime is 0; allowed: more than 0, for each of them"),
        ({"authority": "40000d"}, "--ca-life 40000d is too long; allowed: at most 36500d"),
        (
            {"leaf": "4000d"},
            "--leaf-life 4000d is longer than the life of the CA that signs it; "
            "allowed: at most --ca-life, 3650d",
        ),
        (
            {"leaf": "1m"},
            "--leaf-life 1m ends before its successor is in service; "
            "allowed: at least three times --settle, --delivery and two --interval, 435s",
        ),
        (
            {"overlap": "24s"},
            "--overlap 24s is not allowed; allowed: from --settle, --delivery and two --interval, "
            "145s, to a third of --ca-life, 29200h",
        ),
        (
            {"overlap": "3000d"},
            "--overlap 3000d is not allowed; allowed: from --settle, --delivery and two "
            "--interval, 145s, to a third of --ca-life, 29200h",
        ),
    ],
)
def test_times_that_contradict_each_other_are_refused_in_one_sentence(given, sentence):
    with pytest.raises(InvalidLifetimesError) as refusal:
        Lifetimes(**{name: duration(text) for name, text in given.items()})
    assert sentence == str(refusal.value)


def test_lifetimes_of_seconds_are_allowed():
    times = {"authority": "60s", "leaf": "30s", "overlap": "10s", "settle": "1s", "interval": "1s"}
    times["delivery"] = "3s"
    lifetimes = Lifetimes(**{name: duration(text) for name, text in times.items()})
    assert lifetimes.pickup == timedelta(seconds=6)
    assert lifetimes != DEFAULT
