"""Each alert fires for what it is about, and stays silent where all is well."""

from collections.abc import Sequence

import pytest

from tests.deploy.firing import Seen, fires
from tests.deploy.manifests import document
from tests.deploy.promql import NAME
from tests.deploy.scraped import SCRAPED, TARGETS

RULES = {
    rule["alert"]: rule
    for group in document("monitoring/prometheus-rule.yaml")["spec"]["groups"]
    for rule in group["rules"]
}
NOW = 2 * 3600.0
FOREVER = float("inf")
DAY = 24 * 3600.0
LOST = NOW - 300.0


def webhook(metric: str, value: float = 0.0, *, rises: float = 0.0, **more: str) -> Seen:
    return Seen(TARGETS[0][1] | {NAME: metric} | more, value, 0.0, FOREVER, rises)


def member(metric: str, value: float, pod: str = "orders-0", ends: float = FOREVER) -> Seen:
    labels = TARGETS[1][1] | {NAME: metric, "pod": pod, "set": "orders"}
    return Seen(labels, value, 0.0, ends)


def reviews(*, slow: float) -> list[Seen]:
    """100 a second, of which so many take more than 0.1 s, and less than 0.5."""
    name = "pgset_admission_seconds_bucket"
    below = {"0.1": 100 - slow, "0.5": 100.0, "+Inf": 100.0}
    return [webhook(name, rises=rate, le=le) for le, rate in below.items()]


def errors(rate: float) -> list[Seen]:
    name = "pgset_admission_requests_total"
    return [webhook(name, rises=rate, kind="Pod", outcome="error")]


def replica(streaming: float, writable: float, up: float, pod: str = "orders-0") -> list[Seen]:
    values = {"streaming": streaming, "writable": writable, "up": up}
    return [member(f"pgset_postgres_{name}", value, pod) for name, value in values.items()]


def renewed(seconds: float, writable: float, pod: str = "orders-0") -> list[Seen]:
    return [
        member("pgset_lease_renewed_age_seconds", seconds, pod),
        member("pgset_postgres_writable", writable, pod),
    ]


def writable(first: float, second: float) -> list[Seen]:
    name = "pgset_postgres_writable"
    return [member(name, first), member(name, second, pod="orders-1")]


CERTIFICATE = "pgset_serving_certificate_expiry_timestamp_seconds"
LAG = "pgset_postgres_replay_lag_bytes"
UP = "pgset_postgres_up"

CASES: dict[str, tuple[Sequence[Seen], Sequence[Seen]]] = {
    "PgsetWebhookDown": ([webhook("up", 0)], [webhook("up", 0), webhook("up", 1, pod="other")]),
    "PgsetAdmissionErrors": (errors(0.1), errors(0)),
    "PgsetAdmissionSlow": (reviews(slow=2), reviews(slow=0.5)),
    "PgsetCertificateNotRenewed": (
        [webhook(CERTIFICATE, NOW + 29 * DAY)],
        [webhook(CERTIFICATE, NOW + 31 * DAY)],
    ),
    "PgsetLeasesUnknown": ([webhook("pgset_leases_known", 0)], [webhook("pgset_leases_known", 1)]),
    "PgsetNoPrimary": (writable(0, 0), writable(0, 1)),
    "PgsetSetUnreachable": (
        [member(UP, 1, ends=LOST)],
        [member(UP, 1, ends=LOST), member(UP, 1, pod="orders-1")],
    ),
    "PgsetMemberUnreachable": ([member("up", 0)], [member("up", 1)]),
    "PgsetSeveralPrimaries": (writable(1, 1), writable(0, 1)),
    "PgsetMemberDown": ([member(UP, 0)], [member(UP, 1)]),
    "PgsetReplicaNotStreaming": (
        replica(0, 0, 1),
        [*replica(0, 1, 1), *replica(1, 0, 1, "orders-1"), *replica(0, 0, 0, "orders-2")],
    ),
    "PgsetReplicaLags": ([member(LAG, 16777217)], [member(LAG, 16777216)]),
    "PgsetSidecarStuck": (
        [member("pgset_loop_age_seconds", 11)],
        [member("pgset_loop_age_seconds", 2)],
    ),
    "PgsetLeaseNotRenewed": (renewed(9, 1), [*renewed(9, 0), *renewed(2, 1, "orders-1")]),
    "PgsetPaused": ([member("pgset_paused", 1)], [member("pgset_paused", 0)]),
}
"""What an alert fires for, and what it does not."""


def test_no_alert_is_left_out() -> None:
    assert CASES.keys() == RULES.keys()


def test_what_the_cases_are_made_of_is_told() -> None:
    told = {it[NAME] for it in SCRAPED}
    used = {it.labels[NAME] for cases in CASES.values() for case in cases for it in case}
    assert used <= told | {"up"}


@pytest.mark.parametrize("alert", CASES)
def test_it_fires_once_and_says_for_whom(alert: str) -> None:
    (labels,) = fires(RULES[alert], CASES[alert][0], NOW)
    if alert not in ("PgsetWebhookDown", "PgsetAdmissionSlow"):  # these are of all
        assert {"set", "pod", "kind"} & labels.keys()


@pytest.mark.parametrize("alert", CASES)
def test_it_is_silent_where_all_is_well(alert: str) -> None:
    assert fires(RULES[alert], CASES[alert][1], NOW) == []


@pytest.mark.parametrize("alert", sorted({*CASES} - {"PgsetWebhookDown", "PgsetSetUnreachable"}))
def test_it_does_not_fire_before_its_time(alert: str) -> None:
    begun = [
        Seen(it.labels, it.value, NOW - 45.0, FOREVER, it.per_second) for it in CASES[alert][0]
    ]
    assert fires(RULES[alert], begun, NOW) == []
