"""Waiting, and telling how long things took."""

import time
from collections.abc import Callable

from deploy.local import paths
from deploy.local.errors import LocalClusterError
from deploy.local.shell import say

_POLL_SECONDS = 0.2


class Steps:
    """A stopwatch that tells each step's time and the total."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    def total(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def done(self, step: str) -> None:
        """Tell that a step is done."""
        now = time.monotonic()
        say(f"  {self.total():5.1f} s  (+{now - self._last:4.1f})  {step}")
        self._last = now


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Ask again and again; LocalClusterError after so many seconds of no."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LocalClusterError(
                f"{what} did not come up within {seconds:.0f} s: the logs are in {paths.logs()}"
            )
        time.sleep(_POLL_SECONDS)
