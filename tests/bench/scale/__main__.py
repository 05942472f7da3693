"""`make bench-scale`: what many sets cost webhook, caretaker and API server; pods are not run.

SETS=1000          sets of three: the same is measured with 10, 100 ... of them, up to this
PODS=10000         pods in the cluster at the end; those that are no members are plain ones
IN_NAMESPACE=10    sets that share a namespace
SECONDS=130        how long each rest is, of which the caretaker makes a round a minute
RENEWED=100        sets whose Leases are renewed while that is measured, as often as sidecars do
ADMISSIONS=500     pods of sets that are sent to be admitted, by 8 clients, and not stored

etcd and API server are this benchmark's own, on free ports of loopback; no cluster is needed. The
clients are the cluster's admin, whom API priority and fairness neither queues nor refuses.
"""

import argparse
import os
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Final

from deploy.local.errors import LocalClusterError
from sidecar.settings import Settings
from tests.bench.cost import NotMeasuredError
from tests.bench.machine import look, others_share
from tests.bench.options import number, tell
from tests.bench.scale.bench import Bench, Options
from tests.bench.scale.control_plane import running
from tests.bench.scale.result import Stage, leases, requests, table
from tests.bench.scale.sets import MEMBERS

CALCULATED: Final = 1000
"""Sets whose Leases' cost is told, by calculation from what was measured."""


def main() -> int:
    """Return 0 when all was measured, whatever the numbers say."""
    parser = argparse.ArgumentParser(
        prog="make bench-scale", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    defaults = {
        "sets": (1000, 1, 20_000),
        "pods": (10_000, 0, 100_000),
        "in_namespace": (10, 1, 20_000),
        "seconds": (130, 1, 86_400),
        "renewed": (100, 1, 20_000),
        "admissions": (500, 2, 100_000),
    }
    for name, (default, *_) in defaults.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, default=os.environ.get(name.upper()) or str(default))
    chosen = parser.parse_args()
    try:
        options = Options(
            **{
                name: number(name.upper(), getattr(chosen, name), least, most)
                for name, (_, least, most) in defaults.items()
            }
        )
        first = look()
        with tempfile.TemporaryDirectory(prefix="pgset-bench-") as folder:
            stages = measure(Path(folder), options)
        share = others_share([(first, look())], os.cpu_count() or 1)
    except (LocalClusterError, NotMeasuredError) as error:
        tell(f"make bench-scale: {error}")
        return 1
    print(table(stages))  # noqa: T201 - what the program is for
    print(f"\n{requests(stages[-1])}")  # noqa: T201
    interval = Settings(set_name="any").renew_interval
    print(f"\n{leases(stages[-1], CALCULATED, interval)}")  # noqa: T201
    tell(f"other programs kept the machine {share:.0%} busy meanwhile")
    return 0


def measure(folder: Path, options: Options) -> list[Stage]:
    """Return what was measured with each number of sets, and at last with more pods.

    Raises NotMeasuredError where a program fails.
    """
    with running(folder) as plane, Bench(plane, folder, options) as bench:
        sizes = [*(it for it in (10, 100, 1000, 10_000) if it < options.sets), options.sets]
        stages = [bench.grown(before, size) for before, size in pairwise([0, *sizes])]
        if options.pods > options.sets * MEMBERS:
            stages.append(bench.beside_others())
        return stages


if __name__ == "__main__":
    sys.exit(main())
