"""A sidecar's process, as everything that is not the sidecar sees it; agent.py is one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sidecar.observation import LeaseRecord, Observation, Peer, Pod
from tests.simulator.node import Host


class SidecarProcess(Protocol):
    """What the API server, the kubelet, the faults, the judge and other members need of it."""

    inbox: list[tuple[Callable[..., None], tuple[Any, ...]]]
    """What the watch delivers while the process stands still."""
    watch_lag: float
    """Seconds by which all that the watch delivers is late."""
    watch_broken: bool
    """The watch is silent, and nobody has noticed."""
    watch_missed: bool
    """Something was lost: only a list helps."""
    freeze_before: tuple[str, float] | None
    """(name of an action or `decide`, seconds): freeze when that is about to be done."""

    @property
    def pod(self) -> Host: ...

    @property
    def running(self) -> bool: ...

    @property
    def frozen(self) -> bool:
        """It was sent SIGSTOP."""

    @property
    def stands_still(self) -> bool:
        """No thread of it runs: it is frozen, or its node is."""

    @property
    def listed(self) -> bool:
        """Whether it has ever listed the Lease and the pods."""

    # what other members' sidecars ask

    @property
    def last(self) -> Observation | None:
        """What it saw when it last looked; None: it answers nobody yet."""

    def describe(self, *, fresh: bool) -> Peer:
        """Return what `GET /status` says."""

    def promises(self, holder: str, version: int) -> bool:
        """Answer the question whether the holder by this version of the Lease may stay."""

    # what the API server needs

    def time_out(self) -> float:
        """Return the seconds that a request without an answer takes."""

    def patience(self) -> float:
        """Return the seconds that an API server that is slow gets."""

    def hear_lease(self, version: int, record: LeaseRecord | None, *, wakes: bool) -> None: ...

    def hear_pod(self, version: int, name: str, pod: Pod | None) -> None: ...

    def hear_set(self) -> None:
        """Learn of the StatefulSet's own fields, if the API server is reached."""

    def watch_may_hear(self) -> None:
        """Something about the network or the API server has changed."""

    def break_watch(self, seconds: float) -> None: ...

    # what the kubelet and the machine do to it

    def wake(self) -> None:
        """Look again soon: something that it hears of has happened."""

    def wakes(self) -> None:
        """Go on where it stood still."""

    def freeze(self, seconds: float) -> None: ...

    def thaw(self) -> None: ...

    def leave(self) -> None:
        """SIGTERM."""

    def end(self) -> None:
        """SIGKILL."""


@dataclass(frozen=True, slots=True)
class RulesFailed:
    """The rules raised: the process would die of that, again and again."""

    pod: str
    error: Exception
