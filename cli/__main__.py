"""Runs the command that was asked for; errors are one sentence."""

from __future__ import annotations

import importlib
import io
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Final

from cli import arguments
from cli.kubectl import CannotError, Kubectl
from cli.text import Paint
from cli.view import FAILED

INTERRUPTED: Final = 130
NOT_READ: Final = 141
"""As of a program that SIGPIPE ends."""

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
    try:
        code = run(words)
        sys.stdout.flush()
        sys.exit(code)
    except CannotError as error:
        print(f"kubectl pgset: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except BrokenPipeError:
        # Nobody reads on, as in `kubectl pgset status | head`. SIGPIPE itself stays ignored: a
        # kubectl that ends before it has read what we write to it still says why.
        _drop_output()
        sys.exit(NOT_READ)
    except OSError as error:
        _drop_output()
        print(f"kubectl pgset: can't write: {error.strerror}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def run(words: list[str]) -> int:
    """Carry out what is asked for, and return the exit code."""
    if words[:1] == ["__complete"]:
        from cli.completion import complete  # noqa: PLC0415 - as the commands

        return complete(words[1:])
    ours, theirs = split(words)
    chosen = arguments.parse(ours)
    chosen.words = theirs
    if theirs and chosen.command != "psql":
        raise CannotError("only psql takes words after --")
    kubectl = Kubectl(arguments.passed_on(chosen), chosen.namespace)
    paint = Paint(sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    return carry_out(chosen.command)(kubectl, chosen, paint)


def _drop_output() -> None:
    """Python would else try to write the rest, and fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the words before the first "--" and those after it."""
    end = words.index("--") if "--" in words else len(words)
    return words[:end], words[end + 1 :]


if __name__ == "__main__":
    main()
