"""One round: load on a whole set, a fault, its healing, and what became of every row."""

import shutil
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from deploy.demo.stage import StepFailedError
from tests.chaos import subject as subjects
from tests.chaos.faults import Fault
from tests.chaos.link import LinkError, Row
from tests.chaos.load import Load
from tests.chaos.logs import Logs
from tests.chaos.pod_processes import node_of
from tests.chaos.record import EndpointsSeen, LeaseSeen, Moments, PodSeen, Record
from tests.chaos.sampler import Sampler, connect
from tests.chaos.strikes import FaultError, Strike
from tests.chaos.subject import Subject

MAIN: Final = "main"
ANEW: Final = "anew"
CUT_OFF: Final = "cut-off"
READER: Final = "reader"

WHOLE_SECONDS: Final = 360.0
"""A set that is not whole again so long after the healing has not healed: the kubelet puts the
start of a container that has ended often off for up to 300 s."""

_STILL_WHOLE: Final = 60.0
"""A set that was whole before and is not in this time is made anew."""
_SERVED_SECONDS: Final = 120.0
"""Writes that have not resumed so long after the set was whole do not resume."""
_ANSWER_SECONDS: Final = 180.0

TABLES: Final = (
    "create table if not exists chaos (w text, n int, primary key (w, n))",
    "truncate chaos",
)

_LOOK_SECONDS: Final = 60.0
_LEAD: Final = 2.0
_TAIL: Final = 2.0
_AT_LEAST: Final = 5.0
"""A fault needs some seconds to show: a set that looks whole before is not believed."""
_STEADY: Final = 1.5
_POLL: Final = 0.05

_Seen = TypeVar("_Seen", bound=PodSeen | LeaseSeen | EndpointsSeen)


@dataclass
class Runner:
    """Runs rounds on one set, which is made anew whenever a round has left it broken."""

    subject: Subject
    sampler: Sampler
    folder: Path
    """Where each round leaves what was noted."""
    tables: tuple[str, ...] = TABLES
    """The statements that make the clients' tables, empty."""
    _made: bool = False

    def prepare(self) -> None:
        """See to it that the set is whole."""
        if not self._made or self.until_whole(_STILL_WHOLE)[1]:
            subjects.create(self.subject)
            self._made = True
            lack = self.until_whole(WHOLE_SECONDS)[1]
            if lack:
                raise StepFailedError(f"the new set does not become whole: {lack}")
        # The primary may end just then, as a new one does on a busy machine.
        self.insist(*self.tables)

    def renew(self) -> None:
        """Have the set made anew for the next round."""
        self._made = False

    def _primary(self) -> str:
        """Return it; on a busy machine a member does not answer for a moment, and has no fault."""
        deadline = time.monotonic() + WHOLE_SECONDS
        while not (writable := self.sampler.writable()):
            if time.monotonic() > deadline:
                raise StepFailedError("no member is writable")
            time.sleep(_POLL)
        return writable[0]

    def play(self, fault: Fault, number: int) -> Record:
        """Play one round and return what was seen."""
        folder = self.folder / f"{fault.name}-{number + 1}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        load = Load(folder, self.subject.password)
        with Logs(folder):
            self.prepare()
            primary = self._primary()
            began = time.monotonic()
            try:
                self._start(load, fault, primary)
                moments, trouble = self._strike(fault, primary, number, load)
            finally:
                load.stop()
        present: dict[str, list[int]] = {}
        try:
            for writer, row in self.insist("select w, n from chaos"):
                present.setdefault(str(writer), []).append(int(row or 0))
        except LinkError as error:
            trouble = trouble or f"the rows can't be counted: {error}"
        moments = replace(moments, began=began)
        record = self.record(fault.name, primary, moments, load)
        record.present, record.trouble = present, trouble
        return record

    def _start(self, load: Load, fault: Fault, primary: str) -> None:
        members = self.subject.members
        there = node_of(primary)
        elsewhere = node_of(members[(members.index(primary) + 1) % len(members)])
        address = self.subject.service_address("primary")
        load.start("write", MAIN, elsewhere, address)
        load.start("read", READER, elsewhere, self.subject.service_address("replica"))
        writers = [MAIN]
        if fault.anew:
            load.start("anew", ANEW, elsewhere, address)
            writers.append(ANEW)
        if fault.cuts:
            load.start("write", CUT_OFF, there, address)
            writers.append(CUT_OFF)
        deadline = time.monotonic() + _ANSWER_SECONDS
        while not all(load.has_success(writer) for writer in writers):
            if time.monotonic() > deadline:
                raise FaultError("the clients can't write, before there is any fault")
            time.sleep(_POLL)
        time.sleep(_LEAD)

    def _strike(self, fault: Fault, primary: str, number: int, load: Load) -> tuple[Moments, str]:
        """Strike, heal and wait; return when that was, and what did not go well."""
        trouble, healed = "", None
        with ExitStack() as undo:
            strike = Strike(self.subject, self.sampler, primary, undo, number)
            at = time.monotonic()
            try:
                fault.strike(strike)
                at = (strike.moments or [at])[0]
                time.sleep(max(0.0, at + fault.lasts - time.monotonic()))
            except FaultError as error:
                trouble = str(error)
        if fault.lasts:
            healed = time.monotonic()
        earliest = max(at, healed or 0.0) + _AT_LEAST
        whole, lack = self.until_whole(WHOLE_SECONDS, earliest)
        if lack:
            trouble = trouble or f"not whole {WHOLE_SECONDS:.0f} s later: {lack}"
        time.sleep(_TAIL)
        self.until_served(load, MAIN)
        return Moments(0.0, at, healed, None if lack else whole, time.monotonic()), trouble

    def until_whole(self, seconds: float, earliest: float = 0.0) -> tuple[float, str]:
        """Wait until the set is whole and stays so; return since when, or else what it lacks."""
        deadline = time.monotonic() + seconds
        since = None
        while True:
            now = time.monotonic()
            lack = self.sampler.missing()
            since = None if lack else since or now
            if since is not None and now > max(since + _STEADY, earliest):
                return since, ""
            if now > deadline:
                return now, lack or "it does not stay whole"
            time.sleep(_POLL)

    def until_served(self, load: Load, name: str) -> None:
        """Wait until a client whose name begins so is acknowledged something that it begins now, or
        until it is certain that none is: a client may stand still for a moment at a round's end."""
        since = time.monotonic()
        while not load.is_served(name, since) and time.monotonic() < since + _SERVED_SECONDS:
            time.sleep(_POLL)

    def insist(self, *statements: str) -> list[Row]:
        """Ask the primary all of these, from the first on again where one is not answered.

        Return the last answer, or LinkError after three minutes.
        """
        deadline = time.monotonic() + _ANSWER_SECONDS
        while True:
            try:
                return [self.ask(it) for it in statements][-1]
            except LinkError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL)

    def ask(self, statement: str, member: str | None = None) -> list[Row]:
        """Ask a member, or the primary; LinkError where it does not answer.

        That is done in the pod's own network namespace, which only a thread can enter.
        """
        answer: list[Row] = []
        failure: list[LinkError] = []

        def ask() -> None:
            try:
                asked = member or self.sampler.writable()[0]
                link = connect(asked, self.subject.password, _LOOK_SECONDS)
                try:
                    answer.extend(link.ask(statement, _LOOK_SECONDS))
                finally:
                    link.close()
            except IndexError:
                failure.append(LinkError("no member is writable"))
            except LinkError as error:
                failure.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return answer

    def record(self, fault: str, primary: str, moments: Moments, load: Load) -> Record:
        """Return what was seen since the moments' first."""
        began = moments.began
        sampler = self.sampler
        return Record(
            fault,
            primary,
            self.subject.members,
            moments,
            attempts=load.attempts(),
            looks=[it for it in sampler.looks.copy() if it.asked >= began],
            pods=_since(sampler.pods, began, lambda it: it.name),
            leases=_since(sampler.leases, began, _whole_of_it),
            endpoints=_since(sampler.endpoints, began, _whole_of_it),
        )


def _since(seen: Iterable[_Seen], began: float, key: Callable[[_Seen], str]) -> list[_Seen]:
    """Return what was told since then, after what was so at that time."""
    before: dict[str, _Seen] = {}
    since = []
    for it in list(seen):
        if it.at < began:
            before[key(it)] = it
        else:
            since.append(it)
    return [*before.values(), *since]


def _whole_of_it(_: object) -> str:
    return ""
