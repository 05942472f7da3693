"""The running PostgreSQL of this pod, over one connection that a thread of its own keeps.

The loop never waits for PostgreSQL: it reads the last view and leaves requests, so that a hung
server cannot keep the sidecar from renewing or fencing.
"""

import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import psycopg

from sidecar.contract import POSTGRES_PORT
from sidecar.memory.orders import FOLLOW, SET_SYNCHRONOUS, Order, with_what_was_ordered
from sidecar.memory.server import ServerMemory, as_of
from sidecar.observation import PostgresView, ServerState
from sidecar.postgres import commands, replication_role
from sidecar.postgres.background import Background
from sidecar.postgres.checkpoints import Checkpoints
from sidecar.postgres.clone_slots import CloneSlots
from sidecar.postgres.commands import NeedsOperatorError
from sidecar.postgres.connection import LIMITS, Address, Connection, Limits
from sidecar.postgres.control_data import read_major_version, read_running_server
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.libpq import NoAnswerError, ready
from sidecar.postgres.look import Lookout
from sidecar.postgres.paused_replay import PausedReplay
from sidecar.postgres.polling import fields_from_outside, is_shown, news, seconds_to_poll
from sidecar.postgres.preparation import Preparation
from sidecar.postgres.probe import WriteProbe
from sidecar.postgres.promotion import Promotion
from sidecar.postgres.signals import Signals
from sidecar.postgres.stuck_receiver import StuckReceiver
from sidecar.situation.timing import SILENCE

_log = logging.getLogger(__name__)

_FAULT_PAUSE: Final = 0.5

_HBA_SECONDS: Final = 10.0
"""A kubelet takes a minute or two to bring a change of a ConfigMap."""

BLIND: Final = (
    "PostgreSQL answers, but does not let the sidecar look: {problem}. It goes on as it is, but "
    "nothing can be changed in it, such as replication slots and whom commits wait for. Give the "
    "role {user} LOGIN, SUPERUSER and the password of this pod's environment, let pg_hba.conf "
    "admit it from 127.0.0.1 by that, or let a connection become free; then this mends itself"
)


class Server:
    """This pod's PostgreSQL, reached over loopback as the superuser."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        clock: Callable[[], float],
        on_change: Callable[[], None],
        data_directory: Callable[[], Path | None] = lambda: None,
        hba_file: Callable[[], str | None] = lambda: None,
        host: str = "127.0.0.1",
        port: int = POSTGRES_PORT,
        port_alone: Callable[[], int | None] = lambda: None,
        limits: Limits = LIMITS,
    ) -> None:
        """`clock`: monotonic seconds. `on_change`: called by the thread when something changes.

        `data_directory`: tells of a server that answers and lets us not look; None: unknown.
        `hba_file`: the pg_hba.conf that one of ours may be a copy of. `port_alone`: instead of
        `port`, where a server that was left alone listens.
        """
        self._hba_file = hba_file
        self._hba_looked_at = -math.inf
        self._data_directory = data_directory
        self._address = Address(
            *(credentials, host, lambda: port_alone() or port),
            major_version=self._major_version,
            limits=limits,
        )
        self._limits = limits
        self._signals = Signals(data_directory, self._address.answers, clock)
        self._clock = clock
        self._on_change = on_change
        self._connection: Connection | None = None
        self._lookout = Lookout(clock)
        self._memory = ServerMemory(clock(), limits.look)
        self._view = PostgresView(ServerState.DOWN, since=self._memory.since)
        self._told = news(self._view)
        """What the loop was woken for last."""
        self._orders = Background(lambda: self._address.connect(seconds=limits.answer), self._wake)
        self._promotion = Promotion(self._orders, self._signals, clock=clock, on_ask=self._wake)
        self._checkpoints = Checkpoints(
            lambda: self._address.connect(seconds=None), clock=clock, on_done=self._wake
        )
        self._probe = WriteProbe(
            self._address,
            clock=clock,
            is_writable=lambda: self._view.state is ServerState.WRITABLE,
            on_change=self._wake,
        )
        self._looks = threading.Condition()
        self._begun = self._ended = 0
        self._ended_at = clock()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._stopping = False
        self._database: str | None = None
        self._preparation = Preparation()
        self._clone_slots = CloneSlots(self._orders, self._checkpoints, clock=clock)
        self._paused_replay = PausedReplay(self._orders, clock)
        self._receiver = StuckReceiver(self._orders, clock, self._promotion.is_expected)
        self._wal_grows = False
        self._silent = False
        self._shown: list[Order] = []
        """The orders that the present look shows to have taken effect."""
        self._last_answering_state: ServerState | None = None
        self._threads_started = False
        self._begun_looking = threading.Event()
        self._thread = threading.Thread(target=self._run, name="postgres", daemon=True)

    def start_threads(self) -> None:
        """Start all threads, once: with the process, and not when the loop needs them."""
        if not self._threads_started:
            self._threads_started = True
            self._orders.start()
            self._checkpoints.start()
            self._thread.start()
            self._probe.start()

    def start(self) -> None:
        """Begin to look for the server."""
        if not self._begun_looking.is_set():
            self.start_threads()
            # Up to now nobody had told PostgreSQL to start: its time to come up begins here.
            self._memory.told_to_start(self._clock())
            self._view = replace(self._view, since=self._memory.since)
            self._begun_looking.set()

    def stop(self) -> None:
        """End the connection."""
        self._stopping = True
        self._begun_looking.set()
        self._probe.stop()
        self._wake()

    def view(self) -> PostgresView:
        """Return the last look, at most about a second old while the server answers. One that takes
        too long counts as down, as there is nothing to be said of it now."""
        with self._looks:
            view = with_what_was_ordered(self._view, self._orders.outstanding)
            ended_at = self._ended_at
        return as_of(view, ended_at, self._clock(), self._limits.look)

    def refresh(self, timeout: float) -> PostgresView:
        """Return a look that began after this call, or the last one after `timeout` seconds."""
        with self._looks:
            wanted = self._begun + 1
            self._wake()
            self._looks.wait_for(lambda: self._ended >= wanted, timeout)
        return self.view()

    @property
    def restores(self) -> bool:
        """Return whether there is a restore_command, or may be."""
        return self._lookout.restores

    def promote(self, deadline: float = math.inf) -> None:
        """Ask for promotion; whether it is done shows in a later view.

        Nothing is done once the clock has passed `deadline`. Asked for again, it ends what has come
        to hold up replay.
        """
        self._memory.asked_to_be_promoted(self._clock())
        self._promotion.ask(deadline)

    def prepare(self, replication_password: str | None) -> None:
        """Make the replication role, its pg_hba line and what replicas need, on the primary.

        None: there is no password to give. Then nobody gets in by that role, which `problem` tells.
        """
        since = self._memory.since

        def prepare(connection: Connection) -> None:
            try:
                self._preparation.make(connection, replication_password, since)
            except NeedsOperatorError:
                if replication_password is None:
                    self._memory.was_prepared(since)
                raise
            self._memory.was_prepared(since)

        self._orders.order(("prepare", replication_password), prepare)

    @property
    def prepared_with(self) -> str | None:
        """Return the replication password for which everything was made last."""
        return self._preparation.done_with

    def set_synchronous(self, members: Sequence[str], number: int) -> None:
        """Let each commit wait for `number` of these members; `waits_from` shows when it does."""

        def set_synchronous(connection: Connection) -> None:
            commands.set_synchronous(connection, members, number)

        self._orders.order((SET_SYNCHRONOUS, tuple(members), number), set_synchronous)

    def follow(self, conninfo: str, slot: str | None = None) -> None:
        """Let this standby receive WAL from there; empty: from nobody, and `detached` shows it.

        `slot`: the replication slot that it uses there; None: the one that is set.
        """

        def follow(connection: Connection) -> None:
            commands.follow(connection, conninfo, slot)

        self._orders.order((FOLLOW, bool(conninfo)), follow)

    def keep_slots(self, names: Sequence[str], replaced: Sequence[str] = ()) -> None:
        """Have exactly these replication slots of ours, and on a standby none of subscribers' that
        are `replaced`, but drop none that is in use."""

        def keep_slots(connection: Connection) -> None:
            commands.keep_slots(connection, names, replaced)

        self._orders.order(("keep-slots", tuple(names), tuple(replaced)), keep_slots)

    def checkpoint(self) -> None:
        """Ask for a checkpoint, unless one has just ended; `checkpointed_at` shows when."""
        self._checkpoints.ask()

    def _wake(self) -> None:
        # While nobody reads, a full pipe wakes just as well.
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b".")

    def _major_version(self) -> int | None:
        directory = self._data_directory()
        return read_major_version(directory) if directory is not None else None

    def _run(self) -> None:
        self._begun_looking.wait()
        # Left over from a sidecar that was ended meanwhile, it would promote a later server.
        with contextlib.suppress(Exception):
            self._signals.withdraw()
        while not self._stopping:
            try:
                self._promotion.at_once(self._connection)
                self._look_and_tell()
                self._wait()
            except Exception:
                # Without this thread a healthy server would count as down.
                _log.exception("PostgreSQL could not be looked at")
                time.sleep(_FAULT_PAUSE)
        self._disconnect()

    def _look_and_tell(self) -> None:
        with self._looks:
            self._begun += 1
            number = self._begun
        view = self._look()
        # With the view: of the one before, which does not show them, they are still outstanding.
        with self._looks:
            shown = [order for order in self._shown if self._orders.was_seen(order)]
            if any(order[0] == SET_SYNCHRONOUS for order in shown):
                # The setting before may have come and gone between two looks.
                self._lookout.was_set()
                view = replace(view, waits_from=None, ordered=None)
            before = self._view
            self._view, self._ended_at, self._ended = view, self._memory.answered_at, number
            self._looks.notify_all()
        self._wal_grows = view.position != before.position
        told, self._told = self._told, news(view)
        if told != self._told or self._have_fallen_silent(view) or shown:
            self._on_change()

    def _have_fallen_silent(self, view: PostgresView) -> bool:
        """Tell once that the followers have said nothing for too long."""
        heard_at, before = view.followers_heard_at, self._silent
        self._silent = heard_at is not None and self._clock() - heard_at > SILENCE
        return self._silent and not before

    def _look(self) -> PostgresView:
        carried_out = self._orders.carried_out()
        self._shown = []
        try:
            state, fields = self._ask()
            if self._connection is not None:
                self._clone_slots.look(self._connection, state)
        except Exception as error:
            # Whatever it is, this thread must not end by it: a healthy server would count as down.
            self._disconnect()
            self._lookout.lost()
            problem = str(error).strip() if isinstance(error, psycopg.Error) else repr(error)
            no_answer = isinstance(error, NoAnswerError | psycopg.errors.ConnectionTimeout)
            blind = None if no_answer else self._see_from_outside(problem)
            return blind or self._seen(ServerState.DOWN, problem=problem)
        if state is ServerState.WRITABLE:
            self._promotion.has_come_about()
        if state is ServerState.WRITABLE and self._last_answering_state is ServerState.RECOVERY:
            # pg_rewind takes a primary's timeline from its control file, up to PostgreSQL 15,
            # and that shows the new one only after a checkpoint.
            self._checkpoints.ask_anew()
        self._last_answering_state = state
        self._shown = [order for order in carried_out if is_shown(order, state, fields)]
        self._keep_hba_in_step()
        self._paused_replay.look(paused=self._lookout.paused is not None)
        self._receiver.look(self._lookout.stuck_receiver)
        if self._preparation.is_due_again(fields["slots"], fields["followers"], self._clock()):
            self._memory.was_prepared_elsewhere()
        return self._seen(state, **fields)

    def _keep_hba_in_step(self) -> None:
        if self._clock() - self._hba_looked_at >= _HBA_SECONDS:
            self._hba_looked_at = self._clock()
            if self._hba_file() is not None:
                self._orders.order(("keep-hba",), replication_role.keep_in_step)

    def _ask(self) -> tuple[ServerState, dict[str, Any]]:
        if self._connection is not None:
            try:
                return self._lookout.look(self._connection, self._limits.look)
            except NoAnswerError:
                raise
            except psycopg.Error:
                # It may be the connection alone that has ended.
                self._disconnect()
                self._lookout.lost()
        self._connection = self._address.connect(seconds=self._limits.look)
        if (database := self._connection.info.dbname) != self._database:
            # What the replication role may call, it may in one database.
            self._database = database
            self._preparation.forget()
            self._memory.was_prepared_elsewhere()
        return self._lookout.look(self._connection, self._limits.look)

    def _see_from_outside(self, problem: str) -> PostgresView | None:
        """Return what can be said of a server that answers, but not to us; None: it does not.

        Who is alive, and serves others, is not to be stopped for that.
        """
        directory = self._data_directory()
        if directory is None or not self._address.answers():
            return None
        try:
            found = read_running_server(directory)
        except OSError:
            return None
        if found is None:
            return None
        return self._seen(
            found.state,
            problem=BLIND.format(problem=problem, user=self._address.user),
            **fields_from_outside(found, self._view),
        )

    def _seen(self, state: ServerState, problem: str | None = None, **fields: Any) -> PostgresView:
        if self._memory.see(state, self._clock()):
            self._orders.forget_problems()
        answers = state is not ServerState.DOWN and problem is None
        return PostgresView(
            state,
            since=self._memory.since,
            problem=self._problem_while_it_answers() if answers else problem,
            prepared=self._memory.prepared,
            promoting_since=self._memory.promoting_since,
            checkpointed_at=self._checkpoints.ended_at,
            unwell_since=self._probe.unwell_since if state is ServerState.WRITABLE else None,
            **fields,
        )

    def _problem_while_it_answers(self) -> str | None:
        of_orders = self._orders.problem() or self._checkpoints.problem()
        return of_orders or self._lookout.unwaited or self._lookout.paused

    def _pause(self) -> float:
        now = self._clock()
        promotes = self._promotion.is_expected(now)
        return seconds_to_poll(self._view, now, promotes=promotes, wal_grows=self._wal_grows)

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _wait(self) -> None:
        """Sleep until the next look, a request, or the end of the connection."""
        watched = [self._wake_read]
        if self._connection is not None:
            watched.append(self._connection.fileno())
        if self._wake_read in ready(watched, self._pause()):
            os.read(self._wake_read, 4096)
