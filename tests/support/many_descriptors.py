"""A process that has so many files open that the next one's descriptor is above 1023."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

MOST_OF_SELECT = 1024
"""FD_SETSIZE: what select() takes."""


@contextmanager
def many_descriptors() -> Iterator[None]:
    held: list[int] = []
    try:
        while not held or held[-1] < MOST_OF_SELECT:
            held.append(os.dup(0 if not held else held[0]))
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
