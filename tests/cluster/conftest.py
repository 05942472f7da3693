"""The cluster tests share one stage: the local cluster with pgset installed."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.demo.play import local_cluster, sweep
from deploy.demo.stage import Stage


@pytest.fixture(scope="session")
def played_on(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return local_cluster(Path(tmp_path_factory.mktemp("stage")))


@pytest.fixture(scope="module")
def stage(played_on: Stage) -> Iterator[Stage]:
    """The demo's stage, swept: each module starts without what another has left."""
    sweep(played_on)
    yield played_on
    sweep(played_on)


@pytest.fixture(autouse=True)
def leaks_are_told_of_the_test_that_leaks() -> Iterator[None]:
    """What is left open warns when it is collected, which may be many tests later."""
    yield
    gc.collect()
