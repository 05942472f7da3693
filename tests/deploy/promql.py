"""Which labels the result of a PromQL expression has, where these series are all that there are.

A wrong metric, label or value is no error to Prometheus, which finds nothing then: an alert on it
stays silent for ever. Here it is one. Where our expressions don't go, a result is told with fewer
labels than it has, never with more: topk(), label_replace(), group_left, absent() of a selector.
https://prometheus.io/docs/prometheus/latest/querying/operators/
"""

import re
from collections.abc import Mapping, Sequence
from functools import singledispatch

from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    LabelModifier,
    LabelModifierType,
    Matcher,
    MatchOp,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    StringLiteral,
    SubqueryExpr,
    UnaryExpr,
    ValueType,
    VectorSelector,
    parse,
)

NAME = "__name__"
"""The label that a metric's name is."""

Series = Mapping[str, str]
"""The labels of one series, its metric's name among them."""

Labels = frozenset[str]


class FindsNothingError(Exception):
    """Rewrite this part of the expression: it can't find what it asks for."""


def result_labels(expression: str, series: Sequence[Series]) -> Labels:
    """Return the labels that a sample of the result may have; of a number, none.

    Raises ValueError where it is no PromQL, and FindsNothingError.
    """
    return _labels(parse(expression), series) or Labels()


@singledispatch
def _labels(node: Expr, _series: Sequence[Series]) -> Labels | None:
    """Return None where the result is no vector but a number or a string."""
    raise NotImplementedError(type(node))


@_labels.register(NumberLiteral)
@_labels.register(StringLiteral)
def _of_literal(_node: Expr, _series: Sequence[Series]) -> None:
    return None


@_labels.register(ParenExpr)
@_labels.register(SubqueryExpr)
@_labels.register(UnaryExpr)
def _of_inner(node: ParenExpr, series: Sequence[Series]) -> Labels | None:
    return _labels(node.expr, series)


@_labels.register(MatrixSelector)
def _of_range(node: MatrixSelector, series: Sequence[Series]) -> Labels | None:
    return _labels(node.vector_selector, series)


@_labels.register(VectorSelector)
def _of_selector(node: VectorSelector, series: Sequence[Series]) -> Labels:
    if node.matchers.or_matchers:
        raise FindsNothingError(f"{node}: Prometheus knows no `or` between matchers")
    selected = [it for it in series if is_selected(node, it)]
    if not selected:
        raise FindsNothingError(f"nothing that is told is selected by {node}")
    return Labels().union(*selected) - {NAME}


def is_selected(node: VectorSelector, series: Series) -> bool:
    return node.name in (None, series[NAME]) and all(
        _matches(matcher, series) for matcher in node.matchers.matchers
    )


def _matches(matcher: Matcher, series: Series) -> bool:
    """Prometheus takes a label that is not there for an empty one; here nothing matches it."""
    if matcher.name not in series:
        return False
    value = series[matcher.name]
    if matcher.op in (MatchOp.Equal, MatchOp.NotEqual):
        agrees = value == matcher.value
    else:
        agrees = re.fullmatch(matcher.value, value) is not None
    return agrees != (matcher.op in (MatchOp.NotEqual, MatchOp.NotRe))


@_labels.register(AggregateExpr)
def _of_aggregation(node: AggregateExpr, series: Sequence[Series]) -> Labels:
    inner = _labels(node.expr, series) or Labels()
    if node.modifier is None:
        return Labels()
    listed = _known(node, node.modifier.labels, inner)
    return listed if node.modifier.type == AggModifierType.By else inner - listed


@_labels.register(Call)
def _of_call(node: Call, series: Sequence[Series]) -> Labels | None:
    arguments = [_labels(argument, series) for argument in node.args]
    given = Labels().union(*(it for it in arguments if it is not None))
    if node.func.return_type == ValueType.Scalar:
        return None
    if node.func.name == "histogram_quantile":
        return given - _known(node, ["le"], given)
    return Labels() if node.func.name.startswith("absent") else given


@_labels.register(BinaryExpr)
def _of_operation(node: BinaryExpr, series: Sequence[Series]) -> Labels | None:
    left, right = _labels(node.lhs, series), _labels(node.rhs, series)
    if left is None or right is None:
        return right if left is None else left
    operator = str(node.op)
    matching = node.modifier.matching if node.modifier is not None else None
    matched = _matched(node, matching, left, right)
    if operator == "or":
        return left | right
    return left if operator in ("and", "unless") else matched


def _matched(
    node: BinaryExpr, matching: LabelModifier | None, left: Labels, right: Labels
) -> Labels:
    """Return the labels by whose values samples of both sides are found to belong together."""
    listed = _known(node, matching.labels if matching is not None else [], left | right)
    if matching is not None and matching.type == LabelModifierType.Include:
        on_left, on_right = left & listed, right & listed
    else:
        on_left, on_right = left - listed, right - listed
    if on_left != on_right and str(node.op) != "or":
        odd = ", ".join(sorted(on_left ^ on_right))
        raise FindsNothingError(f"only one side has {odd}: {node}")
    return on_left


def _known(node: Expr, listed: Sequence[str], there: Labels) -> Labels:
    unknown = ", ".join(sorted(set(listed) - there))
    if unknown:
        raise FindsNothingError(f"there is no {unknown} (but {', '.join(sorted(there))}) in {node}")
    return Labels(listed)
