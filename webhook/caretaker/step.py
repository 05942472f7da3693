"""What is to be done in a namespace, as values."""

from collections.abc import Mapping
from dataclasses import dataclass

from webhook.caretaker.facts import Binding, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeService:
    """Make a Service that goes with its StatefulSet."""

    name: str
    selector: Mapping[str, str]
    owner: Workload
    also_unready: bool = False
    """Whether it leads to pods that Kubernetes takes for unready, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Let the caretaker's RoleBinding name these service accounts, sorted."""

    accounts: tuple[str, ...]
    """None of them: the RoleBinding goes."""
    present: Binding | None
    """What it was decided on, and the only thing that it may replace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Warn the user by an Event, once for as long as it is so."""

    kind: str
    """Of the object that it is about: "StatefulSet" or "Pod"."""
    name: str
    uid: str
    reason: str
    sentence: str


Step = MakeService | Grant | Tell


def tell(workload: Workload, reason: str, sentence: str) -> Tell:
    """Tell something of a StatefulSet."""
    return Tell(
        kind="StatefulSet",
        name=workload.name,
        uid=workload.uid,
        reason=reason,
        sentence=sentence,
    )
