"""`make bench-agent`: what the sidecar of a member at rest costs, on the local cluster.

SECONDS=120   how long to measure
SETTLE=20     how long to wait before that, once all members follow
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from deploy.demo.play import local_cluster
from deploy.demo.stage import Stage, StepFailedError
from deploy.demo.steps import members
from deploy.local.errors import LocalClusterError
from sidecar import contract
from tests.bench import containers, subject
from tests.bench.cost import (
    Cost,
    Look,
    NotMeasuredError,
    cost,
    parse_busy,
    parse_cpu,
    parse_memory,
    parse_requests,
    table,
)
from tests.bench.options import number, tell
from tests.chaos.subject import install

_STAT: Final = containers.PROC / "stat"


def main() -> int:
    """Return 0 when all members were measured, whatever the numbers say."""
    parser = argparse.ArgumentParser(
        prog="make bench-agent", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", default=os.environ.get("SECONDS") or "120")
    parser.add_argument("--settle", default=os.environ.get("SETTLE") or "20")
    chosen = parser.parse_args()
    try:
        seconds = number("SECONDS", chosen.seconds, 1, 86400)
        settle = number("SETTLE", chosen.settle, 1, 86400)
        with tempfile.TemporaryDirectory(prefix="pgset-bench-") as workspace:
            stage = local_cluster(Path(workspace))
            install(stage)
            tell(f"three members at rest for {settle} s, then measured for {seconds} s")
            busy, every = parse_busy(_STAT.read_text())
            print(table(measure(stage, seconds, settle)))  # noqa: T201 - what the program is for
            busy_now, every_now = parse_busy(_STAT.read_text())
            share = (busy_now - busy) / (every_now - every)
            # The same work takes more time on cores that are shared.
            tell(f"the machine was {share:.0%} busy meanwhile")
    except (LocalClusterError, StepFailedError, NotMeasuredError) as error:
        tell(f"make bench-agent: {error}")
        return 1
    return 0


def measure(stage: Stage, seconds: float, settle: float) -> list[Cost]:
    """Return what each member of a new set costs; pgset is installed.

    Raises NotMeasuredError where the set was not at rest meanwhile.
    """
    try:
        subject.create(stage)
        time.sleep(settle)
        first = _look(stage)
        time.sleep(seconds)
        last = _look(stage)
    finally:
        subject.sweep(stage)
    if first.keys() != last.keys():
        raise NotMeasuredError(f"the members were {sorted(first)}, and then {sorted(last)}")
    return [cost(member, first[member], last[member]) for member in first]


def _look(stage: Stage) -> Mapping[str, Look]:
    pods = members(stage, subject.SET, subject.NAMESPACE)
    running = containers.sidecars()
    return {pod["metadata"]["name"]: _look_at(stage, pod, running) for pod in pods}


def _look_at(stage: Stage, pod: dict[str, Any], running: Mapping[str, list[int]]) -> Look:
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    if uid not in running:
        raise NotMeasuredError(f"the sidecar of {name} is not among this machine's processes")
    proxy = f"/api/v1/namespaces/{subject.NAMESPACE}/pods/{name}:{contract.SIDECAR_PORT}/proxy"
    requests = parse_requests(stage.ask("get", "--raw", f"{proxy}/metrics"))
    if not requests:
        raise NotMeasuredError(f"the sidecar of {name} does not count its API requests")
    folders = [containers.PROC / str(pid) for pid in running[uid]]
    try:
        memory = [parse_memory((folder / "smaps_rollup").read_text()) for folder in folders]
        stats = [(folder / "stat").read_text() for folder in folders]
    except OSError as error:
        raise NotMeasuredError(f"the sidecar of {name} has just ended") from error
    return Look(
        role=pod["metadata"]["labels"].get(contract.DEFAULT_ROLE_LABEL, ""),
        pid=max(running[uid]),
        looked_at=time.monotonic(),
        cpu=sum(parse_cpu(stat, os.sysconf("SC_CLK_TCK")) for stat in stats),
        pss=sum(pss for pss, _ in memory),
        rss=sum(rss for _, rss in memory),
        requests=requests,
    )


if __name__ == "__main__":
    sys.exit(main())
