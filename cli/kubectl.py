"""The only transport: kubectl, whose configuration and credentials are used as they are."""

from __future__ import annotations

import copy
import json
import shlex
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from cli.installation import Unread
from cli.pod_spec import Json

OWN_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class CannotError(Exception):
    """What was asked can't be done. The message is one sentence for the user."""


class Kubectl:
    """kubectl with the options that the user gave to us."""

    def __init__(self, options: Sequence[str], namespace: str | None = None) -> None:
        """`options`: such as ("--context", "prod"). `namespace`: None for kubectl's own choice."""
        self._command = ("kubectl", *options)
        self._namespace = namespace
        self._seconds: float | None = None

    def within(self, seconds: float) -> Kubectl:
        """Return the same, of which each question may take so long. kubectl itself may wait for
        minutes for an API server that hangs."""
        hasty = copy.copy(self)
        hasty._seconds = seconds
        return hasty

    @property
    def namespace(self) -> str:
        """The namespace that is meant."""
        if self._namespace is None:
            words = ("config", "view", "--minify", "-o", "jsonpath={..namespace}")
            self._namespace = self.run(*words, check=False).strip() or _of_pod() or "default"
        return self._namespace

    @property
    def shown(self) -> str:
        """The command as it is pasted into a shell, with the user's own options."""
        return " ".join(map(shlex.quote, self._command))

    def hint(self, *words: str) -> str:
        """Return one of our commands as it is pasted into a shell."""
        ours = ("kubectl", "pgset", *words, *self._command[1:], "-n", self.namespace)
        return " ".join(map(shlex.quote, ours))

    def command(self, *words: str) -> list[str]:
        """Return the command with these words, for whoever starts it."""
        return [*self._command, *words]

    def run(self, *words: str, check: bool = True, stdin: str | None = None) -> str:
        """Return what kubectl prints. Raises CannotError with what it says instead.

        `stdin`: what it reads; None for our own.
        """
        try:
            done = subprocess.run(
                self.command(*words),
                capture_output=True,
                input=stdin,
                encoding="utf-8",
                errors="replace",
                check=False,
                timeout=self._seconds,
            )
        except OSError as error:
            raise cannot_start(error) from None
        except subprocess.TimeoutExpired as late:
            raise CannotError(f"kubectl has not answered within {late.timeout:.1f} s") from None
        if done.returncode != 0 and check:
            raise CannotError(_sentence(done.stderr))
        return done.stdout

    def items(self, *words: str) -> list[Json]:
        """Return the objects of a `get`: one or several."""
        text = self.run("get", *words, "-o", "json", "--show-managed-fields")
        try:
            answer: Any = printable(json.loads(text)) if text.strip() else {"items": []}
        except ValueError:
            raise CannotError("kubectl: what it printed is no JSON") from None
        if not isinstance(answer, dict):
            raise CannotError("kubectl: what it printed is no object")
        found: list[Json] = answer.get("items", [answer])
        return found

    def together(self, *requests: Sequence[str]) -> tuple[list[Json], tuple[Unread, ...]]:
        """Return the objects of several `get`s, asked at the same time, and what of it could not be
        read. Raises CannotError if nothing could."""
        unread: list[Unread] = []

        def ask(words: Sequence[str]) -> list[Json]:
            try:
                return self.items(*words)
            except CannotError as error:
                unread.append(Unread(words[0], str(error)))
                return []

        with ThreadPoolExecutor(len(requests)) as pool:
            answers = list(pool.map(ask, requests))
        if len(unread) == len(requests):
            raise CannotError(next(it.why for it in unread if it.what == requests[0][0]))
        return [item for answer in answers for item in answer], tuple(unread)


def _of_pod() -> str:
    """Return the namespace of the pod that we run in, as kubectl does where it has no kubeconfig;
    "" if we don't."""
    try:
        return OWN_NAMESPACE.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def cannot_start(error: OSError) -> CannotError:
    """Return what is said where there is no kubectl."""
    if isinstance(error, FileNotFoundError):
        return CannotError("kubectl is not in PATH: install it first")
    return CannotError(f"kubectl can't be started: {error.strerror}")


_CONTROL: Final = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\ufffd"),
    **dict.fromkeys(map(ord, "\n\t"), " "),
    # Ends of lines, directions of writing, and halves of characters that no output can encode.
    **dict.fromkeys((0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd"),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}


def printable(value: Any) -> Any:
    """Return it without control characters: who may annotate a pod may not write to the terminal of
    who looks at it, nor make a line look like another one."""
    if isinstance(value, dict):
        return {printable(key): printable(it) for key, it in value.items()}
    if isinstance(value, list):
        return [printable(it) for it in value]
    return value.translate(_CONTROL) if isinstance(value, str) else value


_FAILS_WITH: Final = ("error: ", "Error from server ", "Unable to connect to the server: ")
"""How kubectl begins what went wrong; advice, such as where a credential plugin is found, may come
after it."""


def _sentence(stderr: str) -> str:
    """Return what kubectl says went wrong as one sentence: else its last words."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = next(
        (it for it in reversed(lines) if it.startswith(_FAILS_WITH)),
        lines[-1] if lines else "it said nothing",
    )
    for prefix in _FAILS_WITH[:2]:
        if said.startswith(prefix):
            said = said[len(prefix) :]
    return f"kubectl: {printable(said)}"
