"""What an alert's expression finds at a moment, as far as our expressions go.

Series are scraped twice a minute; one that a scrape does not find any more has ended at once, as
Prometheus marks it stale.
"""

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
)

from tests.deploy.promql import NAME, is_selected

SCRAPED_EVERY = 30.0

Labels = frozenset[tuple[str, str]]
Found = dict[Labels, float]
"""Values by labels, without the metric's name."""


@dataclass(frozen=True)
class Seen:
    """A series that had one value from and to these seconds."""

    labels: Mapping[str, str]
    value: float
    begins: float
    ends: float

    def within(self, begins: float, ends: float) -> bool:
        return self.begins <= ends and self.ends >= begins


def found(expression: str, series: Sequence[Seen], now: float) -> Found:
    return _found(parse(expression), series, now)


def fires(rule: Mapping[str, str], series: Sequence[Seen], now: float) -> list[dict[str, str]]:
    """Return the labels of what the rule's expression has found for as long as `for` says."""
    minutes = int(rule["for"].removesuffix("m"))
    moments = [now - SCRAPED_EVERY * step for step in range(2 * minutes + 1)]
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
    (matrix,) = node.args
    if node.func.name != "max_over_time" or not isinstance(matrix, MatrixSelector):
        raise NotImplementedError(node.func.name)
    return _selected(matrix.vector_selector, series, now - matrix.range.total_seconds(), now)


def _selected(node: VectorSelector, series: Sequence[Seen], begins: float, ends: float) -> Found:
    values: Found = {}
    for it in series:
        if is_selected(node, it.labels) and it.within(begins, ends):
            key = frozenset(pair for pair in it.labels.items() if pair[0] != NAME)
            values[key] = max(it.value, values.get(key, it.value))
    return values


_AGGREGATED: dict[str, Callable[[list[float]], float]] = {"max": max, "sum": sum, "count": len}


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
    if str(node.op) == "unless":
        right = _found(node.rhs, series, now)
        return {labels: value for labels, value in left.items() if labels not in right}
    if str(node.op) == "==" and isinstance(node.rhs, NumberLiteral):
        return {labels: value for labels, value in left.items() if value == node.rhs.val}
    raise NotImplementedError(node.op)
