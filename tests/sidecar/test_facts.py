"""A fact that a rule needs is measured by an adapter, and some test of the rules speaks of it."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Final

import pytest

from sidecar.failures import Failures
from sidecar.observation import (
    BootstrapView,
    Fork,
    LeaseRecord,
    LeaseView,
    Observation,
    Peer,
    Pod,
    PostgresView,
)
from tests.support.names_given import names_given

ROOT: Final = Path(__file__).parents[2]

PURE: Final = ("observation", "action", "settings", "situation", "table", "decide", "deadlines")
"""What decides: it measures nothing."""

VIEWS: Final = (
    Observation, LeaseView, LeaseRecord, BootstrapView, Failures, PostgresView, Pod, Peer, Fork,
)  # fmt: skip


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.fixture(scope="module")
def measured() -> set[str]:
    adapters = [
        path
        for path in files("sidecar")
        if path.relative_to(ROOT / "sidecar").parts[0].removesuffix(".py") not in PURE
    ]
    return {name for path in adapters for name in names_given(path.read_text(), VIEWS)}


@pytest.fixture(scope="module")
def tested() -> str:
    others = (
        path
        for path in files("tests/sidecar")
        if path.name not in (Path(__file__).name, "drawn.py")
    )
    return "\n".join(path.read_text() for path in others)


FACTS: Final = [(kind, it.name) for kind in VIEWS for it in fields(kind)]


@pytest.mark.parametrize(("kind", "field"), FACTS, ids=lambda it: getattr(it, "__name__", it))
def test_each_fact_is_measured(kind: type, field: str, measured: set[str]) -> None:
    assert field in measured, (
        f"{kind.__name__}.{field} is measured nowhere: let the adapter that makes a "
        f"{kind.__name__} fill it in (bootstrap.py, observe.py, postgres/look.py, kube/pods.py or "
        "kube/lease_record.py in sidecar/)"
    )


@pytest.mark.parametrize(("kind", "field"), FACTS, ids=lambda it: getattr(it, "__name__", it))
def test_each_fact_is_in_a_test_of_a_rule(kind: type, field: str, tested: str) -> None:
    assert re.search(rf"\b{field}=|\"{field}\"|\.{field}\b", tested), (
        f"no test speaks of {kind.__name__}.{field}: write one in tests/sidecar/rules/ that shows "
        "what it changes"
    )
