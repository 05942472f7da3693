"""Who streams from a set's primary, as that has recorded it in the Lease; no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_DIGITS: Final = 20


@dataclass(frozen=True)
class Follower:
    """A member that streams from the primary, as that has recorded it."""

    received: int
    """Bytes of WAL."""
    replayed: int | None
    seconds: float | None
    """By how much it was late with what it has replayed; None: it was not, or has not said."""


def number(text: str) -> int | None:
    """Return a number; None if it is none. (Python takes digits of other scripts as well, and no
    thousands of them.)"""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None


def read_followers(text: str, term: int) -> dict[str, Follower]:
    """Return what this holder has recorded; one of version 0.2.0 keeps what another did."""
    by_whom, _, rest = text.partition(",")
    found = {}
    for words in (it.split() for it in rest.split(",") if by_whom == f"term-{term}"):
        if len(words) == 4 and (received := number(words[1])) is not None:  # noqa: PLR2004
            found[words[0]] = Follower(received, number(words[2]), _seconds(words[3]))
    return found


def _seconds(text: str) -> float | None:
    whole, _, rest = text.partition(".")
    known = number(whole) is not None and number(rest or "0") is not None
    return float(text) if known else None
