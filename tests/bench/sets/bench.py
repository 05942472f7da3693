"""One run: sets that come, what they cost at rest, and the node of all primaries killed."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from deploy.demo import manifests
from deploy.demo.stage import Stage as Cluster
from deploy.local import cluster, network, paths, processes
from deploy.local.layout import NODES
from sidecar import contract
from tests.bench import containers
from tests.bench.cost import NotMeasuredError, parse_busy, parse_cpu, parse_memory
from tests.bench.options import tell
from tests.bench.scale.api import Api, Json, admin_context
from tests.bench.sets import objects
from tests.bench.sets.result import (
    PROGRAMS,
    Acknowledged,
    Footprint,
    Look,
    Loss,
    Stage,
    gaps,
    parse_etcd_writes,
    parse_requests,
)

PATIENCE: Final = 900.0
SETTLE: Final = 20.0
"""Seconds before a rest begins."""
TRIES: Final = 5
KILLED: Final = NODES[-1]
CLIENTS_ON: Final = NODES[0]

_CORE: Final = f"/api/v1/namespaces/{objects.NAMESPACE}"
_LEASES: Final = f"/apis/coordination.k8s.io/v1/namespaces/{objects.NAMESPACE}/leases"
_SYSTEM_POD: Final = "PGSET_POD_NAME"


class Bench:
    """The local cluster, with pgset installed."""

    def __init__(self, stage: Cluster, seconds: float) -> None:
        self._stage, self._seconds = stage, seconds
        server = json.loads(paths.kubeconfig().read_text())["clusters"][0]["cluster"]["server"]
        address = urlsplit(server)
        self._api = Api(address.hostname or "", address.port or 443, admin_context())
        self._image = manifests.postgres_image(stage)
        self._password = secrets.token_hex(8)

    def begin(self) -> Stage:
        """Return what all takes without a set."""
        self.sweep()
        self._stage.apply(objects.shared(self._password))
        time.sleep(SETTLE)
        return self._at_rest(0, 0.0)

    def sweep(self) -> None:
        """Take all sets away."""
        self._stage.delete_namespace(objects.NAMESPACE)

    def grow(self, before: int, size: int) -> Stage:
        """Apply sets, all at once, until there are so many, and measure."""
        tell(f"{size} sets: {size - before} more at once")
        began = time.monotonic()
        names = [objects.name(it) for it in range(before, size)]
        self._stage.apply([it for name in names for it in objects.objects(name, self._image)])
        self._wait(lambda: self._lacking(size) == "", lambda: self._lacking(size))
        whole = time.monotonic() - began
        tell(f"  whole after {whole:.0f} s; now at rest for {self._seconds:.0f} s")
        time.sleep(SETTLE)
        return self._at_rest(size, whole)

    def lose_node(self, size: int) -> Loss:
        """Kill the node that has each set's primary, and start it again."""
        self._lead_there(size)
        names = [objects.name(it) for it in range(size)]
        with self._writers(names) as rows:
            self._wait(lambda: _all_stream(rows(), names, 0.0), lambda: "not all sets take rows")
            tell(f"  {KILLED.name} is killed: it has {size} primaries")
            killed, node = time.monotonic(), cluster.node(KILLED.name)
            try:
                node.stop()
                self._wait(
                    lambda: {it.set_name for it in rows() if it.at > killed + 1} == set(names),
                    lambda: "not all sets take rows again",
                )
                found = gaps(rows(), killed)
            finally:
                started = time.monotonic()
                node.start()
            self._wait(
                lambda: _all_stream(rows(), names, started), lambda: "not all members came back"
            )
            self._wait(lambda: self._lacking(size) == "", lambda: self._lacking(size))
            return Loss(size, list(found.values()), time.monotonic() - started)

    def _lead_there(self, size: int) -> None:
        """Ask each set whose primary is on another node for a switchover."""

        def elsewhere() -> list[Json]:
            return [
                it for it in self._pods()
                if it["spec"].get("nodeName") == KILLED.name and _role(it) != "primary"
            ]  # fmt: skip

        for pod in elsewhere():
            wish = {f"{contract.DOMAIN}/switchover-to": pod["metadata"]["name"]}
            path = f"{_LEASES}/{contract.lease_name(objects.set_of(pod))}"
            self._api.patch(path, {"metadata": {"annotations": wish}})
        self._wait(lambda: not elsewhere(), lambda: f"{len(elsewhere())} primaries elsewhere")
        self._wait(lambda: self._lacking(size) == "", lambda: self._lacking(size))

    @contextmanager
    def _writers(self, names: list[str]) -> Iterator[Callable[[], list[Acknowledged]]]:
        services = self._api.get(f"{_CORE}/services")["items"]
        addresses = {it["metadata"]["name"]: it["spec"]["clusterIP"] for it in services}
        targets = [f"{it}={addresses[contract.primary_service(it)]}" for it in names]
        with tempfile.TemporaryDirectory(prefix="pgset-bench-") as folder:
            log = Path(folder) / "rows.jsonl"
            log.touch()
            program = [sys.executable, "-m", "tests.bench.sets.writers", str(log), *targets]
            process = subprocess.Popen(
                [*network.enter(CLIENTS_ON.namespace), *program],
                cwd=paths.CHECKOUT,
                env={**os.environ, "PGPASSWORD": self._password},
            )
            try:
                yield lambda: [
                    Acknowledged(**json.loads(line))
                    for line in log.read_text().splitlines(keepends=True)
                    if line.endswith("\n")
                ]
            finally:
                process.terminate()
                process.wait()

    def _lacking(self, size: int) -> str:
        """Say what sets lack to be whole; "" where nothing."""
        pods = self._pods()
        ready = Counter((objects.set_of(it), _role(it)) for it in pods if _is_ready(it))
        wanted = {"primary": 1, "replica": objects.MEMBERS - 1}
        lacking = [
            name
            for name in map(objects.name, range(size))
            if any(ready[name, role] != many for role, many in wanted.items())
        ]
        return f"{len(lacking)} of {size} sets are not whole: {lacking[:5]}" if lacking else ""

    def _pods(self) -> list[Json]:
        found: list[Json] = self._api.get(f"{_CORE}/pods")["items"]
        return found

    def _at_rest(self, size: int, whole: float) -> Stage:
        for _ in range(TRIES):
            first, of_first = self._look()
            time.sleep(self._seconds)
            last, of_last = self._look()
            if of_first == of_last:
                return Stage(size, whole, first, last)
            tell("  a process was started anew meanwhile: that was no rest, once more")
        raise NotMeasuredError(f"there was no rest in {TRIES} tries")

    def _look(self) -> tuple[Look, Mapping[str, list[int]]]:
        pids = _pids()
        metrics = self._api.text("/metrics")
        ticks = os.sysconf("SC_CLK_TCK")
        busy, _ = parse_busy((containers.PROC / "stat").read_text())
        look = Look(
            at=time.monotonic(),
            programs={name: _footprint(found, ticks) for name, found in pids.items()},
            requests=parse_requests(metrics),
            etcd_writes=parse_etcd_writes(metrics),
            busy=busy / ticks,
        )
        return look, {name: sorted(it) for name, it in pids.items() if name != "postgres"}

    def _wait(self, condition: Callable[[], object], lacking: Callable[[], str]) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            # A busy API server refuses a question now and then.
            with suppress(NotMeasuredError):
                if condition():
                    return
            if time.monotonic() > deadline:
                raise NotMeasuredError(f"not within {PATIENCE:.0f} s: {lacking()}")
            time.sleep(0.5)


def _all_stream(rows: list[Acknowledged], names: list[str], since: float) -> bool:
    """Whether each set's newest row is of after then, and was sent to all replicas."""
    newest = {it.set_name: it for it in rows}
    return all(
        name in newest and newest[name].at > since and newest[name].streaming == objects.MEMBERS - 1
        for name in names
    )


def _role(pod: Json) -> str:
    return str(pod["metadata"]["labels"].get(contract.DEFAULT_ROLE_LABEL, ""))


def _is_ready(pod: Json) -> bool:
    conditions = pod["status"].get("conditions") or []
    return "deletionTimestamp" not in pod["metadata"] and any(
        it["type"] == "Ready" and it["status"] == "True" for it in conditions
    )


def _pids() -> dict[str, list[int]]:
    """Return the processes of each program."""
    found: dict[str, list[int]] = {it: [] for it in PROGRAMS}
    recorded = processes.alive(["api-server", "etcd"])
    found["kube-apiserver"] = [recorded["api-server"].pid]
    found["etcd"] = [recorded["etcd"].pid]
    for it in containers.running():
        pod = it.environment.get(_SYSTEM_POD, "")
        if pod.startswith("pgset-webhook"):
            found["webhook"].append(it.pid)
        elif pod.startswith("pgset-caretaker"):
            found["caretaker"].append(it.pid)
        elif "sidecar" in it.command and contract.ENV_POD_UID in it.environment:
            found["sidecars"].append(it.pid)
        elif it.command[0].partition(":")[0].rpartition("/")[2] == "postgres":
            found["postgres"].append(it.pid)
    return found


def _footprint(pids: list[int], ticks: int) -> Footprint:
    cpu = pss = 0.0
    for pid in pids:
        with suppress(OSError):  # it has just ended
            folder = containers.PROC / str(pid)
            cpu += parse_cpu((folder / "stat").read_text(), ticks)
            pss += parse_memory((folder / "smaps_rollup").read_text())[0] / 2**20
    return Footprint(cpu, pss)
