"""`make bench-hostile`: what clients that mean no good do to the servers of ours.

Each attack has a server of its own, and a process of its own to come from; with "nobody" the
machine is alone. Who asks honestly has an address of its own, as in a cluster. Meanwhile liveness
is asked ten times a second, and beside it what the server is there for: a review of the webhook, a
member's signed question of the sidecar. SECONDS=4: how long each goes on.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench.columns import aligned
from tests.bench.options import number, tell
from tests.support.honest import LATE, Target, liveness, seconds, work
from tests.support.hostile import ATTACKS
from tests.support.waiting import wait_until
from tests.webhook.gunicorn_server import serving

LIMIT: Final = {"sidecar": 128, "webhook": 256, "probes": 256}
"""MiB, as in `webhook.sidecar_container` and in `deploy/base/deployment.yaml`."""
_PAUSE: Final = 0.1
_TRIES: Final = 4


@dataclass
class Answers:
    """How long those who asked the same thing have waited."""

    took: list[float] = field(default_factory=list)
    """Seconds; inf where an answer did not come."""

    @property
    def missing(self) -> int:
        return self.took.count(float("inf"))

    def __str__(self) -> str:
        in_time = [it for it in self.took if it != float("inf")]
        slowest = f"{max(in_time) * 1000:.0f} ms" if in_time else "none"
        return f"{slowest}, {self.missing} of {len(self.took)} missing"


@dataclass(frozen=True)
class Outcome:
    server: str
    attack: str
    liveness: Answers
    work: Answers
    """While the attack goes on."""
    next: float
    """Seconds from its end until the work is done again; inf where it is not."""
    memory: float
    """MiB at the most, of all processes together; inf where one of them has ended."""


def main() -> int:
    """Return 0 where all was measured, whatever the numbers say."""
    parser = argparse.ArgumentParser(
        prog="make bench-hostile",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--seconds", default=os.environ.get("SECONDS") or "4")
    goes_on = number("SECONDS", parser.parse_args().seconds, 1, 600)
    outcomes = []
    for server, attacks in ATTACKS.items():
        for attack in attacks:
            tell(f"{server}: {attack}")
            outcomes.append(measure(server, attack, goes_on))
    print(table(outcomes))  # noqa: T201 - what the program is for
    return 0


def measure(server: str, attack: str, goes_on: float) -> Outcome:
    """Let the attack go on for so many seconds, and ask meanwhile."""
    asked: dict[Callable[[Target], None], Answers] = {liveness: Answers(), work: Answers()}
    with started(server) as (target, pids):
        wait_until(lambda: seconds(work, target) < LATE, f"an answer before the attack {attack}")
        forget_peaks(pids)
        # "probes" is the webhook's second port, where only its kubelet asks.
        attacked = target.of_probes() if server == "probes" else target
        command = [sys.executable, "-m", "tests.support.hostile", attack, attacked.encode()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as attacker:
            assert attacker.stdout is not None
            try:
                attacker.stdout.readline()
                end = time.monotonic() + goes_on
                while time.monotonic() < end:
                    for ask, answers in asked.items():
                        answers.took.append(seconds(ask, target))
                    time.sleep(_PAUSE)
                if attacker.poll() is not None:
                    raise RuntimeError(f"the attack {attack} ended by itself")
            finally:
                attacker.kill()
        after = seconds_until_served(target)
        memory = peak(pids)
    return Outcome(server, attack, asked[liveness], asked[work], after, memory)


def seconds_until_served(target: Target) -> float:
    """Ask again where no answer comes, as an API server and a member do."""
    began = time.monotonic()
    for _ in range(_TRIES):
        if seconds(work, target) != float("inf"):
            return time.monotonic() - began
    return float("inf")


@contextmanager
def started(server: str) -> Iterator[tuple[Target, Sequence[int]]]:
    """Start one of ours; give where it is, and the processes whose memory counts."""
    if server == "sidecar":
        command = [sys.executable, "-m", "tests.support.strain", "serve"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                port = int(process.stdout.readline())
                yield Target(port, tls=False, probes=port), [process.pid]
            finally:
                process.kill()
    else:
        with (
            tempfile.TemporaryDirectory(prefix="pgset-bench-") as folder,
            serving(Path(folder)) as webhook,
        ):
            pid = webhook.process.pid
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            target = Target(webhook.port, tls=True, probes=webhook.probes)
            yield target, [pid, *map(int, children)]


def forget_peaks(pids: Sequence[int]) -> None:
    """Let `peak` count from now (proc_pid_clear_refs(5)): to start takes more than to serve."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak(pids: Sequence[int]) -> float:
    """Return what they held at the most, in MiB; inf where one has ended.

    A webhook's master goes on as it has started: of it counts what its worker does not share.
    """
    first, *parents = reversed(pids)
    try:
        held = _kilobytes(Path(f"/proc/{first}/status").read_text(), "VmHWM")
        for pid in parents:
            shared = Path(f"/proc/{pid}/smaps_rollup").read_text()
            held += _kilobytes(shared, "Private_Clean") + _kilobytes(shared, "Private_Dirty")
    except (OSError, IndexError):
        return float("inf")
    return held / 1024


def _kilobytes(said: str, name: str) -> int:
    return int(said.partition(f"{name}:")[2].split()[0])


def table(outcomes: list[Outcome]) -> str:
    """Return one line for each."""
    rows = [
        [
            "server",
            "attack",
            "slowest liveness",
            "slowest work",
            "memory, half the limit",
            "next served",
        ]
    ]
    for it in outcomes:
        half = LIMIT[it.server] / 2
        memory = "has ended" if it.memory == float("inf") else f"{it.memory:.0f} of {half:.0f} MiB"
        served = "NOT SERVED" if it.next == float("inf") else f"{it.next * 1000:.0f} ms"
        rows.append([it.server, it.attack, str(it.liveness), str(it.work), memory, served])
    return aligned(rows, words=(0, 1))


if __name__ == "__main__":
    sys.exit(main())
