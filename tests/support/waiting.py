"""Waiting for what happens by itself."""

import time
from collections.abc import Callable


def wait_until(
    question: Callable[[], bool], what: str, seconds: float = 30.0, pause: float = 0.05
) -> None:
    """Return when the answer is yes; AssertionError if it never is in so many seconds."""
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(pause)
