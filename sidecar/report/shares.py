"""How many requests of one kind and one address are waiting or being answered."""

import threading
from collections import Counter

Key = tuple[object, str]
"""Kind and address."""


class Shares:
    """So many for each. Safe from any thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._taken: Counter[Key] = Counter()

    def take(self, key: Key) -> bool:
        """Count one more, or return False where that would be too many."""
        with self._lock:
            if self._taken[key] >= self._most:
                return False
            self._taken[key] += 1
            return True

    def give_back(self, key: Key) -> None:
        """Count one less."""
        with self._lock:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]
