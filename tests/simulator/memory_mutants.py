"""What a member remembers, with one wrong line in each part: what the simulator has to find."""

from dataclasses import replace
from typing import Any

from sidecar.memory.attempts import Attempts
from sidecar.memory.commit_wait import CommitWait
from sidecar.memory.departure import Departure
from sidecar.memory.fork import ForkMemory
from sidecar.memory.heartbeat import Heartbeat
from sidecar.memory.lease import LeaseMemory
from sidecar.memory.orders import Order, Orders
from sidecar.memory.pledge import Pledge
from sidecar.memory.pods import PodsMemory
from sidecar.memory.probe import Verdict
from sidecar.memory.reach import Reach
from sidecar.memory.server import ServerMemory
from sidecar.memory.status import describe
from sidecar.observation import LeaseRecord, Observation, ServerState
from sidecar.settings import Settings


class ForgetsFailures(Attempts):
    def _count(self, verb: str, holder: str, why: str, now: float, *, refused: bool) -> None:
        super()._count(verb, "", why, now, refused=refused)
        assert self._failures is not None
        self._failures = replace(self._failures, number=50, holder=holder)


class BelievesAtOnce(CommitWait):
    def see(self, setting: Any, position: int | None, now: float) -> None:
        super().see(setting, position, now)
        self.waits_from, self.filed = 0, None


class LeavesAtOnce(Departure):
    def may_go(self, observation: Observation, settings: Settings, now: float) -> bool:
        return self._ordered_at is not None


class NeverSeesAFork(ForkMemory):
    def learn(self, question: tuple[int, int], position: int | None) -> None:
        super().learn(question, 1 << 60)


class SeesNobodyElse(Heartbeat):
    def look(self, beat: Any, now: float, *, started: bool, stalled: bool) -> str | None:
        return None


class CountsFromTheFirstSight(LeaseMemory):
    """Renewals do not put off the expiry."""

    def hear(self, record: LeaseRecord | None, proof: Any, now: float) -> bool:
        before, changed_at = self._record, self._changed_at
        news = super().hear(record, proof, now)
        if before is not None and record is not None and before.holder == record.holder:
            self._changed_at = changed_at
        return news


class ForgetsWhatIsUnderWay(Orders):
    def outstanding(self, name: object) -> Order | None:
        return None


class BreaksItsWord(Pledge):
    def give(self, *arguments: Any) -> str | None:
        refused = super().give(*arguments)
        self._until = float("-inf")
        return refused


class SeesEachPodAnew(PodsMemory):
    def leaving_since(self, uid: str) -> float | None:
        return None


class UnwellAfterOneProbe(Verdict):
    def note(self, *, well: bool, began: float, ended: float) -> None:
        self._was_well = True
        super().note(well=well, began=began, ended=ended)
        if not well:
            super().note(well=well, began=began - 5.0, ended=ended)


class ForgetsFailedRenewals(Reach):
    def renewal_failed(self, *arguments: Any, conflict: bool) -> None:
        pass


class TrustsTheSilent(ServerMemory):
    def look(self, now: float) -> tuple[ServerState, float]:
        return self._state, self._since


def boasts(observation: Observation, settings: Settings) -> dict[str, Any]:
    told = describe(observation, settings)
    return told | {"position": None if told["position"] is None else told["position"] + 10**9}
