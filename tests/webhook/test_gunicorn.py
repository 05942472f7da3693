"""gunicorn with the configuration that the Deployment names, over real TLS."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certs import files
from certs.authority import make_leaf, read, service_names
from certs.metrics import METRICS_FILE, Metrics
from certs.renewal import Trust, renewed
from certs.rotation import served_of
from tests.webhook import objects

NAMES = service_names("pgset-webhook", "pgset-system")
NOW = datetime.now(UTC)
STARTED_WITHIN = 20.0


class Server:
    def __init__(self, port: int, directory: Path, trust: Trust) -> None:
        self.port = port
        self.directory = directory
        self.trust = trust

    @contextmanager
    def connect(self) -> Iterator[http.client.HTTPSConnection]:
        """Connect to the loopback address, and verify as the API server would."""
        context = ssl.create_default_context(cadata=self.trust.authority.certificate.decode())
        connection = http.client.HTTPSConnection(NAMES[0], self.port, context=context, timeout=10)
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.sock = context.wrap_socket(raw, server_hostname=NAMES[0])
        try:
            yield connection
        finally:
            connection.close()

    def leaf(self) -> bytes:
        with self.connect() as connection:
            der = connection.sock.getpeercert(binary_form=True)
        return ssl.DER_cert_to_PEM_cert(der).encode()

    def new_leaf(self) -> Trust:
        leaf = make_leaf(self.trust.authority, NAMES, NOW + timedelta(seconds=1))
        return Trust(self.trust.authority, leaf)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    trust, _ = renewed(None, NAMES, NOW)
    files.write(directory, trust)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--config", "python:webhook.gunicorn_config"),
            *("--bind", f"127.0.0.1:{port}", "tests.webhook.served_app:application"),
        ],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PGSET_TLS_DIRECTORY": str(directory)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until_it_listens(port)
        yield Server(port, directory, trust)
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=40)
    assert [json.loads(line)["time"] for line in output.splitlines()]


def wait_until_it_listens(port):
    deadline = time.monotonic() + STARTED_WITHIN
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"gunicorn did not listen within {STARTED_WITHIN} s")


def answer_to(connection, method, path, body=None):
    connection.request(method, path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


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


def test_a_connection_that_idles_is_kept(server):
    with server.connect() as connection:
        assert answer_to(connection, "GET", "/livez")[0] == 200
        time.sleep(2.5)  # gunicorn's own default closes after 2 s
        assert answer_to(connection, "GET", "/livez")[0] == 200


def test_a_new_pair_is_served_without_a_restart_and_a_broken_one_never(server):
    old = server.trust
    assert old.leaf.certificate == server.leaf()
    new = server.new_leaf()
    (server.directory / "tls.key").write_bytes(new.leaf.key)
    assert old.leaf.certificate == server.leaf()
    (server.directory / "tls.crt").write_bytes(new.leaf.certificate)
    assert new.leaf.certificate == server.leaf()
    (server.directory / "tls.crt").unlink()
    assert new.leaf.certificate == server.leaf()
    (server.directory / "tls.crt").write_bytes(new.leaf.certificate)


def test_a_standing_connection_goes_on_while_new_ones_meet_a_new_ca(server):
    old, (new, _) = server.trust, renewed(None, NAMES, NOW)
    with server.connect() as standing:
        assert answer_to(standing, "GET", "/livez")[0] == 200
        files.write(server.directory, new)
        server.trust = new
        with server.connect() as fresh:
            assert answer_to(fresh, "GET", "/livez")[0] == 200
        assert answer_to(standing, "GET", "/livez")[0] == 200
        files.write(server.directory, old)
        server.trust = old
        assert answer_to(standing, "GET", "/livez")[0] == 200


def test_metrics_tell_of_the_pair_in_service_of_faults_and_what_certs_tells(server):
    expiry = "pgset_serving_certificate_expiry_timestamp_seconds"
    errors = "pgset_serving_certificate_reload_errors_total"
    before = metrics(server)
    certs = Metrics(server.directory)
    certs.succeeded(NOW, served_of(server.trust))
    certs.failed()
    certs.write()
    (server.directory / "tls.key").write_bytes(b"nonsense")
    told = metrics(server)
    end = read(server.trust.leaf)[0].not_valid_after_utc.timestamp()
    assert float(told[expiry]) == end
    assert float(told[errors]) == float(before[errors]) + 1
    assert float(told['pgset_certs_expiry_timestamp_seconds{certificate="leaf"}']) == end
    assert told["pgset_certs_failed_rounds_total"] == "1.0"
    (server.directory / "tls.key").write_bytes(server.trust.leaf.key)
    (server.directory / METRICS_FILE).write_bytes(b"pgset_certs_failed_rounds_total nonsense")
    assert metrics(server)[errors] == told[errors]
