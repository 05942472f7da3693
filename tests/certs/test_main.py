"""The command line: what it takes, and what it says of what it can't take."""

import subprocess
import sys

import pytest

from certs.__main__ import argument_parser, lifetimes_of
from certs.lifetimes import DEFAULT


def test_without_times_the_defaults_hold():
    assert lifetimes_of(argument_parser().parse_args(["--namespace=pgset-system"])) == DEFAULT


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--leaf-life=1w", 'argument --leaf-life: "1w" is not a duration; allowed: '),
        ("--leaf-life=1m", "--leaf-life 1m ends before its successor is in service; allowed: "),
    ],
)
def test_a_bad_time_ends_the_start_with_a_sentence(argument, sentence):
    command = [sys.executable, "-m", "certs", "--namespace=pgset-system", argument]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert sentence in run.stderr.splitlines()[-1]
