"""The command line: what it takes, and what it says of what it can't take."""

import base64
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from certs.__main__ import (
    adapters_of,
    argument_parser,
    checked,
    lifetimes_of,
    main,
    run,
    wall_clock,
)
from certs.authority import service_names
from certs.lifetimes import DEFAULT
from certs.upkeep import Upkeep
from tests.certs.api_server import CONFIGURATION, SERVING, ApiServer, registration, serving
from tests.support.waiting import wait_until

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
def test_a_bad_time_ends_the_start_with_a_sentence(argument, sentence, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["certs", "--namespace=pgset-system", argument])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]


SELDOM = replace(DEFAULT, interval=timedelta(seconds=10 * WITHIN))


@contextmanager
def running(api, directory, now=wall_clock, after_round=lambda: None):
    """Have certs keep the trust in rounds that come too seldom for a test."""

    class Well(type(directory)):
        def touch(self):
            super().touch()
            after_round()

    api.objects[CONFIGURATION] = registration("statefulsets.pgset.dev", "pods.pgset.dev")
    well = Well(directory / "well")
    arguments = argument_parser().parse_args(["--namespace=pgset-system"])
    arguments.well = well
    stop, wake = threading.Event(), threading.Event()
    with serving(api) as api_client:
        thread = threading.Thread(
            target=run, args=(api_client, arguments, SELDOM, stop, wake), kwargs={"now": now}
        )
        thread.start()
        try:
            wait_until(well.exists, "the first round")
            yield
        finally:
            stop.set()
            wake.set()
            thread.join()


def test_a_blanked_ca_bundle_is_written_again_without_waiting_for_the_next_round(tmp_path):
    api = ApiServer()

    def bundle():
        return api.objects[CONFIGURATION]["webhooks"][1]["clientConfig"].get("caBundle")

    with running(api, tmp_path):
        published = bundle()
        blank = {"name": "pods.pgset.dev", "clientConfig": {"caBundle": ""}}
        api.patch(CONFIGURATION, {"metadata": {}, "webhooks": [blank]})
        wait_until(lambda: bundle() == published, "the caBundle")


@pytest.mark.parametrize("days", [366, 4000])
def test_what_expires_by_a_clock_that_is_set_is_replaced_without_waiting_for_the_next_round(
    tmp_path, days
):
    stepped = [timedelta()]

    api = ApiServer()

    def served():
        return x509.load_pem_x509_certificate(
            base64.b64decode(api.objects[SERVING]["data"]["tls.crt"])
        )

    with running(api, tmp_path, now=lambda: wall_clock() + stepped[0]):
        stepped[0] = timedelta(days=days)
        wait_until(
            lambda: served().not_valid_after_utc > wall_clock() + stepped[0], "a new certificate"
        )
        assert served().not_valid_before_utc < wall_clock()


def test_a_clock_that_is_set_while_a_round_ends_is_noticed_too(tmp_path):
    api, stepped, ahead = ApiServer(), [timedelta()], timedelta(days=366)
    api.refuses_watches = True  # nothing else wakes it

    def set_the_clock():
        stepped[0] = ahead

    def is_renewed():
        content = base64.b64decode(api.objects[SERVING]["data"]["tls.crt"])
        return x509.load_pem_x509_certificate(content).not_valid_after_utc > wall_clock() + ahead

    with running(api, tmp_path, lambda: wall_clock() + stepped[0], after_round=set_the_clock):
        wait_until(is_renewed, "a new certificate")


def test_the_kubelet_is_told_whether_the_last_round_was_well(tmp_path):
    api, well = ApiServer(), tmp_path / "well"
    api.objects[CONFIGURATION] = registration("pods.pgset.dev")
    arguments = argument_parser().parse_args(["--namespace=pgset-system"])
    with serving(api) as api_client:
        adapters = adapters_of(arguments, api_client, wall_clock)
        upkeep = Upkeep(adapters, service_names("pgset-webhook", "pgset-system"), DEFAULT)
        assert checked(upkeep, well) is True
        assert well.exists()
        api.away = True
        for _ in range(2):
            assert checked(upkeep, well) is False
            assert not well.exists()
