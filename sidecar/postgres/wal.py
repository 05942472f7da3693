"""What the WAL files of a server that has stopped, or crashed, still hold."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar import small_files

_SEGMENT_NAME: Final = re.compile(r"[0-9A-F]{24}")
_TIMELINE_OF_NAME: Final = re.compile(r"([0-9A-F]{8})(?:[0-9A-F]{16}|\.history)")
_BYTES_PER_LOG: Final = 1 << 32
"""A segment's name is its timeline, these units of WAL, and the segment within one, in hex."""

_PAGE_HEADER: Final = struct.Struct("=HHIQ")
"""XLogPageHeaderData: xlp_magic, xlp_info, xlp_tli, xlp_pageaddr."""
_LONG_PAGE_HEADER: Final = struct.Struct("=HHIQI4xQII")
"""XLogLongPageHeaderData: the same, xlp_rem_len, xlp_sysid, xlp_seg_size, xlp_xlog_blcksz; on
the first page of a segment."""
_MAGIC: Final = 0xD1
"""The upper half of XLOG_PAGE_MAGIC, 0xD10D of PostgreSQL 14 to 0xD118 of 18."""
_FLAGS: Final = 0x000F
"""XLP_ALL_FLAGS. What has others is no page: WAL that pg_tde has encrypted, say."""
_DEFAULT_PAGE_SIZE: Final = 8192
_LEAST_SEGMENT: Final = 1 << 20
"""Bytes: wal_segment_size is a power of 2 from 1 MB on."""
_PIECE: Final = 1 << 20
"""Bytes that are read at once."""


def has_wal_beyond(data_directory: Path, timeline: int, position: int) -> bool:
    """Tell whether there is any WAL here that a peer at this position of this timeline lacks.

    For a server that is not running. True also where that can't be told. A running primary writes
    whole pages that were zeroed before, so behind its last record there are zeros up to the end
    of that page, and then pages that are zero or bear the address of an earlier life of the file.
    Raises OSError where the files cannot be read.
    """
    folder = data_directory / "pg_wal"
    names = [path.name for path in folder.iterdir()]
    timelines = [
        int(match[1], 16) for name in names if (match := _TIMELINE_OF_NAME.fullmatch(name))
    ]
    ours = sorted(name for name in names if _belongs_to(name, timeline))
    if not ours or max(timelines) > timeline:
        return True
    wal = _Wal.of(folder, timeline, ours[-1])
    if not wal.path_at(position).exists():
        # Removed long ago, or never begun: the segments on disk have no gap.
        return wal.number_of(ours[-1]) > position // wal.segment_size
    return (
        wal.has_bytes_on_page(position)
        or wal.is_written(position - position % wal.page_size + wal.page_size)
        # A switch leaves the rest of a segment without any page, and goes on in the next one.
        or wal.is_written(position - position % wal.segment_size + wal.segment_size)
    )


def end_of_wal(
    data_directory: Path, timeline: int, position: int, most: int | None
) -> tuple[int, Iterator[bytes]] | None:
    """Return where the last bytes before this position begin, and an iterator over them; None where
    the WAL right before it is not here any more.

    `most`: so many of them at the most; None: those in the last file. For a server that writes no
    WAL, running or not. Raises OSError where it cannot be read.
    """
    folder = data_directory / "pg_wal"
    example = next((it.name for it in folder.iterdir() if _belongs_to(it.name, timeline)), None)
    wal = None if example is None else _Wal.of(folder, timeline, example)
    if wal is None or not wal.path_at(position - 1).exists():
        return None
    start = wal.start_of_segment(position - 1)
    if most is not None:
        while start > max(0, position - most) and wal.path_at(start - 1).exists():
            start = wal.start_of_segment(start - 1)
        start = max(start, position - most)
    return start, wal.pieces(start, position)


def _belongs_to(name: str, timeline: int) -> bool:
    return _SEGMENT_NAME.fullmatch(name) is not None and int(name[:8], 16) == timeline


@dataclass(frozen=True, slots=True)
class _Wal:
    """The segments of one timeline; sizes in bytes."""

    folder: Path
    timeline: int
    segment_size: int
    page_size: int

    @classmethod
    def of(cls, folder: Path, timeline: int, example: str) -> "_Wal":
        """Take the sizes from one of the segments. Raises OSError where it is none."""
        path = folder / example
        segment_size = path.stat().st_size
        if segment_size < _LEAST_SEGMENT or segment_size & (segment_size - 1):
            raise OSError(f"{path} is no WAL file: it has {segment_size} bytes")
        with small_files.opened(path) as file:
            head = file.read(_LONG_PAGE_HEADER.size)
        page_size = _DEFAULT_PAGE_SIZE
        if len(head) == _LONG_PAGE_HEADER.size:
            *_, told_segment_size, told_page_size = _LONG_PAGE_HEADER.unpack(head)
            if told_segment_size == segment_size:
                page_size = told_page_size
        return cls(folder, timeline, segment_size, page_size)

    def number_of(self, name: str) -> int:
        per_log = _BYTES_PER_LOG // self.segment_size
        return int(name[8:16], 16) * per_log + int(name[16:], 16)

    def path_at(self, position: int) -> Path:
        per_log = _BYTES_PER_LOG // self.segment_size
        log, segment = divmod(position // self.segment_size, per_log)
        return self.folder / f"{self.timeline:08X}{log:08X}{segment:08X}"

    def start_of_segment(self, position: int) -> int:
        return position - position % self.segment_size

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """Yield what is between these positions, piece by piece."""
        while start < end:
            length = min(end - start, self.segment_size - start % self.segment_size, _PIECE)
            with small_files.opened(self.path_at(start)) as file:
                file.seek(start % self.segment_size)
                yield file.read(length)
            start += length

    def has_bytes_on_page(self, position: int) -> bool:
        """Tell whether its page is written and not all zeros from there on."""
        offset = position % self.page_size
        page = self._page(position - offset)
        return page is not None and any(page[offset:])

    def is_written(self, address: int) -> bool:
        """Tell whether the page at this address, a multiple of the page size, is."""
        return self._page(address) is not None

    def _page(self, address: int) -> bytes | None:
        try:
            with small_files.opened(self.path_at(address)) as file:
                file.seek(address % self.segment_size)
                page = file.read(self.page_size)
        except FileNotFoundError:
            return None
        if len(page) < self.page_size:
            raise OSError(f"{self.path_at(address)} ends before {address:#x}")
        magic, info, _, told_address = _PAGE_HEADER.unpack_from(page)
        if magic == 0:
            return None
        if magic >> 8 != _MAGIC or info & ~_FLAGS or told_address % self.page_size:
            raise OSError(f"{self.path_at(address)} has no page at {address:#x} that can be read")
        return page if told_address == address else None
