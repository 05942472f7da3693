"""What only one process at a time may do in the cache; another one waits."""

import contextlib
import fcntl
from collections.abc import Iterator

from deploy.local import paths


@contextlib.contextmanager
def alone(what: str) -> Iterator[None]:
    """Wait until nobody else, in whichever checkout, is at it."""
    folder = paths.cache() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / what).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
