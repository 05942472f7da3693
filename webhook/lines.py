"""The lines of a watch, one for each event."""

from collections.abc import Iterable, Iterator


def lines(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Yield each line that is not empty, once its end has come; one of over `most` bytes is passed
    over.

    Each byte is copied once or twice, however many chunks a line comes in.
    """
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            size += len(end)
            if 0 < size <= most:
                yield b"".join((*parts, end))
            parts, size = [], 0
        size += len(rest)
        if size <= most:
            parts.append(rest)
        else:
            parts.clear()
