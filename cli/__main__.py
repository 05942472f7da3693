"""Runs the command that was asked for; errors are one sentence."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Final

from cli import arguments
from cli.arguments import PASSED_ON
from cli.kubectl import CannotError, Kubectl
from cli.text import Paint
from cli.view import FAILED

INTERRUPTED: Final = 130

COMMANDS: Final = {
    **dict.fromkeys(("status", "history", "events", "logs", "psql"), "look"),
    **dict.fromkeys(("switchover", "pause", "resume", "restart", "optin"), "change"),
    **dict.fromkeys(("fence", "unfence", "reinit"), "member"),
    "failover": "failover",
    "doctor": "doctor",
    "report": "report",
    "inject": "inject",
    "completion": "completion",
}
"""The module of each command. It is imported when it is needed: a zip archive is compiled anew each
time, and half of it takes half of that time."""


def carry_out(command: str) -> Callable[[Kubectl, Namespace, Paint], int]:
    """Return what carries the command out."""
    found: Callable[[Kubectl, Namespace, Paint], int] = getattr(
        importlib.import_module(f"cli.{COMMANDS[command]}"), command
    )
    return found


def main() -> None:
    """Run, and end the process with the exit code."""
    words = sys.argv[1:]
    for output in (sys.stdout, sys.stderr):
        # A terminal of another encoding has no sign for some of what others may write.
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="replace")
    if words[:1] == ["__complete"]:
        from cli.completion import complete  # noqa: PLC0415 - as the commands

        sys.exit(complete(words[1:]))
    ours, theirs = split(words)
    chosen = arguments.parser().parse_args(ours)
    chosen.words = theirs
    if theirs and chosen.command != "psql":
        print("kubectl pgset: only psql takes words after --", file=sys.stderr)
        sys.exit(FAILED)
    options = [
        f"--{name}={value}"
        for name in PASSED_ON
        if (value := getattr(chosen, name.replace("-", "_"))) is not None
    ]
    kubectl = Kubectl(options, chosen.namespace)
    paint = Paint(sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    if hasattr(signal, "SIGPIPE"):
        # As other tools do in `kubectl pgset status | head`.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        sys.exit(carry_out(chosen.command)(kubectl, chosen, paint))
    except CannotError as error:
        print(f"kubectl pgset: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the words before the first "--" and those after it."""
    end = words.index("--") if "--" in words else len(words)
    return words[:end], words[end + 1 :]


if __name__ == "__main__":
    main()
