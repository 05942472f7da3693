"""A sidecar's process, as everything that is not the sidecar sees it; member/agent.py is one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from sidecar.failsafe import Question
from sidecar.observation import LeaseRecord, Peer, Pod
from tests.simulator.node import Host


class Watcher(Protocol):
    """What the API server tells a sidecar through."""

    inbox: list[Callable[[], None]]
    """What is delivered while the process stands still."""
    lag: float
    """Seconds by which all that is delivered is late."""
    broken: bool
    """It is silent, and nobody has noticed."""
    missed: bool
    """Something was lost: only a list helps."""

    @property
    def listed(self) -> bool:
        """Whether the Lease and the pods were ever listed."""

    def hear_lease(self, version: int, record: LeaseRecord | None) -> None: ...

    def hear_pod(self, version: int, name: str, pod: Pod | None) -> None: ...

    def hear_set(self) -> None:
        """Learn of the StatefulSet's own fields, if the API server is reached."""

    def may_hear(self) -> None:
        """Something about the network or the API server has changed."""

    def break_for(self, seconds: float) -> None: ...


class Answerer(Protocol):
    """What other members ask a sidecar."""

    @property
    def are_given(self) -> bool:
        """Whether anybody is there to answer."""

    def status(self, name: str) -> Peer | None: ...

    def challenge(self) -> float: ...

    def pledge(self, question: Question, issued_at: float) -> str | None: ...


class SidecarProcess(Protocol):
    """What the API server, the kubelet, the faults and the judge need of it."""

    freeze_before: tuple[str, float] | None
    """(name of an action or `decide`, seconds): freeze when that is about to be done."""

    @property
    def pod(self) -> Host: ...

    @property
    def watch(self) -> Watcher: ...

    @property
    def answers(self) -> Answerer: ...

    @property
    def running(self) -> bool: ...

    @property
    def frozen(self) -> bool:
        """It was sent SIGSTOP."""

    @property
    def stands_still(self) -> bool:
        """No thread of it runs: it is frozen, or its node is."""

    @property
    def cannot_act(self) -> bool:
        """Nothing of it is left that stops PostgreSQL."""

    @property
    def is_impaired(self) -> bool:
        """It stands still, or a thread of it hangs."""

    @property
    def beats(self) -> bool:
        """Whether its heart beats on its volume."""

    @property
    def situation(self) -> str:
        """What it tells of itself: the name of the row that has decided last."""

    # what the API server needs

    def time_out(self) -> float:
        """Return the seconds that a request without an answer takes."""

    def patience(self) -> float:
        """Return the seconds that an API server that is slow gets."""

    # what the kubelet and the machine do to it

    def wake(self) -> None:
        """Look again soon: something that it hears of has happened."""

    def wakes(self) -> None:
        """Go on where it stood still."""

    def freeze(self, seconds: float) -> None: ...

    def thaw(self) -> None: ...

    def hang(self, thread: str, seconds: float) -> None:
        """Let one of its threads stand still for so long, and the others go on."""

    def leave(self) -> None:
        """SIGTERM."""

    def end(self) -> None:
        """SIGKILL."""


LOOP: Final = "loop"
WATCHDOG: Final = "watchdog"
HTTP: Final = "HTTP server"
PROBE: Final = "probe"
"""Threads of a sidecar that may hang, each by itself."""


@dataclass(frozen=True, slots=True)
class RulesFailed:
    """The rules raised: the process would die of that, again and again."""

    pod: str
    error: Exception
