"""How long certificates live and how long each step of a rotation is given; checked together."""

import argparse
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

LONGEST: Final = timedelta(days=36500)
"""Longer lives would end after the last year that a certificate's dates can express."""

_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class InvalidLifetimesError(ValueError):
    """Don't start: the arguments have to be changed. The message is one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """One installation's times; InvalidLifetimesError where they contradict each other."""

    authority: timedelta = timedelta(days=3650)
    """Of a CA; its successor is made after two thirds of it."""

    leaf: timedelta = timedelta(days=365)
    """Of a serving certificate, likewise."""

    overlap: timedelta = timedelta(hours=1)
    """For this long after a leaf of a new CA is served, the old CA stays beside the new one.

    On a node that can't reach the API server the webhook goes on serving the old leaf; in less
    than a minute it is NotReady and no longer called.
    """

    settle: timedelta = timedelta(seconds=5)
    """API servers watch the registrations: they act on a changed one within less than this."""

    delivery: timedelta = timedelta(minutes=2)
    """Kubelets bring a changed Secret into a pod in less: at the pod's next sync, which is after 60
    to 90 s where nothing else happens."""

    interval: timedelta = timedelta(seconds=10)
    """Between two rounds of upkeep. Until a blanked caBundle is found, every review fails."""

    def __post_init__(self) -> None:
        """Check the times against each other."""
        if not timedelta() < min(
            *(self.interval, self.settle, self.delivery, self.overlap, self.leaf)
        ):
            raise InvalidLifetimesError("a lifetime is 0; allowed: more than 0, for each of them")
        if self.authority > LONGEST:
            raise InvalidLifetimesError(
                f"--ca-life {_text(self.authority)} is too long; allowed: at most {_text(LONGEST)}"
            )
        if self.leaf > self.authority:
            raise InvalidLifetimesError(
                f"--leaf-life {_text(self.leaf)} is longer than the life of the CA that signs it; "
                f"allowed: at most --ca-life, {_text(self.authority)}"
            )
        if self.leaf < 3 * self.pickup:
            raise InvalidLifetimesError(
                f"--leaf-life {_text(self.leaf)} ends before its successor is in service; "
                f"allowed: at least three times --settle, --delivery and two --interval, "
                f"{_text(3 * self.pickup)}"
            )
        if not self.pickup <= self.overlap <= self.authority / 3:
            raise InvalidLifetimesError(
                f"--overlap {_text(self.overlap)} is not allowed; allowed: from --settle, "
                f"--delivery and two --interval, {_text(self.pickup)}, to a third of --ca-life, "
                f"{_text(self.authority / 3)}"
            )

    @property
    def pickup(self) -> timedelta:
        """How long after a new CA is published every webhook that is well serves its leaf."""
        return self.settle + 2 * self.interval + self.delivery


DEFAULT: Final = Lifetimes()


def duration(text: str) -> timedelta:
    """Read `90`, `90s`, `1.5m`, `12h` or `365d`; argparse.ArgumentTypeError for all else."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([smhd]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a duration; allowed: a number of seconds, or one with s, m, h or d, '
            "such as 90s or 365d"
        )
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


def _text(time: timedelta) -> str:
    seconds = time.total_seconds()
    for unit in "dhm":
        if seconds >= _UNITS[unit] and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:g}{unit}"
    return f"{seconds:g}s"
