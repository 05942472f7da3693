"""A cluster that others use is not ended because it is slow."""

import contextlib

import pytest

from deploy.local import cluster


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `up` does to a cluster that runs, and of which the nodes are Ready at the third look."""
    done: list[str] = []
    looks = iter((False, False))
    monkeypatch.setattr(cluster, "check_machine", lambda: None)
    monkeypatch.setattr(cluster.locks, "alone", contextlib.nullcontext)
    monkeypatch.setattr(cluster, "_runs", lambda: True)
    monkeypatch.setattr(cluster, "_nodes_are_ready", lambda: next(looks, True))
    monkeypatch.setattr(cluster, "_dns_is_ready", lambda: True)
    monkeypatch.setattr(cluster, "_load_changed_images", lambda: done.append("load"))
    for name in ("prepare", "tear_down", "_boot"):
        monkeypatch.setattr(cluster, name, lambda *_, name=name: done.append(name))
    return done


def test_one_that_runs_gets_time_to_be_well(done: list[str]) -> None:
    cluster.up()
    assert done == ["load"]


def test_one_that_does_not_get_well_is_started_anew(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE", 0.0)
    cluster.up()
    assert done == ["prepare", "tear_down", "_boot"]
