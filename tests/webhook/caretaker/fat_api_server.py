"""An API server on which somebody has filled objects of each kind up to what it stores of one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.support import loopback
from tests.webhook.caretaker.made import statefulset

Json = dict[str, Any]

NUMBER: Final = 60
"""Of the fat objects of each kind; of StatefulSets and pods there is a usual one besides."""

_FAT: Final = {f"label-{it:06d}": "x" * 63 for it in range(12_000)}
"""A megabyte."""
_DEEP: Final = '{"f:a":' * 20_000 + "{}" + "}" * 20_000
"""In place of managedFields: valid JSON, which no recursive parser reads."""


@lru_cache(2 * NUMBER)
def _fat(kind: str, number: int) -> str:
    metadata: Json = {"namespace": "a", "name": f"fat-{number}", "uid": f"uid-{kind}-{number}"}
    metadata["resourceVersion"] = "7"
    match kind:
        case "statefulsets":
            manifest = statefulset(f"fat-{number}", enabled="true")
            manifest["metadata"] |= metadata
            manifest["spec"]["template"]["metadata"]["labels"] |= _FAT
            return json.dumps(manifest)
        case "pods":
            labels = {"pgset.dev/set": f"fat-{number}"} | _FAT
            return json.dumps({"metadata": metadata | {"labels": labels}, "spec": {}})
        case "services":
            return json.dumps({"metadata": metadata, "spec": {"selector": _FAT}})
    if number == 0:
        return json.dumps({"metadata": metadata, "spec": {"deep": None}}).replace("null", _DEEP)
    return json.dumps({"metadata": metadata, "spec": {"podSelector": {"matchLabels": _FAT}}})


def _usual(kind: str) -> list[str]:
    if kind != "statefulsets":
        return []
    manifest = statefulset("orders", enabled="true")
    manifest["metadata"] |= {"namespace": "shop", "resourceVersion": "7"}
    return [json.dumps(manifest)]


class FatApiServer:
    """`created`: the paths and names of what was made."""

    def __init__(self) -> None:
        self.url = ""
        self.created: list[str] = []
        self._one: dict[str, str] = {}

    def page(self, path: str, query: dict[str, str]) -> Iterator[bytes]:
        """Yield the pieces of a list, as few of them as are read."""
        kind = path.rpartition("/")[2]
        begin, limit = int(query.get("continue", "0")), int(query["limit"])
        if "labelSelector" in query and kind != "pods":
            number = 0  # managed-by: nothing is the caretaker's
        else:
            number = 0 if "/namespaces/shop/" in path or kind == "rolebindings" else NUMBER
        items = number + (0 if "/namespaces/" in path else len(_usual(kind)))
        end = min(items, begin + limit)
        more = f', "continue": "{end}"' if end < items else ""
        yield f'{{"kind": "List", "metadata": {{"resourceVersion": "5"{more}}}, "items": ['.encode()
        for it in range(begin, end):
            yield b"," if it > begin else b""
            yield (_fat(kind, it) if it < number else _usual(kind)[it - number]).encode()
        yield b"]}"


@contextmanager
def serving(api: FatApiServer) -> Iterator[str]:
    """Give its address."""

    class Handler(loopback.QuietHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            self.send_response(200)
            self.end_headers()
            # Who has read enough hangs up.
            with suppress(ConnectionError):
                for piece in () if "watch" in query else api.page(url.path, query):
                    self.wfile.write(piece)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.created.append(f"{self.path}/{body.get('metadata', {}).get('name', '')}")
            self.send_response(201)
            self.end_headers()
            self.wfile.write(json.dumps(body | {"status": {"allowed": True}}).encode())

    handler: type[BaseHTTPRequestHandler] = Handler
    with loopback.serving(handler) as server:
        yield loopback.url(server)
