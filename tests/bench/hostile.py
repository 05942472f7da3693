"""`make bench-hostile`: what clients that mean no good do to the servers of ours.

Each attack has a server of its own, and a process of its own to come from. Meanwhile liveness is
asked ten times a second. SECONDS=4: how long each goes on.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.columns import aligned
from tests.bench.options import number, tell
from tests.support.hostile import ATTACKS, Target, ask
from tests.webhook.gunicorn_server import serving

PROBE: Final = {"sidecar": "/liveness", "webhook": "/livez"}
LIMIT: Final = {"sidecar": 128, "webhook": 256}
"""MiB, as in `webhook.sidecar_container` and in `deploy/base/deployment.yaml`."""
LATE: Final = 5.0
"""Seconds after which an answer counts as missing."""
_PAUSE: Final = 0.1


@dataclass(frozen=True)
class Outcome:
    server: str
    attack: str
    slowest: float
    """Seconds; inf where an answer did not come."""
    missing: int
    asked: int
    memory: float
    """MiB at the most, as seen at each probe."""
    next_served: bool


def main() -> int:
    """Return 0 where all was measured, whatever the numbers say."""
    parser = argparse.ArgumentParser(
        prog="make bench-hostile",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--seconds", default=os.environ.get("SECONDS") or "4")
    seconds = number("SECONDS", parser.parse_args().seconds, 1, 600)
    outcomes = []
    for server in PROBE:
        for attack in ATTACKS:
            tell(f"{server}: {attack}")
            outcomes.append(measure(server, attack, seconds))
    print(table(outcomes))  # noqa: T201 - what the program is for
    return 0


def measure(server: str, attack: str, seconds: float) -> Outcome:
    """Let the attack go on for so long, and ask meanwhile."""
    with started(server) as (target, pid):
        command = [sys.executable, "-m", "tests.support.hostile", attack, target.encode()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as attacker:
            assert attacker.stdout is not None
            attacker.stdout.readline()
            took, memory = [], 0.0
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                took.append(ask(target, PROBE[server], LATE))
                memory = max(memory, memory_of(pid))
                time.sleep(_PAUSE)
            attacker.kill()
        served = ask(target, PROBE[server], LATE) < LATE
    missing = sum(it == float("inf") for it in took)
    return Outcome(server, attack, max(took), missing, len(took), memory, served)


@contextmanager
def started(server: str) -> Iterator[tuple[Target, int]]:
    """Start one of ours; give where it is, and the process whose memory counts."""
    if server == "sidecar":
        command = [sys.executable, "-m", "tests.support.strain", "serve"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            yield Target(int(process.stdout.readline()), tls=False), process.pid
            process.kill()
    else:
        with (
            tempfile.TemporaryDirectory(prefix="pgset-bench-") as folder,
            serving(Path(folder)) as webhook,
        ):
            pid = webhook.process.pid
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            yield Target(webhook.port, tls=True), int(children[0])


def memory_of(pid: int) -> float:
    """Return what it holds, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def table(outcomes: list[Outcome]) -> str:
    """Return one line for each."""
    rows = [["server", "attack", "slowest liveness", "no answer", "memory", "limit", "next served"]]
    for it in outcomes:
        slowest = "none" if it.slowest == float("inf") else f"{it.slowest * 1000:.0f} ms"
        rows.append(
            [
                *(it.server, it.attack, slowest, f"{it.missing} of {it.asked}"),
                *(f"{it.memory:.0f} MiB", f"{LIMIT[it.server]} MiB"),
                "yes" if it.next_served else "NO",
            ]
        )
    return aligned(rows, words=(0, 1))


if __name__ == "__main__":
    sys.exit(main())
