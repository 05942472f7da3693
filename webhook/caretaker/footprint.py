"""How much memory the caretaker spends on what it knows of one object and of one namespace, and how
much it has to compare there."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final, TypeVar

from webhook.caretaker.facts import Namespace, Workload

MAX_OF_ONE: Final = 64 * 2**10
"""Bytes; of a set that somebody uses it takes 2 to 6 kB."""

MAX_OF_NAMESPACE: Final = 32 * 2**20
"""Bytes; what is known of 500 sets with three members each takes 8 MB."""

_Fact = TypeVar("_Fact")


_ROLES: Final = 3
"""In which a pod of a set may be: none, primary, replica."""

MAX_PAIRS: Final = 5_000_000
"""Of a set's pods and a policy or budget that may select them. Looking at so many takes some ten
seconds, in which no other namespace is looked at."""


class TooMuchError(Exception):
    """Leave the namespace alone; the message says why."""


def footprint(value: Any) -> int:
    """Return the bytes that a fact takes, with all that it is made of."""
    size = sys.getsizeof(value)
    if isinstance(value, Mapping):
        size += sum(footprint(key) + footprint(it) for key, it in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        size += sum(map(footprint, value))
    elif is_dataclass(value):
        size += sum(footprint(getattr(value, it.name)) for it in fields(value))
    return size


def check_pairs(there: Namespace) -> None:
    """Raise TooMuchError where comparing each set with each policy and budget takes minutes."""
    budgets = sum(not it.ours for it in there.budgets)
    with_policy = sum(it.network_policy for it in there.workloads)
    pods = len(there.workloads) * _ROLES
    pairs = budgets * (pods + len(there.members)) + len(there.policies) * with_policy * _ROLES
    if pairs > MAX_PAIRS:
        raise TooMuchError(
            f"the sets, NetworkPolicies and PodDisruptionBudgets in this namespace make {pairs} "
            f"pairs; allowed: {MAX_PAIRS}"
        )


def bounded(workload: Workload) -> Workload:
    """Return it as it is, or, if it takes too much, as one that is not accepted."""
    taken = footprint(workload)
    if taken <= MAX_OF_ONE:
        return workload
    return replace(
        workload,
        settings=None,
        fault=f"what pgset has to know of this StatefulSet takes {taken // 2**10} KiB; allowed: "
        f"{MAX_OF_ONE // 2**10} KiB: give it fewer labels, ports and selectors",
        pod_labels={},
        database_ports=frozenset(),
        other_ports=frozenset(),
        ports=frozenset(),
        selector="",
    )


class Room:
    """What the facts of one namespace may take in all."""

    def __init__(self) -> None:
        self._left = MAX_OF_NAMESPACE

    def take(self, facts: Iterable[_Fact]) -> Iterator[_Fact]:
        """Yield the facts, but for those that are too large. Raises TooMuchError."""
        for it in facts:
            taken = footprint(it)
            if taken > MAX_OF_ONE:
                continue
            self._left -= taken
            if self._left < 0:
                raise TooMuchError(
                    f"what there is in this namespace takes over {MAX_OF_NAMESPACE // 2**20} MiB"
                )
            yield it
