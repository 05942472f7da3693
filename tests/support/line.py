"""A line to an API server that a test can close."""

import threading
from collections.abc import Iterator

from sidecar.kube.client import ApiClient, Json


class Line(ApiClient):
    closed = False
    """A mirror's thread has no end: it waits here for that of the process."""

    def get(
        self, path: str, query: dict[str, str] | None = None, *, seconds: float | None = None
    ) -> Json:
        if self.closed:
            threading.Event().wait()
        return super().get(path, query, seconds=seconds)

    def watch(self, path: str, query: dict[str, str]) -> Iterator[Json]:
        if self.closed:
            threading.Event().wait()
        return super().watch(path, query)
