"""The sidecar's end of the hand-shake with `bootstrap.sh`: reads its report, gives it orders.

Also here, because the data directory is only known from that report: the heartbeat in it
(design, rule 8), the settings that must stand there before PostgreSQL starts, and
`standby.signal`.
"""

import os
import time
from pathlib import Path
from typing import Final

from sidecar.observation import BootstrapView, DataState, Identity
from sidecar.postgres.configuration import with_settings
from sidecar.postgres.control_data import (
    ControlData,
    parse_control_data,
    parse_system_identifier,
)
from sidecar.situation.patience import SLOW_WRITE

_HEARTBEAT: Final = ".pgset-heartbeat"
_UNSETTLED: Final = "unsettled"
_FOR_RECLONE: Final = ".pgset-reclone"
_PROMOTING: Final = ".pgset-promoting"
_HEAD_LINES: Final = 7
"""session, done, refusal, failure, pgdata, data, rewind; then what pg_controldata printed."""


class Bootstrap:
    """The bootstrap container of this pod, and the data directory that it reports."""

    def __init__(self, handshake: Path, me: Identity, silence: float) -> None:
        """`silence`: seconds after which another pod's heartbeat in the directory is dead."""
        self._handshake = handshake
        self._me = me
        self._silence = silence
        self._told: tuple[tuple[int, int, int], _Report] | None = None
        """The report that was read last, and by what a newer file is known."""
        self._ordered: tuple[str, int, str] | None = None
        self._foreign_heartbeat: tuple[str, float] | None = None
        self._beats = 0
        self._write_failure: str | None = None
        self._slow = False

    def provide_script(self) -> None:
        """Put the script where the bootstrap container starts it."""
        _write(self._handshake / "bootstrap.sh", _script().read_text())

    def data_directory(self) -> Path | None:
        """Return PGDATA as the database's image has it; None before the first report."""
        report = self._report()
        return Path(report["pgdata"]) if report else None

    def observe(self, now: float) -> BootstrapView:
        """Return what bootstrap says, and beat the heart in the data directory if it is ours.

        Files that an earlier life has left half-moved are put in order then; until that is done,
        nothing can be said of the data.
        """
        report = self._report()
        if report is None:
            return BootstrapView(data=None, running=True)
        directory = Path(report["pgdata"])
        other = self._other_writer(directory, now)
        if other is None:
            self._beat(directory)
            if report["data"] == _UNSETTLED and not (self._busy(report) or report["refusal"]):
                self.order("settle")
        control = report.control
        return BootstrapView(
            data=None if report["data"] == _UNSETTLED else DataState(report["data"]),
            running=not self._has_started(report),
            busy=self._busy(report),
            refusal=report["refusal"] or None,
            failure=report["failure"] or None,
            system_identifier=control.system_identifier if control else None,
            timeline=control.timeline if control else None,
            position=control.position if control else None,
            other_writer=other,
            write_failure=self._write_failure,
            slow=self._slow,
            can_rewind=control.can_rewind if control else None,
            rewind_failed=report["rewind"] == "impossible",
            rewound=report["rewind"] == "done",
            promoting_from=_read_number(directory / _PROMOTING),
            vanished=self._has_started(report) and _has_vanished(directory, control),
        )

    def order(self, verb: str, conninfo: str = "") -> None:
        """Give the next order; the caller has observed that none is being carried out."""
        report = self._report()
        if report is None:
            return
        number = int(report["done"]) + 1
        self._ordered = (report["session"], number, verb)
        _write(self._handshake / "order", f"{report['session']} {number} {verb}\n{conninfo}\n")

    def write_password_file(self, line: str) -> None:
        """Leave the password for clone, rewind and reclone where bootstrap's libpq looks for it."""
        _write(self._handshake / "pgpass", f"{line}\n", mode=0o600)

    def write_settings(self, settings: dict[str, str]) -> None:
        """Set PostgreSQL parameters in the stopped server's postgresql.auto.conf."""
        directory = self.data_directory()
        if directory is None:
            return
        path = directory / "postgresql.auto.conf"
        present = path.read_text() if path.exists() else ""
        _write(path, with_settings(present, settings), mode=0o600)

    def has_standby_signal(self) -> bool:
        """Tell whether the next start is read-only; True where no start can happen yet."""
        directory = self.data_directory()
        return directory is None or (directory / "standby.signal").exists()

    def put_standby_signal(self) -> None:
        """Make the next start read-only."""
        directory = self.data_directory()
        if directory is not None:
            (directory / "standby.signal").touch()

    def remove_standby_signal(self) -> None:
        """Make the next start writable."""
        directory = self.data_directory()
        if directory is not None:
            (directory / "standby.signal").unlink(missing_ok=True)

    def mark_for_reclone(self) -> None:
        """Let the bootstrap of this pod's next life report this data as one to be cloned anew."""
        directory = self.data_directory()
        if directory is not None and directory.is_dir():
            (directory / _FOR_RECLONE).touch()

    def note_promotion(self, from_timeline: int) -> None:
        """Remember, for the next life of this pod as well, that a new timeline may be begun."""
        directory = self.data_directory()
        # Asked again while it is under way, PostgreSQL may tell of the new timeline already.
        if directory is not None and not (directory / _PROMOTING).exists():
            _write(directory / _PROMOTING, f"{from_timeline}\n", mode=0o600)
            _sync(directory)

    def forget_promotion(self) -> None:
        """The new timeline is on record, or there is none."""
        directory = self.data_directory()
        if directory is not None:
            (directory / _PROMOTING).unlink(missing_ok=True)

    def leave(self) -> None:
        """Stop the heartbeat, so that a successor need not wait for its silence."""
        directory = self.data_directory()
        if directory is not None and self._foreign_heartbeat is None:
            (directory / _HEARTBEAT).unlink(missing_ok=True)

    def _report(self) -> "_Report | None":
        """Return the report; read anew where it is another file, as bootstrap replaces it."""
        path = self._handshake / "report"
        try:
            state = path.stat()
            stamp = (state.st_ino, state.st_mtime_ns, state.st_size)
            if self._told is None or self._told[0] != stamp:
                self._told = (stamp, _Report.of(path.read_text()))
        except FileNotFoundError:
            return None
        return self._told[1]

    def _has_started(self, report: dict[str, str]) -> bool:
        verb = self._last_order(report)
        return verb is not None and verb == ("start", int(report["done"]))

    def _busy(self, report: dict[str, str]) -> str | None:
        last = self._last_order(report)
        return last[0] if last is not None and last[1] > int(report["done"]) else None

    def _last_order(self, report: dict[str, str]) -> tuple[str, int] | None:
        """Return (verb, number); read from the file after a restart of the sidecar."""
        order = self._handshake / "order"
        if self._ordered is None and order.exists():
            session, number, verb = order.read_text().splitlines()[0].split()
            self._ordered = (session, int(number), verb)
        if self._ordered is None or self._ordered[0] != report["session"]:
            return None
        return self._ordered[2], self._ordered[1]

    def _other_writer(self, directory: Path, now: float) -> str | None:
        try:
            heartbeat = _read(directory / _HEARTBEAT)
        except OSError:
            heartbeat = ""
        if not heartbeat or heartbeat.split()[0] == self._me.uid:
            self._foreign_heartbeat = None
            return None
        if self._foreign_heartbeat is None or self._foreign_heartbeat[0] != heartbeat:
            self._foreign_heartbeat = (heartbeat, now)
        if now - self._foreign_heartbeat[1] > self._silence:
            self._foreign_heartbeat = None
            return None
        return heartbeat.split()[0]

    def _beat(self, directory: Path) -> None:
        self._beats += 1
        began = time.monotonic()
        try:
            _write(directory / _HEARTBEAT, f"{self._me.uid} {self._beats}\n")
        except OSError as error:
            # Full, read-only or broken: PostgreSQL may notice later, at its next commit.
            self._write_failure = f"{directory} takes no writes: {error.strerror}"
        else:
            self._write_failure = None
        self._slow = time.monotonic() - began > SLOW_WRITE


class _Report(dict[str, str]):
    """The lines at the head of the report by name, and what pg_controldata said below them."""

    control: ControlData | None

    @classmethod
    def of(cls, text: str) -> "_Report":
        """Read the file's text."""
        lines = text.splitlines()
        report = cls(line.split("=", 1) for line in lines[:_HEAD_LINES])
        report.control = parse_control_data("\n".join(lines[_HEAD_LINES:]))
        return report


def _script() -> Path:
    return Path(__file__).with_name("bootstrap.sh")


def _has_vanished(directory: Path, started_on: ControlData | None) -> bool:
    """Tell whether this is no longer the database that PostgreSQL was started on.

    Where a read fails for any other reason than that there is no such file, nothing is known.
    """
    if started_on is None:
        return False
    try:
        found = parse_system_identifier(_read_bytes(directory / "global/pg_control"))
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return found != started_on.system_identifier


def _read_number(path: Path) -> int | None:
    try:
        return int(_read(path))
    except (OSError, ValueError):
        return None


def _sync(directory: Path) -> None:
    """Let what was written to the directory survive a crash of the node."""
    for path in (directory / _PROMOTING, directory):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file at once: a reader sees the old content or the new."""
    new = path.with_name(f"{path.name}.new")
    # By the system calls themselves: the heart beats every two seconds, and open() makes four more.
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
        content = text.encode()
        while content:
            content = content[os.write(descriptor, content) :]
    finally:
        os.close(descriptor)
    new.replace(path)


def _read(path: Path) -> str:
    return _read_bytes(path).decode()


def _read_bytes(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
