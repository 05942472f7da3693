"""gunicorn with the configuration that the Deployment names, over real TLS."""

import contextlib
import http.client
import json
import ssl
import subprocess
import time
from datetime import timedelta

import pytest

from certs.authority import make_leaf, read
from certs.renewal import Trust, renewed
from tests.support.waiting import wait_until
from tests.webhook import mounted, objects
from tests.webhook.gunicorn_server import NAMES, NOW, answer_to, serving

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("tls")) as server:
        yield server


@pytest.fixture
def changing(server):
    """A server whose files are as they were when the test is over: the next one may be any."""
    yield server
    mounted.write(server.directory, server.trust)


def leaf_of(server):
    with server.connect() as connection:
        der = connection.sock.getpeercert(binary_form=True)
    return ssl.DER_cert_to_PEM_cert(der).encode()


def new_leaf_for(server):
    leaf = make_leaf(server.trust.authority, NAMES, NOW + timedelta(seconds=1))
    return Trust(server.trust.authority, leaf)


def metrics(server):
    with server.connect() as connection:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_a_review_is_answered_over_tls(server):
    review = objects.admission_review(objects.article_pod())
    with server.connect() as connection:
        status, answer = answer_to(connection, "POST", "/mutate/pods", json.dumps(review))
    assert (status, answer["response"]["allowed"]) == (200, True)


def test_it_is_ready_while_it_has_a_certificate(server):
    with server.connect() as connection:
        assert answer_to(connection, "GET", "/readyz") == (200, {"status": "ok"})


def test_the_kubelet_is_answered_on_a_port_of_its_own_in_plain_http(server):
    def is_well(path):
        kubelet = http.client.HTTPConnection("127.0.0.1", server.probes, timeout=60)
        # Where one of the two stood still for seconds, the answer is another, and no more a moment
        # later.
        with (
            contextlib.closing(kubelet),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            return answer_to(kubelet, "GET", path) == (200, {"status": "ok"})
        return False

    for path in ("/livez", "/readyz"):
        wait_until(lambda path=path: is_well(path), f"{path} to be answered")


def test_a_connection_that_idles_is_kept(server):
    with server.connect() as connection:
        assert answer_to(connection, "GET", "/livez")[0] == 200
        time.sleep(2.5)  # gunicorn's own default closes after 2 s
        assert answer_to(connection, "GET", "/livez")[0] == 200


def test_a_new_pair_is_served_without_a_restart_and_a_broken_one_never(changing):
    server, old = changing, changing.trust
    assert old.leaf.certificate == leaf_of(server)
    new = new_leaf_for(server)
    mounted.replace(server.directory / "tls.key", new.leaf.key)
    assert old.leaf.certificate == leaf_of(server)
    mounted.replace(server.directory / "tls.crt", new.leaf.certificate)
    assert new.leaf.certificate == leaf_of(server)
    (server.directory / "tls.crt").unlink()
    assert new.leaf.certificate == leaf_of(server)


def test_a_standing_connection_goes_on_while_new_ones_meet_a_new_ca(server):
    old, (new, _) = server.trust, renewed(None, NAMES, NOW)
    with server.connect() as standing:
        assert answer_to(standing, "GET", "/livez")[0] == 200
        mounted.write(server.directory, new)
        server.trust = new
        with server.connect() as fresh:
            assert answer_to(fresh, "GET", "/livez")[0] == 200
        assert answer_to(standing, "GET", "/livez")[0] == 200
        mounted.write(server.directory, old)
        server.trust = old
        assert answer_to(standing, "GET", "/livez")[0] == 200


def test_metrics_tell_of_the_pair_in_service_and_of_faults(changing):
    server = changing
    expiry = "pgset_serving_certificate_expiry_timestamp_seconds"
    errors = "pgset_serving_certificate_reload_errors_total"
    before = metrics(server)
    (server.directory / "tls.key").write_bytes(b"nonsense")
    told = metrics(server)
    end = read(server.trust.leaf)[0].not_valid_after_utc.timestamp()
    assert float(told[expiry]) == end
    assert float(told[errors]) == float(before[errors]) + 1


# ── The end ───────────────────────────────────────────────────────────────────────────────

ENDS_WITHIN = 20.0
"""Seconds; gunicorn's own patience is 30, as long as a pod's whole grace period."""


def half_a_handshake(server):
    client = server.tcp()
    client.sendall(b"\x16\x03\x01\x02\x00\x01")
    return client


def half_a_body(server):
    client = server.tls()
    client.sendall(b"POST /mutate/pods HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    return client


def kept_alive(server):
    client = server.tls()
    client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.recv(12) == b"HTTP/1.1 200"
    return client


def in_reserve(server):
    """As API servers open them for later: nothing has been asked on it yet."""
    return server.tls()


@pytest.mark.parametrize("open_client", [kept_alive, in_reserve, half_a_handshake, half_a_body])
def test_it_ends_soon_after_sigterm_whatever_its_clients_keep_open(tmp_path, open_client):
    # A busy machine may stand still, but not each time.
    folders = (tmp_path / name for name in "123")
    assert any(ends_soon(folder, open_client) for folder in folders)


def ends_soon(folder, open_client):
    folder.mkdir()
    with serving(folder) as server, open_client(server), open_client(server):
        server.process.terminate()
        try:
            server.process.wait(timeout=ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            return False
        return True


def test_a_review_that_comes_while_it_ends_is_answered_and_told_to_go_elsewhere(tmp_path):
    # It has a second for that, in which a busy machine may stand still, but not each time.
    folders = (tmp_path / name for name in "12345")
    assert any(is_answered_while_it_ends(folder) for folder in folders)


def is_answered_while_it_ends(folder):
    folder.mkdir()
    review = json.dumps(objects.admission_review(objects.article_pod()))
    with serving(folder) as server, server.connect() as connection:
        assert answer_to(connection, "GET", "/livez")[0] == 200
        server.process.terminate()
        try:
            # Until it has heard that it is to end, it keeps the connection.
            while True:
                headers = {"Content-Type": "application/json"}
                connection.request("POST", "/mutate/pods", review, headers)
                response = connection.getresponse()
                assert response.status == 200
                response.read()
                if response.headers["Connection"] == "close":
                    return True
        except (OSError, http.client.HTTPException):
            return False
