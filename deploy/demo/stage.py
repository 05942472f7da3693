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
_PATIENCE = 180.0
"""Seconds in which kubectl is run again where what it wants has not begun."""
_MOST_SECONDS = 900
"""Of one kubectl; what it waits for has limits of its own."""
_CONNECT_SECONDS = 60
"""Of psql, which is not asked again."""
_PROBE_SECONDS = 3
"""Of psql, where it is asked again and again."""

_NOT_BEGUN = (
    "failed calling webhook",
    "TLS handshake timeout",
    "error dialing backend",
)
"""What kubectl says where a busy webhook, API server or kubelet did not answer in time, and so
nothing was stored or run. It has no other way to tell."""


def has_not_begun(said: str) -> bool:
    """Whether a kubectl that failed with these words may be run again."""
    return any(it in said for it in _NOT_BEGUN)


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
        said, output, code = self._kubectl(words, stdin)
        if check and code != 0:
            raise StepFailedError(f"kubectl {shlex.join(words)}: {f'{said}{output}'.strip()}")
        return f"{said}{output}"

    def _kubectl(self, words: Sequence[str], stdin: str | None = None) -> tuple[str, str, int]:
        """Return what it said, what it printed, and its code; again where it has not begun."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            said, output, code = self._run(words, stdin)
            begun = code == 0 or not has_not_begun(f"{said}{output}")
            if begun or time.monotonic() > deadline:
                return said, output, code
            time.sleep(_POLL_SECONDS)

    def _run(self, words: Sequence[str], stdin: str | None) -> tuple[str, str, int]:
        command = [str(self.kubectl)]
        if self.kubeconfig is not None:
            command += ["--kubeconfig", str(self.kubeconfig)]
        done = subprocess.run(
            [*command, *words],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=_MOST_SECONDS,
        )
        return done.stderr, done.stdout, done.returncode

    def do(self, *words: str, namespace: str | None = NAMESPACE) -> str:
        """Run kubectl in front of the audience; it has to succeed."""
        return self._perform(words, namespace, refused=False)

    def fail(self, *words: str, namespace: str | None = NAMESPACE) -> str:
        """Run kubectl in front of the audience; it has to be refused."""
        return self._perform(words, namespace, refused=True)

    def _perform(self, words: Sequence[str], namespace: str | None, *, refused: bool) -> str:
        words = (*(("-n", namespace) if namespace else ()), *words)
        said, printed, code = self._kubectl(words)
        output = f"{said}{printed}"
        self.show(f"kubectl {shlex.join(words)}", output)
        if (code != 0) != refused:
            expected = "to be refused" if refused else "to succeed"
            raise StepFailedError(f"expected kubectl {shlex.join(words)} {expected}: {output}")
        return output

    def get(self, *words: str, namespace: str | None = NAMESPACE) -> dict[str, Any]:
        """Return an object or a list."""
        scope = ("-n", namespace) if namespace else ()
        words = ("get", *scope, *words, "-o", "json")
        # What kubectl says of a slow API server is no JSON.
        said, output, code = self._kubectl(words)
        if code != 0:
            raise StepFailedError(f"kubectl {shlex.join(words)}: {said.strip()}")
        answer: dict[str, Any] = json.loads(output)
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
            said, printed, code = self._kubectl(("apply", "-k", str(folder)), None)
            output = f"{said}{printed}"
            if code == 0 or "(AlreadyExists)" not in output:
                break
        if code != 0:
            raise StepFailedError(f"kubectl apply -k {folder}: {output.strip()}")
        return output

    def delete_namespace(self, name: str, seconds: int = 600) -> None:
        """Delete it, if it is there, and wait until it is gone: so long at the most, twice.

        Its pods first. A namespace controller that meets one looks again after half of its grace
        period, which is a quarter of a minute, and most pods are gone within seconds.
        """
        timeout = f"--timeout={seconds}s"
        self.ask("-n", name, "delete", "deployments,statefulsets,pods", "--all", timeout)
        self.ask("delete", "namespace", name, "--ignore-not-found", timeout)

    def wait(self, question: Callable[[], bool], what: str, seconds: float = 360) -> float:
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

    def query(self, host: str, statement: str, *, again: bool = False) -> str | None:
        """Return the bare value of a query; None where it cannot be had now.

        `again`: the caller asks again where there is none, and so it need not wait long.
        """
        seconds = _PROBE_SECONDS if again else _CONNECT_SECONDS
        output, code = self._psql(host, statement, "-At", seconds=seconds)
        return output.strip() if code == 0 else None

    def _psql(
        self, host: str, statement: str, *flags: str, seconds: int = _CONNECT_SECONDS
    ) -> tuple[str, int]:
        marker = "psql ended with "
        script = 'psql -X -U postgres -h "$0" "$@" 2>&1; echo "psql ended with $?"'
        words = ("sh", "-c", script, host, *flags, "-c", statement)
        output = self.ask(
            "-n", NAMESPACE, "exec", "client", "--", "env", f"PGCONNECT_TIMEOUT={seconds}",
            *words,
        )  # fmt: skip
        text, _, code = output.rpartition(marker)
        return text.rstrip(), int(code)
