"""A machine, and what is known of any pod: which one it is, and on which machine."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(eq=False, slots=True)
class Node:
    """A machine; `place` is where it is in the network."""

    place: int
    frozen: bool = False
    """The whole machine stands still, and wakes."""
    slept: float = 0.0
    """Seconds for which it has stood still, all in all."""
    woke_at: float = -1e9
    """When it last went on after that."""
    down: bool = False
    kubelet_stopped: bool = False
    takes_no_pods: bool = False
    """A pod that is created for it stays Pending."""
    copies_fail: bool = False
    """No initdb, clone or rewind ends well here."""


class Host(Protocol):
    """A pod, as those see it that run in it."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str:
        """What it is called in transcripts."""

    @property
    def uid(self) -> str: ...

    @property
    def node(self) -> Node: ...
