"""`make bench-pods`: how much longer pods of sets take to be created, through a real API server.

PODS=500         pods of opted-in sets, as many that are plain, and as many with a member's
                 containers in their manifest, created at once
CONNECTIONS=8    how many clients create them; thrice PODS, and all are under way at once
ROUNDS=3         rounds, whose answers are told together
SEED=0           of the order in which the kinds come

The clients are the cluster's admin, whom API priority and fairness neither queues nor refuses.
"""

import argparse
import functools
import http.client
import os
import resource
import ssl
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.demo.play import local_cluster
from deploy.demo.stage import Stage, StepFailedError
from deploy.local import cgroups, pki, processes
from deploy.local.errors import LocalClusterError
from deploy.local.forwarder import enter_network_namespace
from deploy.local.layout import API_PORT, CONTROL_PLANE_ADDRESS, CONTROL_PLANE_NAMESPACE
from deploy.local.network import namespace_path
from tests.bench import subject
from tests.bench.cost import NotMeasuredError
from tests.bench.machine import Look, look, others_share
from tests.bench.options import number, tell
from tests.bench.pods.creations import creations
from tests.bench.pods.load import create
from tests.bench.pods.result import Answer, added, faults, table, verdict
from tests.chaos.subject import install

PATH: Final = f"/api/v1/namespaces/{subject.NAMESPACE}/pods"
SECONDS: Final = 60.0
"""What an answer may take: the API server itself gives up then."""

_OTHER_FILES: Final = 100
"""What this program has open beside its connections, and more."""


@dataclass(frozen=True)
class Options:
    """What is measured, and how."""

    pods: int
    connections: int
    rounds: int
    seed: int


@dataclass(frozen=True)
class Measured:
    """What came of it."""

    answers: list[Answer]
    others: float
    """The share of the machine that other programs had meanwhile, of all its cores."""


def main() -> int:
    """Return 0 when all was measured, whatever the numbers say."""
    parser = argparse.ArgumentParser(
        prog="make bench-pods", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name, default in (("pods", 500), ("connections", 8), ("rounds", 3), ("seed", 0)):
        parser.add_argument(f"--{name}", default=os.environ.get(name.upper()) or str(default))
    chosen = parser.parse_args()
    try:
        options = Options(
            pods=number("PODS", chosen.pods, 2, 2000),
            connections=number("CONNECTIONS", chosen.connections, 1, 4000),
            rounds=number("ROUNDS", chosen.rounds, 1, 100),
            seed=number("SEED", chosen.seed, 0, 10**9),
        )
        allow_files(options.connections)
        with tempfile.TemporaryDirectory(prefix="pgset-bench-") as workspace:
            stage = local_cluster(Path(workspace))
            install(stage)
            measured = measure(stage, options)
        told = f"{table(measured.answers)}\n\n{verdict(measured.answers)}"
    except (LocalClusterError, StepFailedError, NotMeasuredError) as error:
        tell(f"make bench-pods: {error}")
        return 1
    print(told)  # noqa: T201 - what the program is for
    for line in faults(measured.answers):
        tell(line)
    tell(f"other programs kept the machine {measured.others:.0%} busy meanwhile")
    return 0


def allow_files(connections: int) -> None:
    """Let this process open so many connections; NotMeasuredError where it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _OTHER_FILES
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise NotMeasuredError(
            f"CONNECTIONS is {connections}, and a process may open {hard} files here; "
            f"allowed: at most {hard - _OTHER_FILES}, or raise the limit (ulimit -Hn)"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def measure(stage: Stage, options: Options) -> Measured:
    """Return the answers of all rounds, each in a namespace of its own; pgset is installed.

    Raises NotMeasuredError where the API server can't be reached, or created next to nothing.
    """
    answers: list[Answer] = []
    looks: list[tuple[Look, Look]] = []
    for index in range(options.rounds):
        try:
            _make_namespace(stage)
            first = look(_cluster())
            found = _create(options, options.seed + index)
            last = look(_cluster())
        finally:
            subject.sweep(stage)
        answers += found
        looks.append((first, last))
        tell(
            f"round {index + 1} of {options.rounds}: {len(found)} pods in "
            f"{last.at - first.at:.1f} s, {added(found):.2f} ms added"
        )
    return Measured(answers, others_share(looks, os.cpu_count() or 1))


def _make_namespace(stage: Stage) -> None:
    subject.sweep(stage)
    namespace = subject.NAMESPACE
    account = {"name": "pgset-sa", "namespace": namespace}
    stage.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
        ]
    )


def _create(options: Options, seed: int) -> list[Answer]:
    context = ssl.create_default_context(cafile=str(pki.certificate("ca")))
    context.load_cert_chain(pki.certificate("admin"), pki.key("admin"))
    # Not through the loopback port of the host: what forwards there would be measured, too.
    enter = functools.partial(enter_network_namespace, namespace_path(CONTROL_PLANE_NAMESPACE))
    pods = creations(options.pods, seed)
    try:
        return create(PATH, pods, options.connections, lambda: _connect(context), enter)
    except OSError as error:
        raise NotMeasuredError(f"the API server can't be reached: {error}") from error


def _connect(context: ssl.SSLContext) -> http.client.HTTPSConnection:
    connection = http.client.HTTPSConnection(
        CONTROL_PLANE_ADDRESS, API_PORT, context=context, timeout=SECONDS
    )
    connection.connect()
    return connection


def _cluster() -> set[int]:
    """Return the pids of the cluster, whose work is part of what is measured."""
    return cgroups.pids() | {record.pid for record in processes.alive().values()}


if __name__ == "__main__":
    sys.exit(main())
