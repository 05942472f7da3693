"""An API server that knows only Leases: a list, and watches whose events the test sends."""

import json
import queue
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support import loopback
from tests.webhook.patient_api_server import patient_api_server
from webhook.api_server import TOKEN_FILE, ApiServer

END_OF_WATCH = None


class LeaseServer:
    def __init__(self) -> None:
        self.leases: list[tuple[str, str]] = []
        self.list_status = 200
        self.events: queue.Queue[str | None] = queue.Queue()
        self.selectors: list[str] = []
        self.lists = 0
        self.padding = ""
        """In each Lease."""
        self.of_one = ""
        """JSON in Lease "odd", and in no other."""
        self.sizes: list[int] = []
        """Of the answers to lists."""
        self.url = ""

    def send(self, kind: str, namespace: str, name: str) -> None:
        self.send_text(kind, namespace, name, "null")

    def send_text(self, kind: str, namespace: str, name: str, more: str) -> None:
        event = {"type": kind, "object": _lease(namespace, name)}
        self.events.put(json.dumps(event).replace("null", more))

    def send_error(self, code: int) -> None:
        status = {"kind": "Status", "code": code, "reason": "Expired", "message": "too old"}
        self.events.put(json.dumps({"type": "ERROR", "object": status}))

    def end_watch(self) -> None:
        self.events.put(END_OF_WATCH)


def _lease(namespace: str, name: str) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, "resourceVersion": "7"}
    more = {"more": None} if name == "odd" else {}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata} | more


@contextmanager
def serving(leases: LeaseServer) -> Iterator[ApiServer]:
    with (
        loopback.serving(_handler(leases), before_close=leases.end_watch) as server,
        tempfile.TemporaryDirectory() as directory,
    ):
        leases.url = loopback.url(server)
        (Path(directory) / TOKEN_FILE).write_text("a token\n")
        api = patient_api_server(leases.url, Path(directory))
        yield api
        api._pool.clear()


def _handler(leases: LeaseServer) -> type[BaseHTTPRequestHandler]:
    class Handler(loopback.QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            leases.selectors += query["labelSelector"]
            if "watch" in query:
                self._watch()
            else:
                leases.lists += 1
                begin = int(query.get("continue", ["0"])[0])
                self._list(begin, begin + int(query.get("limit", [str(len(leases.leases))])[0]))

        def _list(self, begin: int, end: int) -> None:
            items = [_lease(*lease) for lease in leases.leases[begin:end]]
            for it in items:
                it["metadata"]["annotations"] = {"padding": leases.padding}
            metadata = {"resourceVersion": "5"}
            if end < len(leases.leases):
                metadata["continue"] = str(end)
            document = {"kind": "LeaseList", "metadata": metadata, "items": items}
            content = json.dumps(document).replace("null", leases.of_one).encode()
            leases.sizes.append(len(content))
            self.send_response(leases.list_status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _watch(self) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while (event := leases.events.get()) is not END_OF_WATCH:
                self._write_chunk(event.encode() + b"\n")
            self._write_chunk(b"")

        def _write_chunk(self, content: bytes) -> None:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))

    return Handler
