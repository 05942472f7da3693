"""What the benchmarks' command lines share."""

import sys

from tests.bench.cost import NotMeasuredError


def number(name: str, text: str, least: int, most: int) -> int:
    """Read an option; NotMeasuredError where it isn't a whole number in this range."""
    if not text.isascii() or not text.isdecimal() or not least <= int(text) <= most:
        raise NotMeasuredError(f'{name} is "{text}"; allowed: {least} to {most}')
    return int(text)


def tell(text: str) -> None:
    """Say something to the person at the terminal."""
    print(text, file=sys.stderr)  # noqa: T201 - that is what it is for
