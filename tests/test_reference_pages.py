"""The pages that list names have each that there is in the code, and no other."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar import contract
from sidecar.decide import decide
from sidecar.observation import (
    BootstrapView,
    Identity,
    LeaseRecord,
    LeaseView,
    Observation,
    Pod,
    PostgresView,
    ServerState,
)
from sidecar.postgres.configuration import NO_RECOVERY_TARGET, standby_settings
from sidecar.report.http import Application
from sidecar.report.metrics import Metrics
from sidecar.report.snapshot import Reporter, Snapshot
from sidecar.report.status import status
from sidecar.settings import Settings
from tests.deploy.promql import NAME
from tests.deploy.scraped import Told, told_by_a_sidecar, told_by_the_webhook
from tests.support.clock import Clock

DOCS = Path(__file__).parents[1] / "docs"
OBSERVATION = Observation(
    now=0.0,
    started_at=0.0,
    me=Identity("orders-0", "uid-0"),
    lease=None,
    pods=(),
    wanted=1,
    bootstrap=BootstrapView(None),
    postgres=PostgresView(ServerState.DOWN, since=0.0),
)
VOTERS = ("orders-0", "orders-1", "orders-2")


def rows(page: str, heading: str) -> list[str]:
    """Return what is in the first column below a heading, without its marks; a row may have several
    names."""
    _, _, rest = (DOCS / page).read_text().partition(f"\n{heading}\n")
    section = re.split(r"^## ", rest, maxsplit=1, flags=re.M)[0]
    columns = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", section, re.M)
    return [name for column in columns for name in re.findall(r"`([^`]+)`", column)]


def test_each_annotation_of_a_statefulset_has_a_row() -> None:
    assert sorted(rows("opt-in.md", "## Annotations")) == sorted(contract.STATEFULSET_ANNOTATIONS)


def test_each_other_annotation_and_label_has_a_row() -> None:
    names = {
        value
        for value in vars(contract).values()
        if isinstance(value, str) and value.startswith(f"{contract.DOMAIN}/")
    }
    page = (DOCS / "annotations.md").read_text()
    told = re.findall(r"^\| `(pgset\.dev/[\w-]+)` \|", page, re.M)
    assert sorted(told) == sorted(names - set(contract.STATEFULSET_ANNOTATIONS))


def test_each_parameter_that_a_standby_gets_is_on_the_page() -> None:
    given: set[str] = set()
    for major in (contract.OLDEST_POSTGRES, contract.NEWEST_POSTGRES):
        settings = Settings(set_name="orders")
        given |= {*standby_settings(settings, "orders-0", log_hints=True, major_version=major)}
    _, _, section = (DOCS / "opt-in.md").read_text().partition("## What is changed in the database")
    told = {*re.findall(r"`(\w+)`", section)}
    assert given - {*NO_RECOVERY_TARGET} - told == set()


def test_each_path_and_each_key_of_a_status_has_a_row() -> None:
    reporter, settings = Reporter(Clock()), Settings(set_name="orders")
    application = Application(reporter, Metrics(reporter, "orders"), settings)
    refusal = json.loads(application.answer("GET", "/nothing", "").body)["error"]
    _, _, paths = refusal.partition("allowed: ")
    records = (LeaseRecord("", 10, "7", voters=VOTERS, copies=copies) for copies in (2, 3))
    keys = {key for record in records for key in keys_of_a_paused_standby(record, settings)}
    told = rows("rest-api.md", "## The sidecar's, on port 8008")
    assert sorted(told) == sorted([*paths.split(", "), *keys])


def keys_of_a_paused_standby(record: LeaseRecord, settings: Settings) -> list[str]:
    """Of one whose set nobody leads: all keys but those of another durability are there."""
    seen = replace(
        OBSERVATION,
        lease=LeaseView(record, changed_at=0.0),
        postgres=PostgresView(ServerState.RECOVERY, since=0.0),
        pods=(Pod(OBSERVATION.me.name, OBSERVATION.me.uid, None, None, nofailover=True),),
        paused=True,
    )
    return list(status(Snapshot(seen, decide(seen, settings), problem=None), settings))


@pytest.mark.parametrize(
    ("heading", "told"),
    [
        ("## Metrics of a member", told_by_a_sidecar),
        ("## Metrics of the webhook", told_by_the_webhook),
    ],
)
def test_each_metric_has_a_row(heading: str, told: Callable[[], Told]) -> None:
    # A histogram's parts, and when a counter began, are no metrics of their own.
    names = {re.sub(r"_(bucket|sum|count|created)$", "", it[NAME]) for it in told()}
    assert sorted(rows("rest-api.md", heading)) == sorted(
        name for name in names if name.startswith("pgset_") and f"{name}_total" not in names
    )
