"""What the command lines of `make chaos` and `make storm` share."""

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from deploy.demo.stage import StepFailedError
from deploy.local.errors import LocalClusterError
from tests.chaos.api import ApiError
from tests.chaos.link import LinkError
from tests.chaos.strikes import FaultError

DURABILITIES: Final = ("async", "sync", "sync-strict", "quorum")


def run(command: str, play: Callable[[Path], int], interrupted: str) -> int:
    """Return the exit code of `play`, which is given an empty folder, or of what kept it from its
    end; `interrupted`: what to say where somebody did."""
    try:
        with tempfile.TemporaryDirectory(prefix=f"pgset-{command}-") as workspace:
            return play(Path(workspace))
    except (LocalClusterError, StepFailedError, FaultError, ApiError, LinkError) as error:
        tell(f"make {command}: {error}")
        return 1
    except KeyboardInterrupt:
        tell(f"interrupted; {interrupted}")
        return 130


def number(name: str, text: str, least: int, most: int) -> int:
    """Read an option; FaultError where it isn't a whole number in this range."""
    if not text.isdecimal() or not least <= int(text) <= most:
        raise FaultError(f'{name} is "{text}"; allowed: {least} to {most}')
    return int(text)


def choice(name: str, text: str, allowed: Sequence[str]) -> str:
    """Read an option; FaultError where it is none of those."""
    if text not in allowed:
        raise FaultError(f'{name} is "{text}"; allowed: {", ".join(allowed)}')
    return text


def show(text: str) -> None:
    """Print a result."""
    print(text, flush=True)  # noqa: T201 - this is what the program is for


def tell(text: str) -> None:
    """Say something to the person at the terminal."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - that is what it is for
