"""StatefulSets as charts and blogs write them become sets, under a client of their own Service."""

import os
from pathlib import Path
from typing import Final

import pytest

from deploy.demo.stage import Stage
from deploy.demo.steps import install
from tests.adopt.kinds import KINDS, Kind
from tests.adopt.play import DELETED, DRAINED, OPTED_OUT, STEPS, Play
from tests.adopt.report import breaches, table

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube")]

ROWS: Final = int(os.environ.get("ROWS") or 20_000)

SHOWN_ELSEWHERE: Final = (DELETED, DRAINED, OPTED_OUT)
"""By tests/chaos and by the variants; left out in `make test`, where minutes count."""

EACH = [
    pytest.param(kind, id=kind.name, marks=[] if kind.always else pytest.mark.rarely)
    for kind in KINDS.values()
]


@pytest.fixture(scope="module")
def installed(played_on: Stage) -> Stage:
    install(played_on)
    return played_on


@pytest.mark.parametrize("kind", EACH)
def test_it_is_adopted_without_the_loss_of_a_row_or_refused_untouched(
    installed: Stage, tmp_path: Path, kind: Kind
) -> None:
    steps = [it for it in STEPS if not (kind.always and it in SHOWN_ELSEWHERE)]
    played = Play(installed, kind, ROWS, tmp_path, steps).play()
    assert breaches(played, ROWS) == [], table([played])
