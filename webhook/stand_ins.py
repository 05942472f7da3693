"""What stands in where gunicorn expects a socket or a thread's future."""


class Answer:
    """Stands in for the socket and records what gunicorn writes."""

    def __init__(self) -> None:
        self.written = bytearray()

    def sendall(self, data: bytes) -> None:
        """Record it."""
        self.written += data

    def setblocking(self, flag: bool) -> None:
        """Nothing here blocks."""

    def gettimeout(self) -> float:
        """Return that nobody waits."""
        return 0.0


class Done:
    """A future as gunicorn expects from a thread, already with its result."""

    def __init__(self, result: object) -> None:
        self._result = result

    def cancelled(self) -> bool:
        """Return that it is done."""
        return False

    def result(self) -> object:
        """Return it at once."""
        return self._result
