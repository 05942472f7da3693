"""What the webhook's kubelet is told."""

import time

import pytest

from sidecar.report.message import Request
from webhook.probes import STALLED, Probes
from webhook.tls import NoCertificateError


def well() -> None:
    """There is a certificate."""


def no_certificate() -> None:
    raise NoCertificateError("no certificate can be read from /etc/pgset/tls")


def code(probes: Probes, path: str, method: str = "GET") -> int:
    return probes(Request(method, path)).code


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_a_process_is_well_while_its_loop_turns(path: str) -> None:
    assert code(Probes(time.monotonic, well), path) == 200
    assert code(Probes(lambda: time.monotonic() - STALLED - 60, well), path) == 503


def test_without_a_certificate_it_lives_and_is_not_ready() -> None:
    probes = Probes(time.monotonic, no_certificate)
    assert (code(probes, "/livez"), code(probes, "/readyz")) == (200, 503)
    assert b"no certificate can be read" in probes(Request("GET", "/readyz")).body


def test_nothing_else_is_answered_there() -> None:
    probes = Probes(time.monotonic, well)
    assert code(probes, "/mutate/pods", "POST") == 405
    assert (code(probes, "/mutate/pods"), code(probes, "/metrics")) == (404, 404)
