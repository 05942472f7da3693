"""A small API server for the caretaker: objects by path, selectors, versions, watches, over HTTP.

It knows what the caretaker asks for, and answers the rest with 404.
"""

import json
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubernetes import client

from tests.support.api_server import RefusalError, client_of
from tests.support.loopback import QuietHandler

Json = dict[str, Any]


class ApiServer:
    """Objects by their paths. `refused` names collections that take no writes, with the code."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.writes: list[str] = []
        self.lists: list[str] = []
        self.watches: list[int] = []
        """Their timeoutSeconds."""
        self.events: list[Json] = []
        """What watches tell: each the next one, before it ends."""
        self.at_once = 1
        """How many events one watch tells."""
        self.granted: set[str] = set()
        """Users who have the sidecars' mark."""
        self.refused: dict[str, int] = {}
        self.remaining: dict[str, int] = {}
        """By kind: what lists of the whole cluster say that there is more of."""
        self.message = "not today"
        """Of the Status that is the answer then."""
        self._version = 100

    # ── what a test says ──────────────────────────────────────────────────────────────────

    def put(self, path: str, body: Json) -> None:
        self._version += 1
        namespace = path.partition("/namespaces/")[2].partition("/")[0]
        given = {"uid": f"uid-{self._version}", "namespace": namespace}
        metadata = given | body["metadata"] | {"resourceVersion": str(self._version)}
        self.objects[path] = body | {"metadata": metadata}

    def put_statefulset(self, statefulset: Json) -> None:
        namespace, name = (statefulset["metadata"][it] for it in ("namespace", "name"))
        self.put(f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}", statefulset)

    def names(self, kind: str) -> set[str]:
        """namespace/name of all objects of a kind."""
        return {
            f"{it['metadata']['namespace']}/{it['metadata']['name']}"
            for path, it in self.objects.items()
            if path.split("/")[-2] == kind
        }

    # ── what a client asks ────────────────────────────────────────────────────────────────

    def watch(self, _: str, query: dict[str, str]) -> tuple[Json, ...]:
        self.watches.append(int(query["timeoutSeconds"]))
        events, self.events = self.events[: self.at_once], self.events[self.at_once :]
        return tuple(events)

    def list(self, path: str, query: dict[str, str]) -> tuple[Json, ...]:
        self.lists.append(path)
        kind = path.rpartition("/")[2]
        within = path.rpartition("/")[0] + "/" if "/namespaces/" in path else ""
        items = [
            it
            for place, it in self.objects.items()
            if place.split("/")[-2] == kind
            and place.startswith(within)
            and selected(it, query.get("labelSelector", ""))
            and query.get("fieldSelector", "").removeprefix("metadata.name=")
            in ("", it["metadata"]["name"])
        ]
        metadata: Json = {"resourceVersion": str(self._version)}
        if not within and kind in self.remaining:
            metadata["remainingItemCount"] = self.remaining[kind]
        return ({"metadata": metadata, "items": items},)

    def create(self, path: str, body: Json) -> Json:
        if path.endswith("/subjectaccessreviews"):
            allowed = body["spec"]["user"] in self.granted
            return {"spec": body["spec"], "status": {"allowed": allowed}}
        self._check(path)
        path = f"{path}/{body['metadata']['name']}"
        if path in self.objects:
            raise RefusalError(409, "AlreadyExists")
        return self._store(path, body)

    def replace(self, path: str, body: Json) -> Json:
        self._check(path)
        if body["metadata"]["resourceVersion"] != self._present(path)["resourceVersion"]:
            raise RefusalError(409, "Conflict")
        return self._store(path, body)

    def delete(self, path: str, body: Json) -> Json:
        self._check(path)
        present = self._present(path)
        for field, value in body["preconditions"].items():
            if present[field] != value:
                raise RefusalError(409, "Conflict")
        self.writes.append(f"delete {path}")
        return self.objects.pop(path)

    def _check(self, path: str) -> None:
        for part, code in self.refused.items():
            if part in path:
                raise RefusalError(code, "Refused")

    def _present(self, path: str) -> Json:
        if path not in self.objects:
            raise RefusalError(404, "NotFound")
        metadata: Json = self.objects[path]["metadata"]
        return metadata

    def _store(self, path: str, body: Json) -> Json:
        self.put(path, body)
        self.writes.append(path)
        return self.objects[path]


def selected(item: Json, selector: str) -> bool:
    """By equality, existence and absence: what these tests use of label selectors."""
    labels = item["metadata"].get("labels") or {}
    return all(_selected_by(labels, rule) for rule in selector.split(",") if rule)


def _selected_by(labels: dict[str, str], rule: str) -> bool:
    if rule.startswith("!"):
        return rule[1:] not in labels
    key, _, value = rule.partition("=")
    return labels.get(key) == value if value else key in labels


def serving(api: ApiServer) -> AbstractContextManager[client.ApiClient]:
    """Serve on loopback; gives a client of the `kubernetes` library that talks to it."""
    return client_of(_handler(api), validates=False)


def _handler(api: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # in one write: a second one would wait for the client's delayed ACK

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            answer = api.watch if "watch" in query else api.list
            self._answer(200, *answer(url.path, query))

        def do_POST(self) -> None:
            self._try(api.create)

        def do_PUT(self) -> None:
            self._try(api.replace)

        def do_DELETE(self) -> None:
            self._try(api.delete)

        def _try(self, action: Any) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                self._answer(200, action(self.path, body))
            except RefusalError as refusal:
                self._answer(refusal.code, {"reason": refusal.reason, "message": api.message})

        def _answer(self, code: int, *documents: Json) -> None:
            content = "".join(json.dumps(it) + "\n" for it in documents).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler
