"""What of the sidecar a simulated member is made of. Mutants replace one part."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sidecar import decide as rules
from sidecar.action import Decision
from sidecar.memory.attempts import Attempts
from sidecar.memory.commit_wait import CommitWait
from sidecar.memory.comparison import ComparisonMemory
from sidecar.memory.departure import Departure
from sidecar.memory.following import Following
from sidecar.memory.fork import ForkMemory
from sidecar.memory.heartbeat import HeartbeatMemory
from sidecar.memory.lease import LeaseMemory
from sidecar.memory.orders import Orders
from sidecar.memory.pledge import Pledge
from sidecar.memory.pods import PodsMemory
from sidecar.memory.probe import Verdict
from sidecar.memory.reach import Reach
from sidecar.memory.server import LastTimeline, ServerMemory
from sidecar.memory.status import describe
from sidecar.memory.vanished import Vanished
from sidecar.observation import Observation
from sidecar.settings import Settings

Decide = Callable[[Observation, Settings], Decision]


@dataclass(frozen=True, slots=True)
class Parts:
    """The rules, and all that a member remembers."""

    decide: Decide = rules.decide
    attempts: type[Attempts] = Attempts
    commit_wait: type[CommitWait] = CommitWait
    comparison: type[ComparisonMemory] = ComparisonMemory
    departure: type[Departure] = Departure
    following: type[Following] = Following
    fork: type[ForkMemory] = ForkMemory
    heartbeat: type[HeartbeatMemory] = HeartbeatMemory
    last_timeline: type[LastTimeline] = LastTimeline
    lease: type[LeaseMemory] = LeaseMemory
    orders: type[Orders] = Orders
    pledge: type[Pledge] = Pledge
    pods: type[PodsMemory] = PodsMemory
    probe: type[Verdict] = Verdict
    reach: type[Reach] = Reach
    server: type[ServerMemory] = ServerMemory
    vanished: type[Vanished] = Vanished
    describe: Callable[..., dict[str, Any]] = describe
    watches_its_loop: bool = True
    """Whether there is a watchdog."""
    holds_the_next_start: bool = True
    """Whether a server that was promoted stays down where `standby.signal` is not back."""
    deletes_others_histories: bool = True
    """Whether bootstrap deletes histories that the data is not in, before a start."""
    clock_stands_still: bool = False
    """While the machine does, as CLOCK_MONOTONIC; `sidecar.clock` goes on."""
