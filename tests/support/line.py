"""A line to an API server that a test can close, and that has time for answers."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sidecar.kube.client import ApiClient, Json

PATIENT: Final = 180.0
"""Seconds for an answer: a busy machine may not run who answers for longer than a sidecar waits."""


class Line(ApiClient):
    closed = False
    """A mirror's thread has no end: it waits here for that of the process."""

    def __init__(self, base_url: str, ca_file: Path, token_file: Path) -> None:
        super().__init__(base_url, ca_file, token_file, read_seconds=PATIENT)

    def get(self, path: str, query: dict[str, str] | None = None, **limits: Any) -> Json:
        if self.closed:
            threading.Event().wait()
        return super().get(path, query, **limits)

    def watch(self, path: str, query: dict[str, str], **limits: Any) -> Iterator[Json]:
        if self.closed:
            threading.Event().wait()
        return super().watch(path, query, **limits)
