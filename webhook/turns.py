"""Whose turn it is where more are ready than can be served at once.

Newcomers, small requests and large ones have turns of their own, and in each the first of every
address goes before the second of any. So whoever comes in hundreds waits for himself: an API
server, which has an address of its own, does not.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from selectors import SelectorKey
from typing import Any


def clients(ready: Iterable[SelectorKey]) -> Iterable[Any]:
    """Return the connections among them."""
    return (key.data.args[0] for key in ready if getattr(key.data, "args", ()))


def kinds(ready: Iterable[SelectorKey]) -> Iterable[list[SelectorKey]]:
    """Return what is no client, newcomers, small requests and large ones, each in order.

    Of one address, who has had no turn for longest is the first, or whose large request is the
    oldest.
    """
    others: list[SelectorKey] = []
    newcomers: list[SelectorKey] = []
    small: list[SelectorKey] = []
    large: list[SelectorKey] = []
    for key in ready:
        arguments = getattr(key.data, "args", ())
        if not arguments:
            others.append(key)
        elif not arguments[0].initialized:
            newcomers.append(key)
        else:
            (large if arguments[0].pgset_client.large else small).append(key)
    return (
        others,
        _fairly(newcomers, lambda client: client.turn),
        _fairly(small, lambda client: client.turn),
        _fairly(large, lambda client: client.deadline),
    )


def _fairly(keys: list[SelectorKey], first: Callable[[Any], float]) -> list[SelectorKey]:
    """Return the first of each address, then the second of each, and so on."""
    had: Counter[str] = Counter()
    ordered = []
    for key in sorted(keys, key=lambda it: first(it.data.args[0].pgset_client)):
        address = key.data.args[0].pgset_client.address
        ordered.append((had[address], key))
        had[address] += 1
    return [key for _, key in sorted(ordered, key=lambda it: it[0])]
