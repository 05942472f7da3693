"""The labels of results, and what finds nothing, by what Prometheus does."""

import pytest

from tests.deploy.promql import FindsNothingError, result_labels

SERIES = [
    {"__name__": "a", "pod": "x-0", "set": "x"},
    {"__name__": "b", "pod": "x-0", "set": "x"},
    {"__name__": "c_bucket", "pod": "x-0", "kind": "Pod", "le": "0.1"},
    {"__name__": "up", "pod": "x-0", "job": "sets"},
    {"__name__": "up", "pod": "y-0", "job": "webhook", "service": "y"},
]


@pytest.mark.parametrize(
    ("expression", "labels"),
    [
        ("1 + 2", set()),
        ("a == 0", {"pod", "set"}),
        ("-(a)", {"pod", "set"}),
        ('{__name__="a", set!="y", set!~"z|y"}', {"pod", "set"}),
        ('up{job=~"s.*"}', {"pod", "job"}),
        ("up", {"pod", "job", "service"}),
        ("sum(a)", set()),
        ("sum by (set) (a)", {"set"}),
        ("sum without (set) (a)", {"pod"}),
        ("max_over_time(rate(a[5m])[1h:5m])", {"pod", "set"}),
        ("min by (pod) (a) - time() < 7", {"pod"}),
        ("a > bool b", {"pod", "set"}),
        ("a / on (pod) b", {"pod"}),
        ("a / ignoring (set) b", {"pod"}),
        ("a and on (pod) up", {"pod", "set"}),
        ("a unless b", {"pod", "set"}),
        ("sum by (pod) (a) or up", {"pod", "job", "service"}),
        ("absent(up == 1)", set()),
        ("histogram_quantile(0.99, sum by (kind, le) (rate(c_bucket[5m])))", {"kind"}),
        ("scalar(a) + b", {"pod", "set"}),
    ],
)
def test_the_labels_of_a_result_are_known(expression, labels):
    assert labels == result_labels(expression, SERIES)


@pytest.mark.parametrize(
    "expression",
    [
        "d",
        'a{namespace=~".*"}',
        'a{namespace!="x"}',
        'a{set="y"}',
        'a{set=~"x-.*"}',
        'a{set!~"x|y"}',
        '{__name__="a"} + {__name__="d"}',
        'a{set="x" or set="y"}',
        "absent(d)",
        "rate(d[5m])",
        "sum by (namespace) (a)",
        "sum without (namespace) (a)",
        "sum(sum by (pod) (a)) by (set)",
        "a and up",
        "a and on (job) up",
        "a and on (namespace) b",
        "a / ignoring (namespace) b",
        "a - ignoring (set) up",
        "histogram_quantile(0.99, sum by (kind) (rate(c_bucket[5m])))",
    ],
)
def test_what_finds_nothing_is_refused(expression):
    with pytest.raises(FindsNothingError):
        result_labels(expression, SERIES)


@pytest.mark.parametrize(
    "expression", ["", "sum by (pod (a)", "rate(a)", "a[5m", "a{set=~'('}", 'sum("a")', "a =! 1"]
)
def test_what_is_no_promql_is_refused(expression):
    with pytest.raises(ValueError, match=r"\w"):
        result_labels(expression, SERIES)
