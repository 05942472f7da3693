"""Kubernetes' quantities."""

from decimal import Decimal

import pytest

from cli import quota


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1", 1),
        ("250m", Decimal("0.25")),
        ("1.5", Decimal("1.5")),
        ("2Ki", 2048),
        ("3M", 3 * 10**6),
    ],
)
def test_a_quantity(text, amount) -> None:
    assert quota.quantity(text) == amount


@pytest.mark.parametrize("text", ["", "x", "1e3", "-1", "1Zi", "²", "1" * 5000, "٣"])
def test_what_is_none_that_we_know(text) -> None:
    assert quota.quantity(text) is None


def test_what_is_written_is_read_back() -> None:
    assert [quota.written(Decimal(it)) for it in ("2", "0.25", "1.5")] == ["2", "250m", "1500m"]


def test_there_is_room_for_all_that_are_missing() -> None:
    small = {"metadata": {"name": "q"}, "spec": {"hard": {"memory": "1Gi"}}}
    said = "exceeded quota: q, requested: memory=64Mi, used: memory=1Gi, limited: memory=1Gi"
    assert quota.enough_for(said, [small], 2) == ("q", {"memory": str((1024 + 128) * 2**20)})
    assert quota.enough_for("no quota", [small], 2) is None
    assert quota.enough_for(said, [], 2) is None


def test_a_volume_doubles_in_its_own_unit() -> None:
    assert (quota.doubled("5Gi"), quota.doubled("five")) == ("10Gi", None)
    assert quota.doubled("1" * 5000) is quota.doubled("٣") is None
