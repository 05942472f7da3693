"""A storm: the bank's load on a whole set, faults by the plan, and the wait until all is well."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from deploy.demo.stage import StepFailedError
from deploy.local.errors import LocalClusterError
from deploy.local.layout import NODES, NodePlan
from sidecar import contract
from tests.chaos import api
from tests.chaos.api import ApiError
from tests.chaos.link import LinkError
from tests.chaos.load import Load
from tests.chaos.logs import Logs
from tests.chaos.pod_processes import node_of
from tests.chaos.record import Moments
from tests.chaos.round import Runner
from tests.chaos.strikes import FaultError, Strike
from tests.chaos.subject import LEASE
from tests.storm import bank, report
from tests.storm.faults import FAULTS, KINDS, held_by, strikes_all
from tests.storm.plan import Blow, Turn
from tests.storm.story import PRIMARY_READER, REPLICA_READER, WRITER, Story, Struck

WRITERS: Final = 4
MOST_AT_ONCE: Final = 3
"""So many faults are in place at the same time; one more waits for one of them to be over."""

RETURN_SECONDS: Final = 360.0
"""What a member's return may take after the last fault: the kubelet puts the start of a container
that has ended often off for up to 300 s."""

_START_SECONDS: Final = 180.0
_WHOLE_SECONDS: Final = 30.0
"""How long a fault that removes data waits for a whole set."""
_RETURN_WAIT: Final = 30.0
"""How long a fault that is to strike during a return waits for that return to begin."""
_CATCH_UP_SECONDS: Final = 180.0
_LEASE_SECONDS: Final = 5.0
"""How long the API server, which a fault may have stopped, is waited for before a blow."""
_UNDO_SECONDS: Final = 120.0
_EARLIEST: Final = 5.0
_POLL: Final = 0.1

_NOT_DONE: Final = (
    ApiError,
    FaultError,
    LinkError,
    LocalClusterError,
    OSError,
    StepFailedError,
)
"""How a strike fails where another fault is in its way."""


class Patient(ExitStack):
    """Takes a fault away also where the API server does not answer at first."""

    pause = 1.0
    """Seconds until it is tried again."""

    def callback(self, callback: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """As in ExitStack."""
        return super().callback(self._insist, callback, *args, **kwargs)

    def _insist(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        deadline = time.monotonic() + _UNDO_SECONDS
        while True:
            try:
                callback(*args, **kwargs)
            except ApiError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(self.pause)
            else:
                return


@dataclass
class Storm:
    """Plays one storm on the runner's set."""

    runner: Runner
    turns: Iterator[Turn]
    seconds: float
    tell: Callable[[str], None]
    """Takes a line about each fault, as it is over."""
    _load: Load = field(init=False)
    _clients: dict[str, tuple[str, NodePlan, str]] = field(default_factory=dict)
    """What each client does, where, and whom it asks."""
    _newest: dict[str, str] = field(default_factory=dict)
    """The name of each client's newest process."""
    _began: float = 0.0
    _leader: str = ""
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _held: set[str] = field(default_factory=set)

    def play(self) -> Story:
        """Play it, and return what was seen."""
        runner = self.runner
        shutil.rmtree(runner.folder, ignore_errors=True)
        runner.folder.mkdir(parents=True)
        self._load = Load(runner.folder, runner.subject.password, "tests.storm.client")
        with Logs(runner.folder):
            runner.prepare()
            self._began = time.monotonic()
            try:
                primary = self._leads()
                self._start_clients()
                first = time.monotonic()
                blows = self._strike_in_turn()
                self._revive_clients()
                healed = time.monotonic()
                self.tell(f"{healed - self._began:7.1f} s  the last fault is over")
                whole, lack = runner.until_whole(RETURN_SECONDS, healed + _EARLIEST)
                runner.until_served(self._load, WRITER)
                ended = time.monotonic()
            finally:
                self._load.stop()
        moments = Moments(self._began, first, healed, None if lack else whole, ended)
        seen = runner.record("storm", primary, moments, self._load)
        seen.trouble = lack and f"not whole {RETURN_SECONDS:.0f} s later: {lack}"
        story = Story(seen, blows)
        self._close_books(story)
        return story

    # ── the clients ───────────────────────────────────────────────────────────────────────

    def _start_clients(self) -> None:
        primary = self.runner.subject.service_address("primary")
        replica = self.runner.subject.service_address("replica")
        wanted = [(f"{WRITER}-{number}", "transfer", primary) for number in range(WRITERS)]
        wanted += [(PRIMARY_READER, "check", primary), (REPLICA_READER, "check", replica)]
        self._clients = {
            name: (what, NODES[number % len(NODES)], address)
            for number, (name, what, address) in enumerate(wanted)
        }
        self._newest = {name: name for name in self._clients}
        for name, (what, node, address) in self._clients.items():
            self._load.start(what, name, node, address)
        deadline = time.monotonic() + _START_SECONDS
        while not all(self._load.has_success(name) for name in self._clients):
            if time.monotonic() > deadline:
                raise FaultError("the clients can't reach the set, before there is any fault")
            time.sleep(_POLL)

    def _revive_clients(self) -> None:
        """Start those anew that have ended with their node; their numbers begin anew as well."""
        for name in self._load.ended():
            client = next((it for it, newest in self._newest.items() if newest == name), None)
            if client is None:
                continue  # it has a successor
            what, node, address = self._clients[client]
            with self._lock:
                if node.name in self._held:
                    continue
            _, _, times = name.partition(".")
            self._newest[client] = f"{client}.{int(times or 0) + 1}"
            self._load.start(what, self._newest[client], node, address)

    # ── the faults ────────────────────────────────────────────────────────────────────────

    def _strike_in_turn(self) -> list[Struck]:
        running: list[Future[Struck]] = []
        with ThreadPoolExecutor(max_workers=2 * MOST_AT_ONCE) as pool:
            try:
                last: list[Future[Struck]] = []
                for number, turn in enumerate(self.turns, start=1):
                    if not self._wait_for_turn(turn, running, last):
                        break
                    last = [pool.submit(self._strike, number, blow) for blow in turn.blows]
                    running += last
            finally:
                self._over.set()
            return [it.result() for it in running]

    def _wait_for_turn(
        self, turn: Turn, running: list[Future[Struck]], last: list[Future[Struck]]
    ) -> bool:
        """Wait until the turn is due; return whether the storm still lasts then."""

        def ready() -> bool:
            return sum(not it.done() for it in running) < MOST_AT_ONCE

        def returning() -> bool:
            return all(it.done() for it in last)

        lasts = True
        if turn.during_return:
            lasts = self._wait_while(lambda: not returning(), _RETURN_WAIT)
        lasts = lasts and self._wait_while(lambda: True, turn.pause)
        lasts = lasts and self._wait_while(lambda: not ready())
        if lasts and any(KINDS[blow.fault].removes_data for blow in turn.blows):
            lasts = self._wait_while(lambda: bool(self._unsafe()), _WHOLE_SECONDS)
        return lasts

    def _wait_while(self, question: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait, at most so long; return whether the storm still lasts."""
        end = self._began + self.seconds
        until = end if seconds is None else min(end, time.monotonic() + seconds)
        while question() and time.monotonic() < until:
            self._revive_clients()
            time.sleep(_POLL)
        return time.monotonic() < end

    def _strike(self, turn: int, blow: Blow) -> Struck:
        """Strike, wait, and take it away."""
        subject = self.runner.subject
        members = subject.members
        member = members[(members.index(self._leads()) + blow.whom) % len(members)]
        node = node_of(member)
        hold = held_by(blow.fault, node.name)
        beside = [it for it in members if it == member or hold == node.name == node_of(it).name]
        hits = members if strikes_all(blow.fault) else tuple(beside)
        at = time.monotonic()
        seen = Struck(turn, blow.fault, member, hits, at, at)
        reason = self._hold(hold, blow)
        if reason:
            seen = replace(seen, left_out=reason)
        else:
            seen = self._strike_and_undo(seen, blow)
            with self._lock:
                self._held.discard(hold)
        self.tell(report.blow(seen, self._began))
        return seen

    def _hold(self, hold: str, blow: Blow) -> str:
        """Claim what can be struck only once at a time; return why the fault can't strike."""
        if KINDS[blow.fault].removes_data and (reason := self._unsafe()):
            return reason
        with self._lock:
            if hold in self._held:
                return f"{hold} is struck already"
            if hold:
                self._held.add(hold)
        return ""

    def _strike_and_undo(self, seen: Struck, blow: Blow) -> Struck:
        trouble = stays = ""
        undo = Patient()
        strike = Strike(self.runner.subject, self.runner.sampler, seen.member, undo, seen.turn)
        try:
            FAULTS[blow.fault].strike(strike)
            self._over.wait(blow.lasts)
        except _NOT_DONE as error:
            trouble = str(error)
        finally:
            try:
                undo.close()
            except _NOT_DONE as error:
                stays = str(error)
        at = (strike.moments or [seen.struck])[0]
        return replace(seen, struck=at, ended=time.monotonic(), trouble=trouble, stays=stays)

    def _leads(self) -> str:
        """Return who leads, or did so last."""
        sampler = self.runner.sampler
        lease = sampler.lease()
        found = [*sampler.writable(), *([lease.holder] if lease else [])]
        with self._lock:
            self._leader = next(
                (it for it in found if it in self.runner.subject.members), self._leader
            )
            return self._leader

    def _unsafe(self) -> str:
        """Say why no data may be removed now; "" where every member has all of it."""
        if lack := self.runner.sampler.missing():
            return f"not all members stream: {lack}"
        if self.runner.subject.durability == "async":
            return ""
        try:
            lease = api.request("GET", LEASE, seconds=_LEASE_SECONDS)
        except ApiError as error:
            return str(error)
        notes = lease["metadata"].get("annotations") or {}
        in_sync = notes.get(contract.IN_SYNC, "").split(",")
        left = set(self.runner.subject.members).difference(in_sync)
        return f"not in sync: {', '.join(sorted(left))}" if left else ""

    # ── the end ───────────────────────────────────────────────────────────────────────────

    def _close_books(self, story: Story) -> None:
        """Look what has become of every transfer, and at every member's tables."""
        seen = story.record
        try:
            for writer, number in self.runner.insist(bank.ROWS):
                seen.present.setdefault(str(writer), []).append(int(number or 0))
        except LinkError as error:
            seen.trouble = seen.trouble or f"the transfers can't be counted: {error}"
        rows = sum(len(it) for it in seen.present.values())
        deadline = time.monotonic() + _CATCH_UP_SECONDS
        for member in self.runner.subject.members:
            while (wrong := self._books(member, rows)) and time.monotonic() < deadline:
                time.sleep(_POLL)
            story.books[member] = wrong

    def _books(self, member: str, rows: int) -> str:
        """Say what is wrong with a member's tables; "" where nothing is."""
        try:
            found = self.runner.ask(bank.CHECK, member)[0]
        except LinkError as error:
            return f"can't be read: {error}"
        wanted = (str(bank.TOTAL), str(rows), "0")
        if found == wanted:
            return ""
        return f"sum, rows of the ledger and accounts that differ from it are {found}, not {wanted}"


def folder(root: Path, seed: int, durability: str) -> Path:
    """Return where a storm's story and the sidecars' logs are kept."""
    return root / "storm" / f"{durability}-{seed}"
