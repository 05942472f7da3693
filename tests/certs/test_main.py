"""The command line: what it takes, and what it says of what it can't take."""

import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from certs.__main__ import argument_parser, lifetimes_of, run
from certs.lifetimes import DEFAULT
from tests.certs.api_server import CONFIGURATION, ApiServer, registration, serving

WITHIN = 30.0
"""Seconds; it takes a fraction of one."""


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


def test_a_blanked_ca_bundle_is_written_again_without_waiting_for_the_next_round(tmp_path):
    api = ApiServer()
    api.objects[CONFIGURATION] = registration("statefulsets.pgset.dev", "pods.pgset.dev")
    arguments = argument_parser().parse_args(
        ["--namespace=pgset-system", f"--directory={tmp_path}"]
    )
    seldom = replace(DEFAULT, interval=timedelta(seconds=10 * WITHIN))
    stop, wake = threading.Event(), threading.Event()

    def bundle():
        return api.objects[CONFIGURATION]["webhooks"][1]["clientConfig"].get("caBundle")

    with serving(api) as api_client:
        thread = threading.Thread(target=run, args=(api_client, arguments, seldom, stop, wake))
        thread.start()
        wait_until((tmp_path / "ca.crt").exists)
        published = bundle()
        blank = {"name": "pods.pgset.dev", "clientConfig": {"caBundle": ""}}
        api.patch(CONFIGURATION, {"metadata": {}, "webhooks": [blank]})
        wait_until(lambda: bundle() == published)
        stop.set()
        wake.set()
        thread.join()


def wait_until(claim):
    deadline = time.monotonic() + WITHIN
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.01)
