"""Who has come and was not heard yet: the first of each address before the second of any."""

import socket
from collections import deque


class Newcomers:
    """Whoever comes in hundreds waits for himself, not the kubelet for him."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[socket.socket]] = {}
        """By address; whose turn is next is the first."""
        self._number = 0

    def __len__(self) -> int:
        return self._number

    def add(self, client: socket.socket, address: str) -> None:
        """Let it wait behind those of its address, and these behind one of each other."""
        self._waiting.setdefault(address, deque()).append(client)
        self._number += 1

    def take(self) -> socket.socket:
        """Return whose turn it is. KeyError where nobody waits."""
        address = next(iter(self._waiting), "")
        clients = self._waiting.pop(address)
        client = clients.popleft()
        self._number -= 1
        if clients:
            self._waiting[address] = clients
        return client
