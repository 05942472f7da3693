"""What the simulator has shown of the rules: facts that were set, rows that decided, actions.

A fact that no schedule ever sets is one whose rules nobody has seen at work.
"""

import functools
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Final, get_args, get_type_hints

from sidecar import observation as facts
from sidecar.action import Action, Decision
from sidecar.decide import decide
from sidecar.observation import Observation
from sidecar.settings import Settings
from sidecar.table import TABLE

VIEWS: Final = tuple(
    kind for _, kind in inspect.getmembers(facts, inspect.isclass) if is_dataclass(kind)
)
ROWS: Final = frozenset(row.name for part in TABLE for row in part.rows)
ACTIONS: Final = frozenset(kind.__name__ for kind in get_args(Action))

_DECIDED: Final = re.compile(r"^ *[\d.]+  \S+-\d+ +(\w+): ", re.MULTILINE)
_BEGUN: Final = re.compile(r"^ *[\d.]+  \S+-\d+ +(\w+)\(.*\)$", re.MULTILINE)


def rows_that_decided(transcript: str) -> set[str]:
    """Return the rows of the table that a run's members were seen in."""
    return ROWS.intersection(_DECIDED.findall(transcript))


def actions_that_were_begun(transcript: str) -> set[str]:
    """Return the actions that a run's members have carried out, or tried to."""
    return ACTIONS.intersection(_BEGUN.findall(transcript))


class Spy:
    """Looks at what the rules are given."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._unset: dict[type, dict[str, Field[Any]]] = {
            kind: {each.name: each for each in fields(kind)} for kind in VIEWS
        }
        self._first: dict[tuple[type, str], object] = {}
        """The first value of each field that has no default."""

    def decide(self, observation: Observation, settings: Settings) -> Decision:
        """As the rules do."""
        self._look(observation)
        return decide(observation, settings)

    @property
    def unset(self) -> frozenset[str]:
        """The fields that have always had their default, or the same value where there is none."""
        return frozenset(f"{kind.__name__}.{name}" for kind in VIEWS for name in self._unset[kind])

    def _look(self, value: Any) -> None:
        kind = type(value)
        if unset := self._unset[kind]:
            for name in [name for name, each in unset.items() if self._is_set(value, each)]:
                del unset[name]
        for name in _fields_with_views(kind):
            for view in _views_in(getattr(value, name)):
                self._look(view)

    def _is_set(self, value: Any, field: Field[Any]) -> bool:
        found = getattr(value, field.name)
        usual = field.default
        if field.default_factory is not MISSING:
            usual = field.default_factory()
        elif usual is MISSING:
            usual = self._first.setdefault((type(value), field.name), found)
        return bool(found != usual)


def _views_in(value: object) -> Iterator[object]:
    if isinstance(value, VIEWS):
        yield value
    elif isinstance(value, tuple | Mapping):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _views_in(each)


@functools.cache
def _fields_with_views(kind: type) -> tuple[str, ...]:
    return tuple(name for name, hint in get_type_hints(kind).items() if _mentions_a_view(hint))


def _mentions_a_view(hint: object) -> bool:
    return hint in VIEWS or any(_mentions_a_view(each) for each in get_args(hint))
