"""Files of a volume that does not answer: whoever opens one waits until it does."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class HungFiles:
    """Stands for a kernel that waits for a file server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._hung: dict[str, threading.Event] = {}
        self._open = os.open
        monkeypatch.setattr(os, "open", self._wait_and_open)

    def hang(self, path: Path) -> None:
        """Whoever opens this from now on waits until `answer`."""
        self._hung[str(path)] = threading.Event()

    def answer(self, path: Path) -> None:
        """Let who waits go on."""
        self._hung.pop(str(path)).set()

    def answer_all(self) -> None:
        while self._hung:
            self._hung.popitem()[1].set()

    def _wait_and_open(self, path: Any, *arguments: Any, **more: Any) -> int:
        if (answers := self._hung.get(str(path))) is not None:
            answers.wait()
        return self._open(path, *arguments, **more)


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[HungFiles]:
    files = HungFiles(monkeypatch)
    yield files
    files.answer_all()
