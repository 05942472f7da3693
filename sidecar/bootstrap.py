"""The sidecar's end of the hand-shake with `bootstrap.sh`: reads its report, gives it orders.

Also here, because the data directory is only known from that report: the heartbeat in it
(design, rule 8), the settings that must stand there before PostgreSQL starts, and
`standby.signal`. All of that is on a volume, which may hang, and the caller must not.
"""

import itertools
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sidecar.attempts import Attempts
from sidecar.observation import BootstrapView, DataState, Identity
from sidecar.patiently import WRITE_SECONDS, Patiently
from sidecar.postgres.configuration import PASSWORD_FILE, with_settings
from sidecar.postgres.control_data import (
    ControlData,
    parse_control_data,
    parse_system_identifier,
)
from sidecar.postgres.refused import read_refused, with_raised
from sidecar.situation.timing import SLOW_WRITE

_HEARTBEAT: Final = ".pgset-heartbeat"
_UNSETTLED: Final = "unsettled"
_FOR_RECLONE: Final = ".pgset-reclone"
_PROMOTING: Final = ".pgset-promoting"
_RETURNS: Final = ".pgset-returns"
_START: Final = "start"
_START_WRITABLE: Final = "start-writable"
_FOUND: Final = ".pgset-found"
_HEAD_LINE: Final = re.compile(r"[a-z]+=")
"""session, done, refusal, failure, pgdata, data, rewind, refused; then pg_controldata's output."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What a look into the data directory has found."""

    other_writer: str | None = None
    write_failure: str | None = None
    reached_data: bool = False
    returns: int = 0
    promoting_from: int | None = None
    found_standby: bool = False
    vanished: bool = False
    standby_signal: bool = True


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
        self._attempts = Attempts()
        self._foreign_heartbeat: tuple[str, float] | None = None
        self._beats = 0
        self._slow = False
        """Whether the last beat took its time."""
        self.patiently = Patiently()
        """Every look at the data volume goes through it."""
        self._found = _Found()
        self._silent_since: float | None = None
        self._stranger: str | None = None
        """The other pod whose heart was last seen to beat in the directory."""
        self._doubted_until = float("-inf")
        """Until when it counts as a writer after a stall, in which nobody's beat came through."""

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
        found = self._look(report, now)
        other = found.other_writer
        ours = other is None and self._silent_since is None
        unsettled = report["data"] == _UNSETTLED and not report["refusal"]
        if ours and unsettled and not self._busy(report):
            self.order("settle")
        control = report.control
        return BootstrapView(
            data=None if report["data"] == _UNSETTLED else DataState(report["data"]),
            running=not self._has_started(report),
            busy=self._busy(report),
            refusal=report["refusal"] or None,
            failure=report["failure"] or None,
            failures=self._attempts.look(
                report["session"], int(report["done"]), report["failure"] or None, now
            ),
            system_identifier=control.system_identifier if control else None,
            timeline=control.timeline if control else None,
            position=control.position if control else None,
            other_writer=other,
            write_failure=found.write_failure,
            slow=self._slow,
            silent_since=self._silent_since,
            can_rewind=control.can_rewind if control else None,
            rewind_failed=report["rewind"] == "impossible",
            rewound=report["rewind"] == "done",
            reached_data=found.reached_data,
            returns=found.returns,
            promoting_from=found.promoting_from,
            refused=read_refused(report.get("refused", "")),
            started_writable=self._has_started(report) and self._starts_writable(report),
            found_standby=found.found_standby,
            vanished=found.vanished,
        )

    def _look(self, report: "_Report", now: float) -> _Found:
        """Return what is in the data directory; while that does not answer, what was last found."""
        directory = Path(report["pgdata"])
        started = self._has_started(report)
        stalled = self._silent_since is not None
        try:
            self._found = self.patiently.run(
                lambda: self._look_into(directory, report.control, now, started, stalled)
            )
        except TimeoutError:
            if self._silent_since is None:
                self._silent_since = now
            silence = now - self._silent_since
            failure = f"{directory} has not answered for {silence:.0f} s"
            return replace(self._found, write_failure=failure)
        except OSError as error:
            self._silent_since = None
            return replace(self._found, write_failure=f"{directory}: {error.strerror or error}")
        self._silent_since = None
        return self._found

    def _look_into(
        self,
        directory: Path,
        started_on: ControlData | None,
        now: float,
        started: bool,
        stalled: bool,
    ) -> _Found:
        """Look, and beat the heart if the directory is ours: alone, and on the volume."""
        other = self._other_writer(directory, now, started=started, stalled=stalled)
        # Who has started PostgreSQL there says so all the same: it is the other that has to wait.
        beats = other is None or started
        return _Found(
            other_writer=other,
            write_failure=self._beat(directory) if beats else self._found.write_failure,
            reached_data=started and _has_reached_data(directory),
            returns=_read_number(directory / _RETURNS) or 0,
            promoting_from=_read_number(directory / _PROMOTING),
            found_standby=_first_line(directory / _FOUND) == "standby",
            vanished=started and _has_vanished(directory, started_on),
            standby_signal=(directory / "standby.signal").exists(),
        )

    def order(self, verb: str, conninfo: str = "", holder: str = "") -> None:
        """Give the next order; the caller has observed that none is being carried out.

        `holder`: of the Lease, whom `conninfo` leads to; failures are counted for each.
        """
        report = self._report()
        if report is None:
            return
        number = int(report["done"]) + 1
        self._ordered = (report["session"], number, verb)
        self._attempts.begun(report["session"], number, verb, holder)
        _write(self._handshake / "order", f"{report['session']} {number} {verb}\n{conninfo}\n")

    def note_refusal(self, verb: str, holder: str, why: str, now: float) -> None:
        """An order was not given, since the holder of the Lease cannot be copied now."""
        self._attempts.refused(verb, holder, why, now)

    def write_password_file(self, line: str) -> None:
        """Leave the password for clone, rewind and reclone where bootstrap's libpq looks for it."""
        _write(self._handshake / "pgpass", f"{line}\n", mode=0o600)

    def keep_password(self, line: str | None) -> None:
        """Have this line, or no file at all, where a standby's libpq looks for the password."""

        def keep(directory: Path) -> None:
            path = directory / PASSWORD_FILE
            if line is None:
                path.unlink(missing_ok=True)
                return
            path.parent.mkdir(mode=0o700, exist_ok=True)
            # Also where it says so already: with fsGroup the kubelet lets the group read each file
            # of a volume that it mounts, and libpq takes no password from one that others may read.
            _write(path, f"{line}\n", mode=0o600)

        self._change(keep)

    def write_settings(
        self, settings: dict[str, str], raised: Mapping[str, str] | None = None
    ) -> None:
        """Set PostgreSQL parameters in the stopped server's postgresql.auto.conf.

        `raised`: those that stand there for one start, beside what an operator has set there.
        """

        def write(directory: Path) -> None:
            path = directory / "postgresql.auto.conf"
            present = path.read_text() if path.exists() else ""
            _write(path, with_raised(with_settings(present, settings), raised or {}), mode=0o600)

        self._change(write)

    def has_standby_signal(self) -> bool:
        """Tell whether the next start is read-only, by the last look; True where no start can
        happen yet."""
        return self.data_directory() is None or self._found.standby_signal

    def put_standby_signal(self) -> None:
        """Make the next start read-only."""
        self._change(lambda directory: (directory / "standby.signal").touch())

    def remove_standby_signal(self) -> None:
        """Make the next start writable, and with the operator's own settings."""

        def remove(directory: Path) -> None:
            (directory / "standby.signal").unlink(missing_ok=True)
            path = directory / "postgresql.auto.conf"
            present = path.read_text() if path.exists() else ""
            if present != (own := with_raised(present, {})):
                _write(path, own, mode=0o600)

        self._change(remove)

    def mark_for_reclone(self) -> None:
        """Let the bootstrap of this pod's next life report this data as one to be cloned anew."""

        def mark(directory: Path) -> None:
            if directory.is_dir():
                (directory / _FOR_RECLONE).touch()

        self._change(mark)

    def note_returns(self, number: int) -> None:
        """Remember, for the next lives of this pod, how often PostgreSQL did not come up."""

        def note(directory: Path) -> None:
            if directory.is_dir():
                _write(directory / _RETURNS, f"{number}\n", mode=0o600)

        self._change(note)

    def forget_returns(self) -> None:
        """PostgreSQL has come up."""
        self._change(lambda directory: (directory / _RETURNS).unlink(missing_ok=True))

    def note_promotion(self, from_timeline: int) -> None:
        """Remember, for the next life of this pod as well, that a new timeline may be begun."""

        def note(directory: Path) -> None:
            # Asked again while it is under way, PostgreSQL may tell of the new timeline already.
            if not (directory / _PROMOTING).exists():
                _write(directory / _PROMOTING, f"{from_timeline}\n", mode=0o600)
                _sync(directory)

        self._change(note)

    def forget_promotion(self) -> None:
        """The new timeline is on record, or there is none."""
        self._change(lambda directory: (directory / _PROMOTING).unlink(missing_ok=True))

    def leave(self) -> None:
        """Stop the heartbeat, so that a successor need not wait for its silence."""
        if self._foreign_heartbeat is None:
            self._change(lambda directory: (directory / _HEARTBEAT).unlink(missing_ok=True))

    def _change(self, change: Callable[[Path], None]) -> None:
        """Change something in the data directory, where it is known. Raises OSError; what took too
        long may still be done later, before anything that is asked for after it."""
        directory = self.data_directory()
        if directory is not None:
            self.patiently.run(lambda: change(directory), WRITE_SECONDS)

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
        started = verb in [(start, int(report["done"])) for start in (_START, _START_WRITABLE)]
        return started and not report["failure"]

    def _starts_writable(self, report: dict[str, str]) -> bool:
        return self._last_order(report) == (_START_WRITABLE, int(report["done"]))

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

    def _other_writer(
        self, directory: Path, now: float, *, started: bool, stalled: bool
    ) -> str | None:
        """Return whose heart beats there. Silence counts while the volume answers: in a stall no
        beat comes through, and what has hung may come to pass after it, a beat of ours as well."""
        try:
            heartbeat = _read(directory / _HEARTBEAT)
        except OSError:
            heartbeat = ""
        foreign = heartbeat if heartbeat and heartbeat.split()[0] != self._me.uid else None
        if foreign is not None:
            self._stranger = foreign.split()[0]
        if stalled and self._stranger is not None and not started:
            self._doubted_until = now + self._silence
        if foreign is None:
            self._foreign_heartbeat = None
        elif self._foreign_heartbeat is None or self._foreign_heartbeat[0] != foreign or stalled:
            self._foreign_heartbeat = (foreign, now)
        elif now - self._foreign_heartbeat[1] > self._silence:
            self._foreign_heartbeat = None
        if self._foreign_heartbeat is not None:
            return self._stranger
        return self._stranger if now < self._doubted_until else None

    def _beat(self, directory: Path) -> str | None:
        """Beat, and return why the volume takes no writes, if it does not."""
        self._beats += 1
        began = time.monotonic()
        try:
            _write(directory / _HEARTBEAT, f"{self._me.uid} {self._beats}\n")
        except OSError as error:
            # Full, read-only or broken: PostgreSQL may notice later, at its next commit.
            return f"{directory} takes no writes: {error.strerror}"
        finally:
            self._slow = time.monotonic() - began > SLOW_WRITE
        return None


class _Report(dict[str, str]):
    """The lines at the head of the report by name, and what pg_controldata said below them."""

    control: ControlData | None

    @classmethod
    def of(cls, text: str) -> "_Report":
        """Read the file's text."""
        lines = text.splitlines()
        head = list(itertools.takewhile(_HEAD_LINE.match, lines))
        report = cls(line.split("=", 1) for line in head)
        report.control = parse_control_data("\n".join(lines[len(head) :]))
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


def _has_reached_data(directory: Path) -> bool:
    """Tell whether a postmaster has got to its data since bootstrap put `standby.signal`.

    It writes postmaster.opts when settings, libraries and shared memory are behind it, right before
    it starts the recovery. Both times are the volume's own.
    """
    try:
        begun = (directory / "postmaster.opts").stat().st_mtime_ns
        return begun >= (directory / "standby.signal").stat().st_mtime_ns
    except OSError:
        return False


def _read_number(path: Path) -> int | None:
    try:
        return int(_read(path))
    except (OSError, ValueError):
        return None


def _first_line(path: Path) -> str | None:
    try:
        return _read(path).strip()
    except OSError:
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
