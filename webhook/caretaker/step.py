"""What has to be done in a namespace, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from webhook.caretaker.facts import Account, Binding, Policy, Workload
from webhook.json_patch import Json

MAX_SENTENCE: Final = 1024
"""Characters of a warning; the API server refuses longer ones, and some quote what users wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeService:
    """Create a Service that its StatefulSet owns."""

    name: str
    selector: Mapping[str, str]
    owner: Workload
    also_unready: bool = False
    """Whether it leads to unready pods too (publishNotReadyAddresses)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Make the caretaker's RoleBinding name these service accounts, sorted."""

    accounts: tuple[str, ...]
    """Empty: the RoleBinding is deleted."""
    present: Binding | None
    """The one that this was decided on, and the only one that may be replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeAccount:
    """Create the service account of a set's own."""

    name: str
    owner: Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveAccount:
    """Delete a service account that the caretaker made."""

    account: Account


@dataclass(frozen=True, slots=True, kw_only=True)
class MakePolicy:
    """Create a NetworkPolicy that its StatefulSet owns, or make it what it should be."""

    name: str
    spec: Json
    owner: Workload
    present: Policy | None
    """The one that this was decided on, and the only one that may be replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovePolicy:
    """Delete a NetworkPolicy that the caretaker made."""

    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeBudget:
    """Create a PodDisruptionBudget that its StatefulSet owns, or make it what it should be."""

    name: str
    spec: Json
    owner: Workload
    present: Policy | None
    """The one that this was decided on, and the only one that may be replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveBudget:
    """Delete a PodDisruptionBudget that the caretaker made."""

    budget: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Warn the user by an Event, once until it has passed."""

    kind: str
    """Kind of the object that it is about: "StatefulSet" or "Pod"."""
    name: str
    uid: str
    reason: str
    sentence: str
    once: bool = False
    """Whether it is the same warning although the sentence has changed."""

    @property
    def identity(self) -> tuple[str, str, str]:
        """What is the same in a warning that need not be repeated."""
        return self.uid, self.reason, "" if self.once else self.sentence[:MAX_SENTENCE]


Write = (
    MakeService
    | MakeAccount
    | RemoveAccount
    | MakePolicy
    | RemovePolicy
    | MakeBudget
    | RemoveBudget
    | Grant
)

Step = Write | Tell


def tell(workload: Workload, reason: str, sentence: str) -> Tell:
    """Warn about a StatefulSet."""
    return Tell(
        kind="StatefulSet",
        name=workload.name,
        uid=workload.uid,
        reason=reason,
        sentence=sentence,
    )
