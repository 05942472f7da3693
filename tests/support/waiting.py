"""Waiting for what happens by itself."""

import time
from collections.abc import Callable
from pathlib import Path


def wait_until(
    question: Callable[[], bool], what: str, seconds: float = 180.0, pause: float = 0.05
) -> None:
    """Return when the answer is yes; AssertionError if it never is in so many seconds."""
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(pause)


def is_quick(question: Callable[[], object], seconds: float) -> bool:
    """Whether it takes less than so many seconds, once in five times.

    A busy machine stands still for seconds, but not each time; who does wait, waits each time.
    """

    def took() -> float:
        began = time.monotonic()
        question()
        return time.monotonic() - began

    return any(took() < seconds for _ in range(5))


def state_of(pid: int) -> str | None:
    """Return the letter of proc(5): T stopped, Z a zombie; None where there is no process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None
