"""The folder through which the sidecar and `bootstrap.sh` talk: reports in, orders out.

It is memory of the pod's own (an emptyDir of that medium): nothing here hangs, as the volume can.
"""

import itertools
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Final

from sidecar import small_files
from sidecar.postgres.control_data import ControlData, parse_control_data

_START: Final = "start"
_START_WRITABLE: Final = "start-writable"
_LEAVE: Final = "leave"
_SCRIPTS: Final = (
    *("bootstrap_copy.sh", "bootstrap_image.sh", "bootstrap_initdb.sh"),
    *("bootstrap_settings.sh", "bootstrap_wal.sh"),
    "bootstrap.sh",
)
"""The last one is started, and reads the others, which therefore come first."""
_HEAD_LINE: Final = re.compile(r"[a-z]+=")
"""session, done, refusal, objection, failure, pgdata, data, rewind, copied, refused, hba, logical,
follows; then what pg_controldata says."""


class Report(dict[str, str]):
    """The lines at the head of the report by name, and what pg_controldata said below them."""

    control: ControlData | None

    @classmethod
    def parse(cls, content: bytes) -> "Report":
        """Parse the file. A path in it need not be UTF-8; what is told of it is."""
        lines = content.decode(errors="surrogateescape").split("\n")
        head = list(itertools.takewhile(_HEAD_LINE.match, lines))
        report = cls(line.split("=", 1) for line in head)
        for name in report.keys() & {"refusal", "objection", "failure", "follows"}:
            report[name] = os.fsencode(report[name]).decode(errors="replace")
        report.control = parse_control_data("\n".join(lines[len(head) :]))
        return report

    @cached_property
    def directory(self) -> Path:
        """PGDATA as the database's image has it."""
        return Path(self["pgdata"])

    @property
    def done(self) -> int:
        """The number of the last order that was carried out, or has failed."""
        return int(self["done"])


class Handshake:
    """The folder, as the sidecar uses it."""

    def __init__(self, folder: Path) -> None:
        """`folder`: mounted into both containers."""
        self._folder = folder
        self._report_file, self._order_file = folder / "report", folder / "order"
        self._read: tuple[tuple[int, int, int], Report] | None = None
        """The report that was read last, and what distinguishes a newer file from it."""
        self._ordered: tuple[str, int, str] | None = None
        """Session, number and verb of the last order."""

    def provide_scripts(self) -> None:
        """Put the scripts where the bootstrap container starts them."""
        for name in _SCRIPTS:
            small_files.replace(self._folder / name, Path(__file__).with_name(name).read_text())

    def pg_hba(self) -> str:
        """Return the copy of the pg_hba.conf that the report names."""
        return small_files.read_text(self._folder / "pg_hba.conf")

    def report(self) -> Report | None:
        """Return the report, None before the first; bootstrap replaces the file for a new one."""
        try:
            state = self._report_file.stat()
            stamp = (state.st_ino, state.st_mtime_ns, state.st_size)
            if self._read is None or self._read[0] != stamp:
                self._read = (stamp, Report.parse(self._report_file.read_bytes()))
        except FileNotFoundError:
            return None
        return self._read[1]

    def order(self, report: Report, verb: str, conninfo: str, slot: str) -> None:
        """Give the order that comes after this report."""
        session, number = report["session"], report.done + 1
        self._ordered = (session, number, verb)
        small_files.replace(self._order_file, f"{session} {number} {verb}\n{conninfo}\n{slot}\n")

    def write_password_file(self, line: str) -> None:
        """Leave the password for clone, rewind and reclone where bootstrap's libpq looks for it."""
        small_files.replace(self._folder / "pgpass", f"{line}\n", mode=0o600)

    def has_started(self, report: Report) -> bool:
        """Return whether the last order let PostgreSQL start, and bootstrap has ended."""
        return self._has_done((_START, _START_WRITABLE, _LEAVE), report) and not report["failure"]

    def has_left(self, report: Report) -> bool:
        """Return whether that was to start it as if there were no pgset."""
        return self._has_done((_LEAVE,), report)

    def has_started_writable(self, report: Report) -> bool:
        """Return whether that was the start of a primary."""
        return self._has_done((_START_WRITABLE,), report) and not report["failure"]

    def _has_done(self, verbs: tuple[str, ...], report: Report) -> bool:
        return self._last_order(report) in [(verb, report.done) for verb in verbs]

    def busy(self, report: Report) -> str | None:
        """Return the verb of the order that is being carried out."""
        last = self._last_order(report)
        return last[0] if last is not None and last[1] > report.done else None

    def _last_order(self, report: Report) -> tuple[str, int] | None:
        """Return (verb, number); read from the file after a restart of the sidecar."""
        if self._ordered is None and self._order_file.exists():
            line = self._order_file.read_bytes().partition(b"\n")[0]
            session, number, verb = line.decode().split()
            self._ordered = (session, int(number), verb)
        if self._ordered is None or self._ordered[0] != report["session"]:
            return None
        return self._ordered[2], self._ordered[1]
