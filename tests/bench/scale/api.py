"""An API server's clients: as the cluster's admin, each thread on a connection that it keeps."""

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from http import HTTPStatus
from typing import Any, Final

from deploy.local import pki
from tests.bench.cost import NotMeasuredError

Json = dict[str, Any]

MERGE: Final = "application/merge-patch+json"
METADATA_ALONE: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""What to accept, where nothing but metadata is wanted."""

SECONDS: Final = 60.0
"""What an answer may take: the API server itself gives up then."""

WATCHED_SECONDS: Final = 3600


def admin_context() -> ssl.SSLContext:
    """Return a context with the admin's certificate; `deploy.local.pki` has made it."""
    context = ssl.create_default_context(cafile=str(pki.certificate("ca")))
    context.load_cert_chain(pki.certificate("admin"), pki.key("admin"))
    return context


class Api:
    """One API server."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        """Nothing is connected yet."""
        self._host, self._port, self._context = host, port, context
        self._of_thread = threading.local()

    def connect(self) -> http.client.HTTPSConnection:
        """Return a connection of its own, which the caller closes."""
        connection = http.client.HTTPSConnection(
            self._host, self._port, context=self._context, timeout=SECONDS
        )
        connection.connect()
        return connection

    def close(self) -> None:
        """Give this thread's connection up, if it has one."""
        connection = self._of_thread.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    def status(self, path: str) -> int:
        """Return the status of a GET's answer. Raises OSError or HTTPException."""
        return self._send("GET", path)[0]

    def text(self, path: str) -> str:
        """Return what there is. Raises NotMeasuredError where the answer is another one."""
        return self._wanted("GET", path, HTTPStatus.OK).decode()

    def get(self, path: str) -> Json:
        """Return an object or a list. Raises as `text` does."""
        found: Json = json.loads(self._wanted("GET", path, HTTPStatus.OK))
        return found

    def create(self, path: str, body: Json) -> Json:
        """Create an object and return it. Raises as `text` does."""
        made: Json = json.loads(self._wanted("POST", path, HTTPStatus.CREATED, body))
        return made

    def replace(self, path: str, body: Json) -> Json:
        """Replace an object and return it. Raises as `text` does."""
        made: Json = json.loads(self._wanted("PUT", path, HTTPStatus.OK, body))
        return made

    def patch(self, path: str, body: Json) -> None:
        """Change an object by a merge patch. Raises as `text` does."""
        self._wanted("PATCH", path, HTTPStatus.OK, body, MERGE)

    def delete(self, path: str) -> None:
        """Delete an object. Raises as `text` does."""
        self._wanted("DELETE", path, HTTPStatus.OK)

    def count(self, path: str) -> int:
        """Return how many objects of a kind there are. Raises as `text` does."""
        page = self.get(f"{path}?limit=1")
        return len(page["items"]) + (page["metadata"].get("remainingItemCount") or 0)

    def watch(self, path: str) -> Iterator[Json]:
        """Yield the metadata of each object that is there or comes, until the connection ends.

        Raises NotMeasuredError where there is no watch.
        """
        with closing(self.connect()) as connection:
            connection.sock.settimeout(WATCHED_SECONDS)
            connection.request("GET", f"{path}&watch=true", headers={"Accept": METADATA_ALONE})
            answer = connection.getresponse()
            if answer.status != HTTPStatus.OK:
                raise NotMeasuredError(f"watch of {path}: {answer.status} {answer.read()[:1000]!r}")
            for line in answer:
                event = json.loads(line)
                if event["type"] == "ADDED":
                    yield event["object"]["metadata"]

    def _wanted(
        self, method: str, path: str, wanted: int, body: Json | None = None, kind: str = ""
    ) -> bytes:
        try:
            status, content = self._send(method, path, body, kind)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NotMeasuredError(f"{method} {path}: {error!r}") from error
        if status != wanted:
            said = content[:1000].decode(errors="replace")
            raise NotMeasuredError(f"{method} {path}: {status} {said}")
        return content

    def _send(
        self, method: str, path: str, body: Json | None = None, kind: str = ""
    ) -> tuple[int, bytes]:
        sent = None if body is None else json.dumps(body, separators=(",", ":"))
        headers = {"Content-Type": kind or "application/json"}
        while True:
            kept = getattr(self._of_thread, "connection", None)
            connection = kept or self.connect()
            self._of_thread.connection = connection
            try:
                connection.request(method, path, sent, headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                self.close()
                if kept is None:
                    raise
                # The API server closes a connection that was idle for 90 s.
