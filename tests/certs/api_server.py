"""A small API server: one kind of storage, resource versions, conflicts, over real HTTP.

It knows what certs asks for: create, get and replace of Secrets, get and strategic merge
patch of a MutatingWebhookConfiguration.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kubernetes import client

SECRETS = "/api/v1/namespaces/pgset-system/secrets"
SECRET = f"{SECRETS}/pgset-webhook-tls"
CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/pgset"

Json = dict[str, Any]

POLL_SECONDS = 0.01
"""How soon the server notices that it is to end."""


class RefusalError(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class ApiServer:
    """Objects by path. `before_write` is called with each write's path, once it has arrived.

    While it is `away`, every answer is 503.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.writes: list[str] = []
        self.before_write: Callable[[str], None] = lambda _: None
        self.away = False
        self._lock = threading.RLock()
        self._version = 100

    def check_presence(self) -> None:
        if self.away:
            raise RefusalError(503, "ServiceUnavailable")

    def get(self, path: str) -> Json:
        with self._lock:
            if path not in self.objects:
                raise RefusalError(404, "NotFound")
            return self.objects[path]

    def create(self, path: str, body: Json) -> Json:
        path = f"{path}/{body['metadata']['name']}"
        self.before_write(path)
        with self._lock:
            if path in self.objects:
                raise RefusalError(409, "AlreadyExists")
            return self._store(path, body)

    def replace(self, path: str, body: Json) -> Json:
        self.before_write(path)
        with self._lock:
            self._check_version(self.get(path), body)
            return self._store(path, body)

    def patch(self, path: str, body: Json) -> Json:
        self.before_write(path)
        with self._lock:
            present = self.get(path)
            self._check_version(present, body)
            patches = {webhook["name"]: webhook for webhook in body["webhooks"]}
            for webhook in present["webhooks"]:
                webhook["clientConfig"].update(
                    patches.get(webhook["name"], {}).get("clientConfig", {})
                )
            return self._store(path, present)

    def delete(self, path: str) -> None:
        with self._lock:
            del self.objects[path]

    def _check_version(self, present: Json, body: Json) -> None:
        version = body["metadata"].get("resourceVersion")
        if version not in (None, present["metadata"]["resourceVersion"]):
            raise RefusalError(409, "Conflict")

    def _store(self, path: str, body: Json) -> Json:
        self._version += 1
        stored = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}}
        self.objects[path] = stored
        self.writes.append(path)
        return stored


def registration(*names: str) -> Json:
    """A MutatingWebhookConfiguration as `kubectl apply` leaves it."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "pgset", "resourceVersion": "1"},
        "webhooks": [
            {
                "name": name,
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "timeoutSeconds": 5,
                "clientConfig": {"service": {"name": "pgset-webhook", "namespace": "pgset-system"}},
            }
            for name in names
        ],
    }


@contextmanager
def serving(api: ApiServer) -> Iterator[client.ApiClient]:
    """Serve on loopback; gives a client of the `kubernetes` library that talks to it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(api))
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,))
    thread.start()
    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{server.server_port}"
    try:
        with client.ApiClient(configuration) as api_client:
            yield api_client
            api_client.rest_client.pool_manager.clear()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(api: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes

        def do_GET(self) -> None:
            self._answer(lambda: api.get(self.path))

        def do_POST(self) -> None:
            self._answer(lambda: api.create(self.path, self._body()))

        def do_PUT(self) -> None:
            self._answer(lambda: api.replace(self.path, self._body()))

        def do_PATCH(self) -> None:
            assert self.headers["Content-Type"] == "application/strategic-merge-patch+json"
            self._answer(lambda: api.patch(self.path, self._body()))

        def _body(self) -> Json:
            body: Json = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            return body

        def _answer(self, action: Callable[[], Json]) -> None:
            try:
                api.check_presence()
                code, document = 200, action()
            except RefusalError as refusal:
                code, document = refusal.code, {"kind": "Status", "reason": refusal.reason}
            content = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
