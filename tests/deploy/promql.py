"""Which metrics a PromQL expression names.

Not a parser: it drops what can't be a metric's name (strings, matchers, ranges, lists of labels,
functions, operators), which is enough for expressions that only name metrics as identifiers.
https://prometheus.io/docs/prometheus/latest/querying/basics/
"""

import re

_STRING = r'"(?:[^"\\]|\\.)*"'
_MATCHERS = r"\{[^{}]*\}"
_RANGE = r"\[[^\[\]]*\]"
_LABELS = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)"
_DROPPED = (_STRING, _MATCHERS, _RANGE, _LABELS)
_WORD = re.compile(r"(?<![\w:.])[A-Za-z_:][\w:]*")
_OPERATORS = {"and", "or", "unless", "bool", "offset", "group_left", "group_right", "inf", "nan"}


def metric_names(expression: str) -> set[str]:
    """Return the metrics that the expression reads."""
    for pattern in _DROPPED:
        expression = re.sub(pattern, " ", expression)
    return {
        match[0]
        for match in _WORD.finditer(expression)
        if match[0].lower() not in _OPERATORS | {"by", "without"}
        and not expression[match.end() :].lstrip().startswith("(")
    }
