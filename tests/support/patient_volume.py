"""A data volume that has time: for tests whose claim is not the deadline."""

from collections.abc import Callable
from typing import Final, TypeVar

from sidecar.bootstrap import Bootstrap
from sidecar.patiently import SECONDS, Patiently

PATIENT: Final = 180.0
"""Seconds. A busy machine may not run the thread that looks for longer than the sidecar waits."""

_Result = TypeVar("_Result")


class Unhurried(Patiently):
    """Waits for long, until `hurries` is set: then for as long as a sidecar does."""

    hurries = False

    def run(self, function: Callable[[], _Result], seconds: float = SECONDS) -> _Result:
        return super().run(function, seconds if self.hurries else PATIENT)


def patient(bootstrap: Bootstrap) -> Bootstrap:
    """Return it with time for its volume."""
    bootstrap.patiently = Unhurried()
    return bootstrap


def hurry(bootstrap: Bootstrap, *, hurries: bool = True) -> None:
    """Let one who has time give up as soon as a sidecar does, or have time again."""
    assert isinstance(bootstrap.patiently, Unhurried)
    bootstrap.patiently.hurries = hurries
