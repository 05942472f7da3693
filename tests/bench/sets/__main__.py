"""`make bench-sets`: what real sets of three cost on the local cluster, and a lost node costs them.

SETS=30      the same is measured with 1, 10, 20 ... of them, up to this
SECONDS=60   how long each rest is
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from deploy.demo.play import local_cluster
from deploy.demo.stage import StepFailedError
from deploy.local.errors import LocalClusterError
from tests.bench.cost import NotMeasuredError
from tests.bench.options import number, tell
from tests.bench.sets.bench import Bench
from tests.bench.sets.result import Loss, Stage, table
from tests.chaos.subject import install

STEP: Final = 10


def main() -> int:
    """Return 0 when all was measured, whatever the numbers say."""
    parser = argparse.ArgumentParser(
        prog="make bench-sets", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sets", default=os.environ.get("SETS") or "30")
    parser.add_argument("--seconds", default=os.environ.get("SECONDS") or "60")
    chosen = parser.parse_args()
    try:
        size = number("SETS", chosen.sets, 1, 100)
        seconds = number("SECONDS", chosen.seconds, 1, 86400)
        with tempfile.TemporaryDirectory(prefix="pgset-bench-") as workspace:
            stage = local_cluster(Path(workspace))
            install(stage)
            bench = Bench(stage, seconds)
            try:
                _measure(bench, size)
            finally:
                bench.sweep()
    except (LocalClusterError, StepFailedError, NotMeasuredError) as error:
        tell(f"make bench-sets: {error}")
        return 1
    return 0


def _measure(bench: Bench, size: int) -> None:
    empty = bench.begin()
    stages: list[Stage] = []
    losses: list[Loss] = []
    before = 0
    for wanted in sorted({1, *range(STEP, size, STEP), size}):
        stages.append(bench.grow(before, wanted))
        if wanted in {1, size}:
            losses.append(bench.lose_node(wanted))
            tell(f"  {losses[-1]}")
        before = wanted
    print(table(empty, stages, os.cpu_count() or 1))  # noqa: T201 - what the program is for
    for loss in losses:
        print(loss)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
