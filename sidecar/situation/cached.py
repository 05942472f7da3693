"""A property that is computed once, for values that are asked for again and again.

What is asked for once or twice in a decision, or is no more than a look at a field, is a plain
property: to remember costs as much as to look three times.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

_Value = TypeVar("_Value")


class cached(Generic[_Value]):  # noqa: N801 - used as a decorator, as functools.cached_property is
    """A property that is computed once. Without the lock of functools' in Python 3.11, which would
    take a third of the time of a decision."""

    def __init__(self, compute: Callable[[Any], _Value]) -> None:
        """Take the method that computes the value."""
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> "cached[_Value]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> _Value: ...
    def __get__(self, instance: object | None, owner: type) -> "cached[_Value] | _Value":
        """Compute the value and put it where the next look finds it without asking."""
        if instance is None:
            return self
        value = self._compute(instance)
        # A look at `__dict__` would make one, and slow down all that follows.
        setattr(instance, self._name, value)
        return value
