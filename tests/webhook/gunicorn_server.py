"""gunicorn with the configuration that the Deployment names, over real TLS, for tests."""

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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from certs.authority import service_names
from certs.renewal import Trust, renewed
from tests.support.database import free_port
from tests.webhook import mounted
from webhook.patient_worker import PATIENCE

NAMES = service_names("pgset-webhook", "pgset-system")
NOW = datetime.now(UTC)
STARTED_WITHIN = ENDED_WITHIN = 180.0


class Server:
    def __init__(
        self,
        process: subprocess.Popen[str],
        port: int,
        probes: int,
        directory: Path,
        trust: Trust,
    ):
        self.process = process
        self.port = port
        self.probes = probes
        """The kubelet's port."""
        self.directory = directory
        self.trust = trust

    @contextmanager
    def connect(self, timeout: float = 60.0) -> Iterator[http.client.HTTPSConnection]:
        """Connect to the loopback address, and verify as the API server would."""
        connection = http.client.HTTPSConnection(NAMES[0], self.port)
        connection.sock = self.tls(timeout)
        try:
            yield connection
        finally:
            connection.close()

    def tls(self, timeout: float = 60.0) -> ssl.SSLSocket:
        """Shake hands; again where that took so long that we may be cut off, on a busy machine."""
        context = ssl.create_default_context(cadata=self.trust.authority.certificate.decode())
        deadline = time.monotonic() + STARTED_WITHIN
        while True:
            began = time.monotonic()
            try:
                client = context.wrap_socket(self.tcp(timeout), server_hostname=NAMES[0])
            except (ssl.SSLEOFError, ConnectionError):
                if time.monotonic() - began < PATIENCE or began > deadline:
                    raise
            else:
                if time.monotonic() - began < PATIENCE or began > deadline:
                    return client
                client.close()

    def tcp(self, timeout: float = 60.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout)


@contextmanager
def serving(directory: Path, *options: str) -> Iterator[Server]:
    """Serve `served_app` with a new certificate; its log has to be JSON to the end.

    `options`: of gunicorn, in place of what the configuration says.
    """
    trust, _ = renewed(None, NAMES, NOW)
    mounted.write(directory, trust)
    port, probes = free_port(), free_port()
    # Not a pipe: nobody reads it meanwhile, and a full one would stop the server.
    log = (directory / "log").open("w")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--config", "python:webhook.gunicorn_config"),
            *("--bind", f"127.0.0.1:{port}", "--bind", f"127.0.0.1:{probes}"),
            *(*options, "tests.webhook.served_app:application"),
        ],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PGSET_TLS_DIRECTORY": str(directory)},
        stdout=log,
        text=True,
    )
    server = Server(process, port, probes, directory, trust)
    try:
        _wait_until_it_answers(server)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=ENDED_WITHIN)
        log.close()
    said = (directory / "log").read_text()
    assert [json.loads(line)["time"] for line in said.splitlines()]


def _wait_until_it_answers(server: Server) -> None:
    """The master listens before its worker has even started, so listening says little."""
    deadline = time.monotonic() + STARTED_WITHIN
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with server.connect() as connection:
                answer_to(connection, "GET", "/livez")
        except (ConnectionRefusedError, TimeoutError):
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"gunicorn did not answer within {STARTED_WITHIN} s")


def answer_to(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None
) -> tuple[int, Any]:
    connection.request(method, path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())
