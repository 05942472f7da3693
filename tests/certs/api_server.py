"""A small API server: one kind of storage, resource versions, conflicts, over real HTTP.

It knows what certs asks for: create, get and replace of Secrets, get, watch and strategic
merge patch of a MutatingWebhookConfiguration.
"""

import json
import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubernetes import client

from tests.support.api_server import RefusalError, client_of
from tests.support.loopback import QuietHandler

SECRETS = "/api/v1/namespaces/pgset-system/secrets"
SECRET = f"{SECRETS}/pgset-webhook-tls"
SERVING = f"{SECRETS}/pgset-webhook-serving"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
CONFIGURATION = f"{CONFIGURATIONS}/pgset"

Json = dict[str, Any]


class ApiServer:
    """Objects by path. `before_write` is called with each write's path, once it has arrived.

    While it is `away`, every answer is 503.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.writes: list[str] = []
        self.before_write: Callable[[str], None] = lambda _: None
        self.changes: queue.Queue[str | None] = queue.Queue()
        self.away = False
        self.refuses_watches = False
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

    def end_watch(self) -> None:
        self.changes.put(None)

    def _check_version(self, present: Json, body: Json) -> None:
        version = body["metadata"].get("resourceVersion")
        if version not in (None, present["metadata"]["resourceVersion"]):
            raise RefusalError(409, "Conflict")

    def _store(self, path: str, body: Json) -> Json:
        self._version += 1
        stored = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}}
        self.objects[path] = stored
        self.writes.append(path)
        if path == CONFIGURATION:
            self.changes.put("MODIFIED")
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


def serving(api: ApiServer) -> AbstractContextManager[client.ApiClient]:
    """Serve on loopback; gives a client of the `kubernetes` library that talks to it."""
    return client_of(type("Handler", (_Handler,), {"api": api}), before_close=api.end_watch)


class _Handler(QuietHandler):
    api: ApiServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes

    def do_GET(self) -> None:
        if self.path.startswith(f"{CONFIGURATIONS}?") and self.api.refuses_watches:
            self.send_error(403)
        elif self.path.startswith(f"{CONFIGURATIONS}?"):
            self._watch()
        else:
            self._answer(lambda: self.api.get(self.path))

    def do_POST(self) -> None:
        self._answer(lambda: self.api.create(self.path, self._body()))

    def do_PUT(self) -> None:
        self._answer(lambda: self.api.replace(self.path, self._body()))

    def do_PATCH(self) -> None:
        assert self.headers["Content-Type"] == "application/strategic-merge-patch+json"
        self._answer(lambda: self.api.patch(self.path, self._body()))

    def _body(self) -> Json:
        body: Json = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return body

    def _answer(self, action: Callable[[], Json]) -> None:
        try:
            self.api.check_presence()
            code, document = 200, action()
        except RefusalError as refusal:
            code, document = refusal.code, {"kind": "Status", "reason": refusal.reason}
        content = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _watch(self) -> None:
        """One event for what is there, one for each change, until `end_watch`."""
        query = parse_qs(urlsplit(self.path).query)
        assert (query["watch"], query["fieldSelector"]) == (["True"], ["metadata.name=pgset"])
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        kind = "ADDED"
        while kind is not None:
            event = {"type": kind, "object": self.api.get(CONFIGURATION)}
            self._send_chunk(json.dumps(event).encode() + b"\n")
            kind = self.api.changes.get()
        self._send_chunk(b"")
        self.api.end_watch()  # nor does the next one last
        self.close_connection = True

    def _send_chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
