"""`make adopt`: StatefulSets as charts and blogs write them become sets, and plain again.

KIND=groundhog   one kind, or several with commas; without it all
ROWS=1000000     rows that are there before
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

from deploy.demo.play import local_cluster
from deploy.demo.stage import StepFailedError
from deploy.local import paths
from tests.adopt import report
from tests.adopt.kinds import KINDS
from tests.adopt.play import Play, Played
from tests.chaos import subject
from tests.chaos.options import choice, number, run, show, tell


def main() -> int:
    """Return 0 when each kind went as it should."""
    parser = argparse.ArgumentParser(
        prog="make adopt", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kind", default=os.environ.get("KIND") or ",".join(KINDS))
    parser.add_argument("--rows", default=os.environ.get("ROWS") or "1000000")
    chosen = parser.parse_args()
    return run(
        "adopt", lambda workspace: _play(chosen, workspace), "what is left goes with the next run"
    )


def _play(chosen: argparse.Namespace, workspace: Path) -> int:
    names = [choice("KIND", it.strip(), [*KINDS]) for it in chosen.kind.split(",")]
    rows = number("ROWS", chosen.rows, 1, 10**9)
    stage = local_cluster(workspace)
    subject.install(stage)
    folder = paths.state() / "adopt"
    shutil.rmtree(folder, ignore_errors=True)
    played: list[Played] = []
    broken: list[str] = []
    try:
        for name in names:
            try:
                played.append(Play(stage, KINDS[name], rows, folder / name).play(tell))
            except StepFailedError as error:
                broken.append(str(error))
    finally:
        show(report.table(played))
    broken += [
        f"{it.kind.name}: {sentence}" for it in played for sentence in report.breaches(it, rows)
    ]
    for sentence in broken:
        tell(sentence)
    # Times of a busy machine are to be read beside each other alone.
    tell(f"Load of the last quarter of an hour: {os.getloadavg()[2]:.0f} on {os.cpu_count()} cores")
    tell(f"What the clients noted: {folder}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
