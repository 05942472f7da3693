"""What an alert's expression finds at a moment, as far as our expressions go.

Series are scraped twice a minute; one that a scrape does not find any more has ended at once, as
Prometheus marks it stale.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch

from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    VectorSelector,
    parse,
    parse_duration,
)

from tests.deploy.promql import NAME, is_selected

SCRAPED_EVERY = 30.0

Labels = frozenset[tuple[str, str]]
Found = dict[Labels, float]
"""Values by labels, without the metric's name."""


@dataclass(frozen=True)
class Seen:
    """A series that had one value from and to these seconds, or a counter that rises evenly."""

    labels: Mapping[str, str]
    value: float
    begins: float
    ends: float
    per_second: float = 0.0
    """What a counter rises by; its value does not count then."""

    def within(self, begins: float, ends: float) -> bool:
        return self.begins <= ends and self.ends >= begins


def found(expression: str, series: Sequence[Seen], now: float) -> Found:
    return _found(parse(expression), series, now)


def fires(rule: Mapping[str, str], series: Sequence[Seen], now: float) -> list[dict[str, str]]:
    """Return the labels of what the rule's expression has found for as long as `for` says."""
    steps = int(parse_duration(rule["for"]).total_seconds() / SCRAPED_EVERY)
    moments = [now - SCRAPED_EVERY * step for step in range(steps + 1)]
    each = [set(found(rule["expr"], series, moment)) for moment in moments]
    return [dict(labels) for labels in set.intersection(*each)]


@singledispatch
def _found(node: Expr, _series: Sequence[Seen], _now: float) -> Found:
    raise NotImplementedError(type(node))


@_found.register(ParenExpr)
def _of_inner(node: ParenExpr, series: Sequence[Seen], now: float) -> Found:
    return _found(node.expr, series, now)


@_found.register(VectorSelector)
def _of_selector(node: VectorSelector, series: Sequence[Seen], now: float) -> Found:
    return _selected(node, series, now - SCRAPED_EVERY / 2, now)


@_found.register(Call)
def _of_call(node: Call, series: Sequence[Seen], now: float) -> Found:
    name, last = node.func.name, node.args[-1]
    if name == "absent":
        return {} if _found(last, series, now) else {Labels(): 1.0}
    if name == "histogram_quantile":
        return _quantile(node.args[0].val, _found(last, series, now))
    if name not in ("max_over_time", "rate") or not isinstance(last, MatrixSelector):
        raise NotImplementedError(name)
    begins = now - last.range.total_seconds()
    return _selected(last.vector_selector, series, begins, now, rate=name == "rate")


def _selected(
    node: VectorSelector,
    series: Sequence[Seen],
    begins: float,
    ends: float,
    *,
    rate: bool = False,
) -> Found:
    values: Found = {}
    for it in series:
        if is_selected(node, it.labels) and it.within(begins, ends):
            key = frozenset(pair for pair in it.labels.items() if pair[0] != NAME)
            value = it.per_second if rate else it.value
            values[key] = max(value, values.get(key, value))
    return values


def _quantile(share: float, buckets: Found) -> Found:
    """The bound of the bucket that it is in; Prometheus goes on to guess where within."""
    groups: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in buckets.items():
        rest = frozenset(pair for pair in labels if pair[0] != "le")
        groups.setdefault(rest, []).append((float(dict(labels)["le"]), count))
    return {
        labels: next(bound for bound, count in sorted(of) if count >= share * max(of)[1])
        for labels, of in groups.items()
    }


_AGGREGATED: dict[str, Callable[[list[float]], float]] = {
    "max": max,
    "min": min,
    "sum": sum,
    "count": len,
}
_COMPARED: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}


@_found.register(AggregateExpr)
def _of_aggregation(node: AggregateExpr, series: Sequence[Seen], now: float) -> Found:
    kept = set(node.modifier.labels)
    groups: dict[Labels, list[float]] = {}
    for labels, value in _found(node.expr, series, now).items():
        group = frozenset(pair for pair in labels if pair[0] in kept)
        groups.setdefault(group, []).append(value)
    return {labels: _AGGREGATED[str(node.op)](values) for labels, values in groups.items()}


@_found.register(BinaryExpr)
def _of_operation(node: BinaryExpr, series: Sequence[Seen], now: float) -> Found:
    left = _found(node.lhs, series, now)
    name, number = str(node.op), _number(node.rhs, now)
    if number is not None and name in _COMPARED:
        kept = _COMPARED[name]
        return {labels: value for labels, value in left.items() if kept(value, number)}
    if number is not None and name == "-":
        return {labels: value - number for labels, value in left.items()}
    if number is None and name in ("and", "unless"):
        matching = node.modifier.matching if node.modifier is not None else None
        listed = matching.labels if matching is not None else None
        right = {_matched(labels, listed) for labels in _found(node.rhs, series, now)}
        return {
            labels: value
            for labels, value in left.items()
            if (_matched(labels, listed) in right) == (name == "and")
        }
    raise NotImplementedError(node.op)


def _number(node: Expr, now: float) -> float | None:
    if isinstance(node, NumberLiteral):
        return float(node.val)
    return now if isinstance(node, Call) and node.func.name == "time" else None


def _matched(labels: Labels, listed: Sequence[str] | None) -> Labels:
    """What two sides are matched by: what `on` lists, or all."""
    return frozenset(pair for pair in labels if listed is None or pair[0] in listed)
