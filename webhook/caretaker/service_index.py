"""The Services of a namespace, by what a set asks of them: each set looks at those that concern it.

Otherwise each set of a namespace with hundreds would look at every Service of all the others.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from sidecar.contract import POD_INDEX, POD_NAME
from webhook.caretaker.facts import Service, Workload

MOST: Final = 200
"""Services that a set looks at: where somebody has thousands that select each of thousands of sets,
looking at all takes minutes, and no other namespace is looked at meanwhile."""

_Label = tuple[str, str]


class ServiceIndex:
    """Made once for a look at a namespace."""

    def __init__(self, services: Iterable[Service]) -> None:
        """Take all Services of a namespace."""
        self._services = tuple(services)
        self._named = {it.name: it for it in self._services}
        self._found: defaultdict[_Label | str, set[int]] = defaultdict(set)
        """Positions, by a label that the Service selects, or by whom it was made for."""
        self._of_any_set: set[int] = set()
        used = Counter(label for it in self._services for label in it.selector.items())
        for position, service in enumerate(self._services):
            self._found[service.made_for].add(position)
            # One that is added is no label of the set's pods where the set has another role label.
            own = [
                (key, it.rpartition("-")[0]) if key == POD_NAME else (key, it)
                for key, it in service.selector.items()
                if key not in (service.added, POD_INDEX)
            ]
            if own:  # The rarest, since the role's are in nearly all.
                self._found[min(own, key=lambda it: used[it])].add(position)
            elif service.selector:
                self._of_any_set.add(position)

    def named(self, name: str) -> Service | None:
        """Return the Service of that name."""
        return self._named.get(name)

    def concerning(self, workload: Workload) -> list[Service]:
        """Return, in their order, those that were made for the set, and all whose selector, but for
        what was added to it, is one for pods of the set in any role, or for one of these."""
        positions = self._of_any_set | self._found.get(workload.uid, set())
        labels = {it for labels in workload.labels_by_role for it in labels.items()}
        for label in labels | {(POD_NAME, workload.name)}:
            positions |= self._found.get(label, set())
        return [self._services[it] for it in sorted(positions)[:MOST]]
