"""What a member remembers, with one wrong line in each part: what the simulator has to find."""

from typing import Any, Final

from sidecar.failures import Failures
from sidecar.memory.attempts import Attempts
from sidecar.memory.commit_wait import CommitWait
from sidecar.memory.comparison import ComparisonMemory
from sidecar.memory.departure import Departure
from sidecar.memory.following import Following
from sidecar.memory.fork import ForkMemory
from sidecar.memory.heartbeat import HeartbeatMemory
from sidecar.memory.lease import LeaseMemory
from sidecar.memory.orders import Order, Orders
from sidecar.memory.pledge import Pledge
from sidecar.memory.pods import PodsMemory
from sidecar.memory.probe import Verdict
from sidecar.memory.reach import Reach
from sidecar.memory.server import ServerMemory
from sidecar.memory.status import describe
from sidecar.memory.vanished import Sight, Vanished
from sidecar.observation import LeaseRecord, LeaseView, Observation
from sidecar.settings import Settings
from tests.simulator.member.parts import Parts
from tests.simulator.mutants import BACK_AT_ONCE, LAGGARD, QUORUM, SLOW_ORDERS, SYNC, Mutant
from tests.simulator.schedule import Fault


class _FailuresStay(Attempts):
    """What has succeeded since is not noticed, and each failure counts for many."""

    def look(self, session: str, done: int, failure: str | None, now: float) -> Failures | None:
        before = self._failures
        found = super().look(session, done, failure, now)
        self._failures = found or before
        return self._failures

    def _count(self, verb: str, holder: str, why: str, now: float, *, refused: bool) -> None:
        for _ in range(20):
            super()._count(verb, holder, why, now, refused=refused and now < 0)


class _EachCommitHasAlwaysWaited(CommitWait):
    def see(self, setting: Any, position: int | None, now: float) -> None:
        super().see(setting, position, now)
        self.waits_from, self.filed = 0, None


class _KeepsWhatMatches(ComparisonMemory):
    def learn(self, question: Any, answer: bool) -> None:
        """What is the same WAL is asked for again and again."""
        if not answer:
            super().learn(question, answer)


class _LeavesItToTheFirst(Departure):
    def heir(self, observation: Observation, settings: Settings) -> str | None:
        others = {pod.name for pod in observation.pods or ()} - {
            super().heir(observation, settings)
        }
        return min(others, default=None)


class _SeesNoPromotion(Following):
    def promoted_from(self, *_: object) -> None:
        pass


class _NeverForked(ForkMemory):
    def learn(self, question: tuple[int, int], position: int | None) -> None:
        super().learn(question, (position or 0) + (1 << 60))


class _SeesNobodyElse(HeartbeatMemory):
    def look(self, beat: Any, now: float, *, started: bool, stalled: bool) -> str | None:
        super().look(beat, now, started=started, stalled=stalled)
        return None


class _RenewalsPutNothingOff(LeaseMemory):
    def hear(self, record: LeaseRecord | None, proof: Any, now: float) -> bool:
        before, changed_at = self._record, self._changed_at
        news = super().hear(record, proof, now)
        if before is not None and record is not None and before.holder == record.holder:
            self._changed_at = changed_at
        return news


class _TakenBeforeTheKubeletIsDone(LeaseMemory):
    """Two seconds before the ttl is over, as if it were known by then that the holder is gone."""

    def hear(self, record: LeaseRecord | None, proof: Any, now: float) -> bool:
        news = super().hear(record, proof, now)
        if self._changed_at == now:
            self._changed_at = now - 2.0
        return news


class _ForgetsWhatIsUnderWay(Orders):
    def outstanding(self, name: object) -> Order | None:
        return None if name == "set-synchronous" else super().outstanding(name)


class _BreaksItsWord(Pledge):
    def until(self, now: float) -> float | None:
        self._until = min(self._until, now)
        return None


class _TakenOutForEver(PodsMemory):
    """Since when a pod is taken out does not count: it counts as long ago."""

    def see(self, *told: Any, **more: Any) -> None:
        super().see(*told, **more)
        self._taken_out = dict.fromkeys(self._taken_out, float("-inf"))


class _OneSlowProbeIsEnough(Verdict):
    def note(self, *, well: bool, began: float, ended: float) -> None:
        super().note(well=well, began=began, ended=ended)
        if not well:
            self.unwell_since = began - 3.0


class _FailedRenewalsAreForgotten(Reach):
    def renewal_failed_at(self, lease: LeaseView | None) -> float | None:
        super().renewal_failed_at(lease)
        return None


class _PreparedFromTheStart(ServerMemory):
    prepared = True  # type: ignore[assignment] # instead of the property


class _OneLookIsEnough(Vanished):
    """Nothing but what the last look has found counts."""

    def look(self, sight: Sight, now: float, *, stalled: bool) -> bool:
        found = super().look(sight, now, stalled=stalled)
        return found or sight is Sight.NOTHING


def _boasts(observation: Observation, settings: Settings) -> dict[str, Any]:
    told = describe(observation, settings)
    return told | {"position": None if told["position"] is None else told["position"] + 10**9}


_CUT_TWICE: Final = (
    Fault(60.0, "cut_from_api", -1, 100.0),
    Fault(85.0, "cut_from_peers", -1, 60.0),
)
_BACK_BEHIND: Final = (
    Fault(50.0, "slow_disk", 1, 100.0, "3.0"),
    Fault(60.0, "kill_postmaster", 1),
    Fault(63.5, "cut_node", 0, 60.0),
    Fault(63.6, "kill_postmaster", 1),
)
_BEHIND_AND_FIRST: Final = (
    Fault(50.0, "cut_from_peers", 1, 40.0),
    Fault(60.0, "cut_from_peers", 2, 40.0),
    Fault(75.0, "delete_all_pods"),
)
_COPIES: Final = (Fault(0.0, "find_copies", seconds=30.0),)
_BY_HAND: Final = (Fault(50.0, "promote_by_hand", 1), Fault(55.0, "reboot_node", -1, 60.0))
_TWO_PODS_ON_ONE_VOLUME: Final = (
    Fault(60.0, "cut_node", 0, 60.0),
    Fault(61.0, "force_delete_pod", 0),
)
_CUT_OFF_AND_FROZEN: Final = (
    Fault(60.0, "cut_node", 0, 60.0),
    Fault(60.0, "freeze_sidecar", 0, 60.0, "StopPostgres"),
    Fault(62.0, "hang_postmaster", 0, 60.0),
)
"""Such a postmaster takes no signal but the last that the kubelet sends, and its backends go on."""
_API_AWAY: Final = (Fault(60.0, "api_outage", 0, 60.0, "refuse"),)
_STUMBLE: Final = tuple(Fault(at, "take_out", -1, 10.0, "every node") for at in (60.0, 80.0, 100.0))
_NO_FILES: Final = (Fault(60.0, "stumble", 0, 1.0),)
_QUICK: Final = {"ttl": 10, "renew_interval": 2, "parallel": True, "length": 150.0}
_TWO: Final = _QUICK | {"members": 2}
_THREE: Final = _QUICK | {"members": 3}

MEMORY_MUTANTS: Final = (
    Mutant("attempts: failures stay", "I5", memory=Parts(attempts=_FailuresStay)),
    Mutant("commit_wait: each commit has always waited", "I3",
           memory=Parts(commit_wait=_EachCommitHasAlwaysWaited), faults=_BACK_BEHIND,
           durabilities=SYNC, circumstances=SLOW_ORDERS | _TWO | {"orders": (0.01, 0.01)}),
    Mutant("comparison: what is the same is not known", "I5",
           memory=Parts(comparison=_KeepsWhatMatches), faults=_COPIES, circumstances=_THREE),
    Mutant("departure: the Lease is left to the first", "I3",
           memory=Parts(departure=_LeavesItToTheFirst), faults=_BEHIND_AND_FIRST,
           circumstances=_THREE),
    Mutant("following: whoever was promoted by hand is ahead", "I3",
           memory=Parts(following=_SeesNoPromotion), faults=_BY_HAND, durabilities=QUORUM,
           circumstances=_THREE),
    Mutant("fork: nobody has diverged", "I5", memory=Parts(fork=_NeverForked)),
    Mutant("heartbeat: nobody else writes there", "I4", memory=Parts(heartbeat=_SeesNobodyElse),
           faults=_TWO_PODS_ON_ONE_VOLUME, circumstances=_THREE),
    Mutant("lease: renewals put nothing off", "I6", memory=Parts(lease=_RenewalsPutNothingOff)),
    Mutant("lease: taken before the kubelet is done", "I2",
           memory=Parts(lease=_TakenBeforeTheKubeletIsDone), faults=_CUT_OFF_AND_FROZEN,
           circumstances=_THREE),
    Mutant("orders: what is under way is forgotten", "I3",
           memory=Parts(orders=_ForgetsWhatIsUnderWay), faults=BACK_AT_ONCE, durabilities=SYNC,
           circumstances=SLOW_ORDERS),
    Mutant("pledge: it is not kept", "I2", memory=Parts(pledge=_BreaksItsWord),
           faults=_CUT_TWICE, circumstances=_THREE),
    Mutant("pods: whoever is taken out has been for long", "I6",
           memory=Parts(pods=_TakenOutForEver), faults=_STUMBLE, circumstances=_THREE),
    Mutant("probe: one slow session is enough", "I6", memory=Parts(probe=_OneSlowProbeIsEnough)),
    Mutant("reach: failed renewals are forgotten", "I6",
           memory=Parts(reach=_FailedRenewalsAreForgotten), faults=_API_AWAY,
           circumstances=_THREE),
    Mutant("server: prepared from the start", "I5", memory=Parts(server=_PreparedFromTheStart)),
    Mutant("status: more WAL than there is", "I3", memory=Parts(describe=_boasts),
           faults=LAGGARD),
    Mutant("vanished: one look is enough", "I6", memory=Parts(vanished=_OneLookIsEnough),
           faults=_NO_FILES, circumstances=_THREE),
)  # fmt: skip
"""One or more for each module of `sidecar.memory`."""
