"""The cluster tests share one stage: the local cluster with pgset installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.demo.play import local_cluster, sweep
from deploy.demo.stage import Stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The demo's stage, swept."""
    stage = local_cluster(Path(tmp_path_factory.mktemp("stage")))
    sweep(stage)
    yield stage
    sweep(stage)
