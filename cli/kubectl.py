"""The only transport: kubectl, whose configuration and credentials are used as they are."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cli.facts import Json


class CannotError(Exception):
    """What was asked can't be done. The message is one sentence for the user."""


class Kubectl:
    """kubectl with the options that the user gave to us."""

    def __init__(self, options: Sequence[str], namespace: str | None = None) -> None:
        """`options`: such as ("--context", "prod"). `namespace`: None for kubectl's own choice."""
        self._command = ("kubectl", *options)
        self._namespace = namespace

    @property
    def namespace(self) -> str:
        """The namespace that is meant."""
        if self._namespace is None:
            words = ("config", "view", "--minify", "-o", "jsonpath={..namespace}")
            self._namespace = self.run(*words, check=False).strip() or "default"
        return self._namespace

    def command(self, *words: str) -> list[str]:
        """Return the command with these words, for whoever starts it."""
        return [*self._command, *words]

    def run(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        """Return what kubectl prints. Raises CannotError with what it says instead."""
        try:
            done = subprocess.run(
                self.command(*words), input=stdin, capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            raise CannotError("kubectl is not in PATH: install it first") from None
        if done.returncode != 0 and check:
            raise CannotError(_sentence(done.stderr))
        return done.stdout

    def items(self, *words: str) -> list[Json]:
        """Return the objects of a `get`: one or several."""
        text = self.run("get", *words, "-o", "json", "--show-managed-fields")
        answer: Any = json.loads(text) if text.strip() else {"items": []}
        found: list[Json] = answer.get("items", [answer])
        return found

    def together(self, *requests: Sequence[str]) -> list[Json]:
        """Return the objects of several `get`s, asked at the same time."""
        with ThreadPoolExecutor(len(requests)) as pool:
            answers = list(pool.map(lambda words: self.items(*words), requests))
        return [item for answer in answers for item in answer]


def _sentence(stderr: str) -> str:
    """Return kubectl's last words as one sentence."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = lines[-1] if lines else "it said nothing"
    for prefix in ("error: ", "Error from server "):
        if said.startswith(prefix):
            said = said[len(prefix) :]
    return f"kubectl: {said}"
