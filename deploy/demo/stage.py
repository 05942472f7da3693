"""Where the walk-through is played: a cluster, kubectl, and somebody who tells what is done."""

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMESPACE = os.environ.get("DEMO_NAMESPACE", "pgset-demo")
SYSTEM = "pgset-system"

_LONGEST_SHOWN = 12
_POLL_SECONDS = 0.25
_TRIES = 5


class StepFailedError(Exception):
    """What a step was to show did not come true; the message says what was seen instead."""


@dataclass
class Stage:
    """One cluster to play on."""

    kubectl: Path
    kubeconfig: Path | None
    """None: kubectl's own choice, the user's current context."""
    images: tuple[str, str] | None
    """pgset's image and the PostgreSQL image, where not the manifests' own."""
    node: str | None
    """Pin all pods to this node, where the nodes share no file system."""
    folder: str
    """The host folder that stands in for the shared file system."""
    workspace: Path
    """For manifests made on the way."""
    times: dict[str, float] = field(default_factory=dict)
    """Seconds by what was measured."""

    # ── telling ───────────────────────────────────────────────────────────────────────────

    def title(self, number: int, text: str) -> None:
        """Begin a step."""
        print(f"\n\033[1m── {number}. {text}\033[0m", flush=True)

    def say(self, text: str) -> None:
        """Explain."""
        print(f"   {text}", flush=True)

    def show(self, command: str, output: str) -> None:
        """Show a command as the user would type it, and what it printed."""
        print(f"   \033[36m$ {command}\033[0m", flush=True)
        lines = output.strip().splitlines()
        for line in lines[:_LONGEST_SHOWN]:
            print(f"     {line}", flush=True)
        if len(lines) > _LONGEST_SHOWN:
            print(f"     … {len(lines) - _LONGEST_SHOWN} lines more", flush=True)

    def measured(self, what: str, seconds: float) -> None:
        """Keep a time for the table at the end."""
        self.times[what] = seconds
        self.say(f"⏱  {what}: {seconds:.1f} s")

    # ── kubectl ───────────────────────────────────────────────────────────────────────────

    def ask(self, *words: str, check: bool = True, stdin: str | None = None) -> str:
        """Run kubectl quietly and return what it printed on both streams."""
        output, code = self._kubectl(words, stdin)
        if check and code != 0:
            raise StepFailedError(f"kubectl {shlex.join(words)}: {output.strip()}")
        return output

    def _kubectl(self, words: Sequence[str], stdin: str | None = None) -> tuple[str, int]:
        """Again where a busy webhook did not answer in time, and so nothing was stored."""
        for _ in range(_TRIES):
            output, code = self._run(words, stdin)
            if code == 0 or "failed calling webhook" not in output:
                break
            time.sleep(_POLL_SECONDS)
        return output, code

    def _run(self, words: Sequence[str], stdin: str | None) -> tuple[str, int]:
        command = [str(self.kubectl)]
        if self.kubeconfig is not None:
            command += ["--kubeconfig", str(self.kubeconfig)]
        done = subprocess.run(
            [*command, *words],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        return done.stdout, done.returncode

    def do(self, *words: str, namespace: str | None = NAMESPACE) -> str:
        """Run kubectl in front of the audience; it has to succeed."""
        return self._perform(words, namespace, refused=False)

    def fail(self, *words: str, namespace: str | None = NAMESPACE) -> str:
        """Run kubectl in front of the audience; it has to be refused."""
        return self._perform(words, namespace, refused=True)

    def _perform(self, words: Sequence[str], namespace: str | None, *, refused: bool) -> str:
        words = (*(("-n", namespace) if namespace else ()), *words)
        output, code = self._kubectl(words)
        self.show(f"kubectl {shlex.join(words)}", output)
        if (code != 0) != refused:
            expected = "to be refused" if refused else "to succeed"
            raise StepFailedError(f"expected kubectl {shlex.join(words)} {expected}: {output}")
        return output

    def get(self, *words: str, namespace: str | None = NAMESPACE) -> dict[str, Any]:
        """Return an object or a list."""
        scope = ("-n", namespace) if namespace else ()
        answer: dict[str, Any] = json.loads(self.ask("get", *scope, *words, "-o", "json"))
        return answer

    def apply(self, manifest: dict[str, Any] | list[dict[str, Any]]) -> None:
        """Apply objects quietly."""
        items = manifest if isinstance(manifest, list) else [manifest]
        # A list: kubectl 1.30 reads no second JSON document from a stream.
        listed = {"apiVersion": "v1", "kind": "List", "items": items}
        self.ask("apply", "-f", "-", stdin=json.dumps(listed))

    def apply_folder(self, folder: Path) -> str:
        """Apply a kustomization and return what kubectl printed.

        Again where somebody else has made one of the objects at the same moment.
        """
        for _ in range(_TRIES):
            output, code = self._kubectl(("apply", "-k", str(folder)), None)
            if code == 0 or "(AlreadyExists)" not in output:
                break
        if code != 0:
            raise StepFailedError(f"kubectl apply -k {folder}: {output.strip()}")
        return output

    def wait(self, question: Callable[[], bool], what: str, seconds: float = 240) -> float:
        """Wait until something is true and return the seconds it took.

        A question that fails is asked again: a busy API server refuses one now and then.
        """
        began = time.monotonic()

        def is_true() -> bool:
            with suppress(StepFailedError):
                return question()
            return False

        while not is_true():
            if time.monotonic() - began > seconds:
                pods = self.ask("-n", NAMESPACE, "get", "pods", "-o", "wide", check=False)
                events = self.ask("-n", NAMESPACE, "get", "events", check=False)
                raise StepFailedError(
                    f"waited {seconds:.0f} s in vain for {what}:\n{pods}\n{events}"
                )
            time.sleep(_POLL_SECONDS)
        return time.monotonic() - began

    # ── psql ──────────────────────────────────────────────────────────────────────────────

    def psql(self, host: str, statement: str) -> str:
        """Run psql in the client pod in front of the audience; it has to succeed."""
        output, code = self._psql(host, statement)
        self.show(f'psql -h {host} -c "{statement}"', output)
        if code != 0:
            raise StepFailedError(f"psql -h {host}: {output}")
        return output

    def psql_refused(self, host: str, statement: str) -> str:
        """Run psql in the client pod in front of the audience; it has to be refused."""
        output, code = self._psql(host, statement)
        self.show(f'psql -h {host} -c "{statement}"', output)
        if code == 0:
            raise StepFailedError(f"psql -h {host} was expected to be refused: {output}")
        return output

    def query(self, host: str, statement: str) -> str | None:
        """Return the bare value of a query; None where it cannot be had now."""
        output, code = self._psql(host, statement, "-At")
        return output.strip() if code == 0 else None

    def _psql(self, host: str, statement: str, *flags: str) -> tuple[str, int]:
        marker = "psql ended with "
        script = 'psql -X -U postgres -h "$0" "$@" 2>&1; echo "psql ended with $?"'
        words = ("sh", "-c", script, host, *flags, "-c", statement)
        output = self.ask(
            "-n", NAMESPACE, "exec", "client", "--", "env", "PGCONNECT_TIMEOUT=3",
            *words,
        )  # fmt: skip
        text, _, code = output.rpartition(marker)
        return text.rstrip(), int(code)
