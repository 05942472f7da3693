"""What the bootstrap container reports, and the data directory that it reports of.

The directory is known from that report alone, so all that the sidecar does in it is here: the
heartbeat (design, rule 8), the settings that must be there before PostgreSQL starts,
`standby.signal`, and what is noted for the next pod. It is on a volume, which may hang; the caller
must not.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sidecar import promotion_note, signal_files, small_files
from sidecar.handshake import Handshake, Report
from sidecar.heartbeat import Heartbeat
from sidecar.memory.attempts import Attempts
from sidecar.memory.vanished import Sight, Vanished
from sidecar.observation import BootstrapView, DataState, Identity
from sidecar.patiently import WRITE_SECONDS, Patiently
from sidecar.postgres.configuration import (
    COPY_SLOTS,
    PASSWORD_FILE,
    SECRETS_FILE,
    as_before_pgset,
    with_settings,
)
from sidecar.postgres.control_data import (
    ControlData,
    parse_system_identifier,
    read_major_version,
)
from sidecar.postgres.hba_file import OWN_HBA_FILE, own_hba
from sidecar.postgres.refused import read_refused, with_raised

_UNSETTLED: Final = "unsettled"
_FOR_RECLONE: Final = ".pgset-reclone"
_RETURNS: Final = ".pgset-returns"
_FOUND: Final = ".pgset-found"


@dataclass(frozen=True, slots=True)
class _Found:
    """What a look into the data directory has found."""

    other_writer: str | None = None
    write_failure: str | None = None
    reached_data: bool = False
    returns: int | None = None
    promotion: tuple[int | None, int | None] = (None, None)
    found_standby: bool = False
    vanished: bool = False
    standby_signal: bool = False  # not known before the first look: the start may be writable
    port: int | None = None


class Bootstrap:
    """The bootstrap container of this pod, and the data directory that it reports."""

    def __init__(self, handshake: Path, me: Identity, ttl: int) -> None:
        """`ttl`: of this set; another pod's heartbeat that is silent for longer is dead."""
        self._handshake = Handshake(handshake)
        self._heartbeat = Heartbeat(me.uid, ttl)
        self._attempts = Attempts()
        self._vanished = Vanished()
        self.patiently = Patiently()
        """Every look at the data volume goes through it."""
        self._found = _Found()
        self._silent_since: float | None = None

    def provide_script(self) -> None:
        """Put the script where the bootstrap container starts it."""
        self._handshake.provide_scripts()

    def data_directory(self) -> Path | None:
        """Return PGDATA as the database's image has it; None before the first report."""
        report = self._handshake.report()
        return report.directory if report else None

    def port_alone(self) -> int | None:
        """Return where a server that was left alone listens; None of any other, and unknown."""
        report = self._handshake.report()
        alone = report is not None and self._handshake.has_left(report)
        return self._found.port if alone else None

    def observe(self, now: float) -> BootstrapView:
        """Return what bootstrap reports; refresh our heartbeat in the directory, if it is ours.

        Moves that an earlier bootstrap left half done are completed first; until then nothing is
        known of the data.
        """
        report = self._handshake.report()
        if report is None:
            return BootstrapView(data=None, running=True)
        found = self._look(report, now)
        other = found.other_writer
        ours = other is None and self._silent_since is None
        unsettled = report["data"] == _UNSETTLED and not report["refusal"]
        if ours and unsettled and not self._handshake.busy(report):
            self.order("settle")
        control = report.control
        return BootstrapView(
            data=None if report["data"] == _UNSETTLED else DataState(report["data"]),
            running=not self._handshake.has_started(report),
            busy=self._handshake.busy(report),
            refusal=report["refusal"] or None,
            objection=report.get("objection") or None,
            follows=report.get("follows") or None,
            left_alone=self._handshake.has_left(report),
            failure=report["failure"] or None,
            failures=self._attempts.look(
                report["session"], report.done, report["failure"] or None, now
            ),
            system_identifier=control.system_identifier if control else None,
            timeline=control.timeline if control else None,
            position=control.position if control else None,
            other_writer=other,
            write_failure=found.write_failure,
            slow_ago=self._heartbeat.slow_ago,
            silent_since=self._silent_since,
            can_rewind=control.can_rewind if control else None,
            rewind_failed=report["rewind"] == "impossible",
            rewound=report["rewind"] == "done",
            copied=report.get("copied") == "yes",
            reached_data=found.reached_data,
            returns=found.returns,
            promoting_from=found.promotion[0],
            promoted_by_hand_at=found.promotion[1],
            refused=read_refused(report.get("refused", "")),
            started_writable=self._handshake.has_started_writable(report),
            found_standby=found.found_standby,
            vanished=found.vanished,
        )

    def _look(self, report: Report, now: float) -> _Found:
        """Return what is in the data directory; while that does not answer, what was last found."""
        directory = report.directory
        started = self._handshake.has_started(report)
        stalled = self._silent_since is not None
        try:
            self._found = self.patiently.run(
                lambda: self._look_into(directory, report, now, started, stalled)
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
        report: Report,
        now: float,
        started: bool,
        stalled: bool,
    ) -> _Found:
        """Look, and refresh our heartbeat if the directory is ours; the volume may hang here."""
        other = self._heartbeat.other_writer(directory, now, started=started, stalled=stalled)
        sight = _sight(directory, report.control) if started else Sight.UNCLEAR
        vanished = self._vanished.look(sight, now, stalled=stalled)
        if vanished and other is None:
            # With our heartbeat in it, an entrypoint's initdb makes no other database there.
            with suppress(OSError):
                directory.mkdir(mode=0o700, exist_ok=True)
        at_work = self._handshake.busy(report) is not None
        return _Found(
            other_writer=other,
            write_failure=self._heartbeat.beat(directory, is_listed=at_work)
            if other is None
            else self._found.write_failure,
            reached_data=started and signal_files.has_reached_data(directory),
            returns=small_files.read_number(f"{directory}/{_RETURNS}"),
            promotion=promotion_note.read(directory),
            found_standby=small_files.read_line(f"{directory}/{_FOUND}") == "standby",
            vanished=vanished,
            port=small_files.read_number(f"{directory}/postmaster.pid", line=4),
            # Where there is nothing to start, the file would only be in the way.
            standby_signal=sight is Sight.NOTHING or signal_files.start_is_read_only(directory),
        )

    def order(self, verb: str, conninfo: str = "", holder: str = "", slot: str = "") -> None:
        """Give the next order; the caller has observed that none is being carried out.

        `holder`: of the Lease, to whose pod `conninfo` leads; failures are counted for each.
        `slot`: the replication slot that a copy may use there.
        """
        report = self._handshake.report()
        if report is None:
            return
        self._attempts.begun(report["session"], report.done + 1, verb, holder)
        self._handshake.order(report, verb, conninfo, slot)

    def note_refusal(self, verb: str, holder: str, why: str, now: float) -> None:
        """Note that an order was not given: the holder cannot be copied, or a file not written."""
        self._attempts.refused(verb, holder, why, now)

    def write_password_file(self, line: str) -> None:
        """Leave the password for clone, rewind and reclone where bootstrap's libpq looks for it."""
        self._handshake.write_password_file(line)

    def keep_password(self, line: str | None) -> None:
        """Write this line, or no file at all, where a standby's libpq looks for the password."""

        def keep(directory: Path) -> None:
            path = directory / PASSWORD_FILE
            if line is None:
                path.unlink(missing_ok=True)
                return
            path.parent.mkdir(mode=0o700, exist_ok=True)
            # Even if it says so already: with fsGroup the kubelet lets the group read each file of
            # a volume that it mounts, and libpq takes no password from one that others may read.
            small_files.replace(path, f"{line}\n", mode=0o600)

        self._change(keep)

    def kept_secrets(self) -> list[str] | None:
        """Return the lines of `keep_secrets`; None while it is not known where. Raises OSError."""
        directory = self.data_directory()
        return None if directory is None else self.patiently.run(lambda: _read_secrets(directory))

    def keep_secrets(self, choose: Callable[[list[str]], list[str]]) -> list[str]:
        """Replace the lines that the next pod's sidecar finds, and return what they are now.

        `choose`: is given those that have been there until now.
        """
        chosen: list[str] = []

        def keep(directory: Path) -> None:
            path = directory / SECRETS_FILE
            path.parent.mkdir(mode=0o700, exist_ok=True)
            chosen[:] = choose(_read_secrets(directory))
            small_files.replace(path, "".join(f"{line}\n" for line in chosen), mode=0o600)

        self._change(keep)
        return chosen

    def write_settings(
        self, settings: dict[str, str], raised: Mapping[str, str] = {}, *, alone: bool = False
    ) -> None:
        """Set PostgreSQL parameters in the stopped server's postgresql.auto.conf.

        `raised`: for one start, beside what an operator has set. `alone`: nobody has slots to copy.
        """

        def write(directory: Path) -> None:
            path = directory / "postgresql.auto.conf"
            for_this_start = {
                **raised,
                **self._use_own_hba(directory),
                **(COPY_SLOTS if self._copies_slots() and not alone else {}),
            }
            text = with_raised(with_settings(small_files.read_text(path), settings), for_this_start)
            small_files.replace(path, text, mode=0o600, durable=True)

        self._change(write)

    def _use_own_hba(self, directory: Path) -> dict[str, str]:
        """Put a pg_hba.conf with our lines beside one that cannot be written, and return the
        setting that names it; none where the present one is as good, or can be written."""
        own = directory / OWN_HBA_FILE
        source, content = self.hba_file(), self._handshake.pg_hba()
        text = source and own_hba(source, content, read_major_version(directory) or 0)
        if not text:
            own.unlink(missing_ok=True)
            return {}
        small_files.replace(own, text, mode=0o600, durable=True)
        return {"hba_file": str(own)}

    def hba_file(self) -> str | None:
        """Return the path of a pg_hba.conf that we cannot write, if a file can name another."""
        report = self._handshake.report()
        return (report.get("hba") or None) if report else None

    def _copies_slots(self) -> bool:
        report = self._handshake.report()
        return report is not None and report.get("logical") == "yes"

    def has_standby_signal(self) -> bool:
        """Return whether the next start is read-only, by the last look; True before any can be."""
        return self.data_directory() is None or self._found.standby_signal

    def put_standby_signal(self) -> None:
        """Make the next start read-only."""
        self._change(signal_files.put_standby)

    def remove_standby_signal(self) -> None:
        """Make the next start writable, and with the operator's own settings."""

        def remove(directory: Path) -> None:
            signal_files.remove_standby(directory)
            path = directory / "postgresql.auto.conf"
            present = small_files.read_text(path)
            if present != (own := as_before_pgset(with_raised(present, {}))):
                small_files.replace(path, own, mode=0o600, durable=True)

        self._change(remove)

    def mark_for_reclone(self) -> None:
        """Make the next pod's bootstrap report this data as fit only to be cloned again."""

        def mark(directory: Path) -> None:
            if directory.is_dir():
                (directory / _FOR_RECLONE).touch()

        self._change(mark)

    def note_returns(self, number: int) -> None:
        """Note, for the next pods of this name, how often PostgreSQL did not come up."""

        def note(directory: Path) -> None:
            if directory.is_dir():
                small_files.replace(directory / _RETURNS, f"{number}\n", mode=0o600)

        self._change(note)

    def forget_returns(self) -> None:
        """PostgreSQL has come up: delete the note."""
        self._change(lambda directory: (directory / _RETURNS).unlink(missing_ok=True))

    def note_promotion(self, from_timeline: int, *, restores: bool) -> None:
        """Note, for the next pod of this name as well, that a new timeline may have begun.

        Until there is a standby.signal after it, PostgreSQL does not start; unless it `restores`.
        """

        def note(directory: Path) -> None:
            promotion_note.write(directory, from_timeline)
            if not restores:
                signal_files.hold_the_next_start(directory)

        self._change(note)

    def note_promotion_by_hand(self, from_timeline: int, timeline: int) -> None:
        """Note likewise that somebody else has begun one, while another member led."""
        self._change(
            lambda directory: promotion_note.write_by_hand(directory, from_timeline, timeline)
        )

    def forget_promotion(self) -> None:
        """Delete that note: the new timeline is recorded, or never began."""
        self._change(promotion_note.forget)

    def leave(self) -> None:
        """Stop the heartbeat, so that a successor need not wait for its silence; and let one that
        has no sidecar be promoted and start again."""

        def leave(directory: Path) -> None:
            self._heartbeat.remove(directory)
            signal_files.drop_hold(directory)

        if self._heartbeat.is_alone:
            self._change(leave)

    def _change(self, change: Callable[[Path], None]) -> None:
        """Change something in the data directory, if it is known. Raises OSError; a change that
        took too long may still be done later, before any that is asked for after it."""
        directory = self.data_directory()
        if directory is not None:
            self.patiently.run(lambda: change(directory), WRITE_SECONDS)


def _sight(directory: Path, started_on: ControlData | None) -> Sight:
    """Return whether this is the database that PostgreSQL was started on.

    Where a read fails for any other reason than that there is no such file, nothing is known.
    """
    if started_on is None:
        return Sight.UNCLEAR
    try:
        found = parse_system_identifier(small_files.read(f"{directory}/global/pg_control"))
    except FileNotFoundError:
        return (
            Sight.UNCLEAR if small_files.may_be_there(directory / "PG_VERSION") else Sight.NOTHING
        )
    except OSError:
        return Sight.UNCLEAR
    if found is None:
        return Sight.UNCLEAR
    return Sight.THERE if found == started_on.system_identifier else Sight.ANOTHER


def _read_secrets(directory: Path) -> list[str]:
    try:
        return small_files.read(directory / SECRETS_FILE).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
