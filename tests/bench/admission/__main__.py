"""`make bench-admission`: our webhook under load, beside a minimal one in Go.

ROUNDS=3    rounds, of which the medians are told
SECONDS=5   how long each server gets each load in a round
REVIEWS=0   where it isn't 0: only ours, and what memory it has over so many reviews
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from certs.authority import service_names
from certs.renewal import renewed
from deploy.local import paths, programs
from deploy.local.errors import LocalClusterError
from tests.bench.admission import request, servers
from tests.bench.admission.result import (
    CONNECTIONS,
    OURS,
    Footprint,
    Load,
    Round,
    footprints,
    median,
    parse_load,
    ratios,
    table,
)
from tests.bench.cost import NotMeasuredError
from tests.bench.machine import look, others_share
from tests.bench.options import number, tell
from tests.webhook import lease_server, mounted
from webhook.api_server import TOKEN_FILE

GO: Final = programs.GoModule(
    "admission", ("./load", "./webhook"), parent=paths.CHECKOUT / "tests/bench"
)
WARM_UP: Final = 0.5
"""Seconds before the first load; both runtimes grow their memory then."""


def main() -> int:
    """Return 0 when all was measured, whatever the numbers say."""
    parser = argparse.ArgumentParser(
        prog="make bench-admission",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--rounds", default=os.environ.get("ROUNDS") or "3")
    parser.add_argument("--seconds", default=os.environ.get("SECONDS") or "5")
    parser.add_argument("--reviews", default=os.environ.get("REVIEWS") or "0")
    chosen = parser.parse_args()
    try:
        rounds = number("ROUNDS", chosen.rounds, 1, 3600)
        seconds = number("SECONDS", chosen.seconds, 1, 3600)
        reviews = number("REVIEWS", chosen.reviews, 0, 10**9)
        first = look()
        told = footprint(reviews, seconds) if reviews else comparison(rounds, seconds)
        share = others_share([(first, look())], os.cpu_count() or 1)
    except (LocalClusterError, NotMeasuredError) as error:
        tell(f"make bench-admission: {error}")
        return 1
    print(told)  # noqa: T201 - what the program is for
    tell(f"other programs kept the machine {share:.0%} busy meanwhile")
    return 0


def comparison(rounds: int, seconds: float) -> str:
    """Return the table of all servers, and the ratios."""
    medians = measure(rounds, seconds)
    return f"{table(medians)}\n\n{ratios(medians)}"


def measure(rounds: int, seconds: float) -> Mapping[str, Round]:
    """Return the medians of each server, by name; `seconds` is what each load takes."""
    with _prepared(seconds) as (bench, compared):
        found: dict[str, list[Round]] = {name: [] for name in compared}
        for index in range(1, rounds + 1):
            for name, subject in compared.items():
                tell(f"round {index} of {rounds}: {name}")
                found[name].append(bench.round(subject))
    return {name: median(measured) for name, measured in found.items()}


def footprint(reviews: int, seconds: float) -> str:
    """Return the memory of our server after each load until it has answered so many reviews."""
    with _prepared(seconds) as (bench, compared):
        return footprints(bench.footprints(compared[OURS], reviews))


@contextmanager
def _prepared(seconds: float) -> Iterator[tuple["_Bench", Mapping[str, servers.Subject]]]:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise NotMeasuredError("one core is not enough; needed: one for the server, one for load")
    built = programs.build(GO)
    leases = lease_server.LeaseServer()
    with (
        tempfile.TemporaryDirectory(prefix="pgset-bench-") as folder,
        lease_server.serving(leases),
    ):
        bench = _Bench(Path(folder), built / "load", cores[0], cores[-1], seconds)
        yield bench, servers.subjects(bench.folder, built / "webhook", leases.url)


class _Bench:
    """The folder with the certificate and the request, and where what runs."""

    def __init__(
        self, folder: Path, load_generator: Path, core: int, client_core: int, seconds: float
    ):
        trust, _ = renewed(None, service_names("pgset-webhook", "pgset-system"), datetime.now(UTC))
        mounted.write(folder, trust)
        (folder / TOKEN_FILE).write_text("a token")
        self.authority = folder / mounted.AUTHORITY_FILE
        request.write(folder)
        self.folder = folder
        self._load_generator = load_generator
        self._core = core
        self._client_core = client_core
        self._seconds = seconds

    def round(self, subject: servers.Subject) -> Round:
        """Start the server, measure it under each load, and end it."""
        log = self.folder / "server.log"
        with servers.serving(subject, self._core, self.authority, log) as server:
            self._load(server, CONNECTIONS[-1], WARM_UP)
            cpu = server.cpu()
            loads = {it: self._load(server, it, self._seconds) for it in CONNECTIONS}
            cpu = server.cpu() - cpu
            answered = sum(it.answered for it in loads.values())
            pss, _ = server.memory()
            return Round(loads, cpu / answered * 1e6, pss)

    def footprints(self, subject: servers.Subject, reviews: int) -> Iterator[Footprint]:
        """Start the server, and look at its memory after each load with some connections."""
        log, answered = self.folder / "server.log", 0.0
        with servers.serving(subject, self._core, self.authority, log) as server:
            self._load(server, CONNECTIONS[-1], WARM_UP)
            while answered < reviews:
                answered += self._load(server, CONNECTIONS[1], self._seconds).answered
                yield Footprint(answered, *server.memory())

    def _load(self, server: servers.Server, connections: int, seconds: float) -> Load:
        command: Sequence[str | Path] = [
            *("taskset", "--cpu-list", str(self._client_core), self._load_generator),
            *("-url", server.url, "-ca", self.authority, "-name", servers.NAME),
            *("-body", self.folder / request.REVIEW),
            *("-connections", str(connections), "-seconds", str(seconds)),
        ]
        return parse_load(
            subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()
        )


if __name__ == "__main__":
    sys.exit(main())
