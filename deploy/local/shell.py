"""Running other programs: quick ones, and long ones that show progress."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.errors import LocalClusterError

_PROGRESS_SECONDS = 15.0
_TAIL_LINES = 15

Command = Sequence[str | Path]


def say(message: str) -> None:
    """Tell the user what goes on; stdout stays free for what scripts read."""
    print(message, file=sys.stderr, flush=True)


def run(command: Command, *, stdin: str | None = None, check: bool = True) -> str:
    """Run a quick command and return its stdout; its stderr is in the error."""
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode != 0:
        raise LocalClusterError(
            f"`{_shown(command)}` failed with exit code {done.returncode}: "
            f"{(done.stderr or done.stdout).strip()}"
        )
    return done.stdout


def run_long(
    what: str,
    command: Command,
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a slow command, its output in `log`, and tell every 15 s how far it is."""
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        code = _wait_with_progress(process, what, began, log)
    if code != 0:
        raise LocalClusterError(
            f"{what} failed with exit code {code}; the end of {log}:\n{_tail(log, _TAIL_LINES)}"
        )


def _wait_with_progress(
    process: "subprocess.Popen[bytes]", what: str, began: float, log: Path
) -> int:
    while True:
        try:
            return process.wait(timeout=_PROGRESS_SECONDS)
        except subprocess.TimeoutExpired:
            elapsed = time.monotonic() - began
            say(f"  {what}: {elapsed:.0f} s so far   {_tail(log, 1)[:80]}".rstrip())
        except BaseException:
            process.kill()
            process.wait()
            raise


def _tail(log: Path, lines: int) -> str:
    text = log.read_text(errors="replace").strip()
    return "\n".join(text.splitlines()[-lines:])


def _shown(command: Command) -> str:
    return " ".join(str(word) for word in command)
