"""One run: our two processes beside a control plane, sets that come, and what is looked at."""

import http.client
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from sidecar import contract
from sidecar.settings import Settings
from tests.bench.admission.servers import Server
from tests.bench.cost import NotMeasuredError
from tests.bench.options import tell
from tests.bench.pods.creations import Kind, creations
from tests.bench.pods.load import create
from tests.bench.pods.result import faults
from tests.bench.scale.control_plane import OURS, ControlPlane
from tests.bench.scale.members import Members, renew
from tests.bench.scale.ours import Ours
from tests.bench.scale.result import Asked, Footprint, Renewals, Rest, Stage, asked
from tests.bench.scale.sets import MEMBERS, Set, plain_pod, sets
from tests.support.database import free_port
from webhook.caretaker.facts import CARETAKER, MADE_BY

CLIENTS: Final = 8
PATIENCE: Final = 3600.0
SETTLE: Final = 5.0
"""Seconds before a rest begins."""

_NAMESPACES: Final = "/api/v1/namespaces"
_ADMITTED: Final = "admitted"
"""The namespace of the pods that are not stored."""
_OTHERS: Final = "others"
_MADE: Final = {
    "services": "/api/v1",
    "serviceaccounts": "/api/v1",
    "poddisruptionbudgets": "/apis/policy/v1",
    "networkpolicies": "/apis/networking.k8s.io/v1",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
}
"""What the caretaker makes, and where."""


@dataclass(frozen=True)
class Options:
    """What is measured, and how; as `__main__` says it."""

    sets: int
    pods: int
    in_namespace: int
    seconds: int
    renewed: int
    admissions: int
    renewed_seconds: float = 30.0
    """How long Leases are renewed."""


class Bench:
    """Ours run beside the control plane for as long as this is open."""

    def __init__(self, plane: ControlPlane, folder: Path, options: Options) -> None:
        self._plane, self._api, self._options = plane, plane.api, options
        self._ours = Ours(plane, folder, free_port(), free_port())

    def __enter__(self) -> Self:
        """Install, and start both."""
        self._members = Members(self._api)
        self._ours.install()
        self._installed = self._budgets()
        self._start_webhook()
        self._start_caretaker()
        self._api.create(_NAMESPACES, {"metadata": {"name": _ADMITTED}})
        account = {"metadata": {"name": "pgset-sa"}}
        self._api.create(f"{_NAMESPACES}/{_ADMITTED}/serviceaccounts", account)
        return self

    def __exit__(self, *_: object) -> None:
        """End both."""
        for it in (self._running_webhook, self._running_caretaker):
            it.__exit__(None, None, None)

    def grown(self, before: int, size: int) -> Stage:
        """Make sets until there are so many, and measure."""
        tell(f"{size} sets: {size - before} more")
        began = time.monotonic()
        self._add(list(sets(before, size - 1, self._options.in_namespace)), size - 1)
        whole = time.monotonic() - began
        return self._measured(size, size * MEMBERS, whole, self._served(size - 1))

    def beside_others(self) -> Stage:
        """Make pods of no set until there are so many in all, and measure."""
        size, pods = self._options.sets, self._options.pods
        others = pods - size * MEMBERS
        tell(f"{pods} pods: {others} more, of no set")
        self._make_namespace(_OTHERS)
        path = f"{_NAMESPACES}/{_OTHERS}/pods"
        began = time.monotonic()
        self._all(lambda it: self._api.create(path, plain_pod(it)), range(others))
        whole = time.monotonic() - began
        return self._measured(size + 1, pods + MEMBERS, whole, self._served(size))

    def _measured(self, size: int, pods: int, whole: float, served: float) -> Stage:
        tell(f"  whole after {whole:.1f} s; now at rest for {self._options.seconds} s")
        rest = self._rest(lambda: time.sleep(self._options.seconds))
        tell("  Leases are renewed, pods admitted, ours started anew")
        renewals = self._renewals(size)
        worked = self._webhook.cpu()
        admissions, admitted_in = self._admissions()
        admission_cpu = (self._webhook.cpu() - worked) / len(admissions) * 1000
        peak = self._caretaker.peak()
        return Stage(
            sets=size,
            pods=pods,
            whole=whole,
            served=served,
            admissions=admissions,
            admitted_in=admitted_in,
            admission_cpu=admission_cpu,
            rest=rest,
            renewals=renewals,
            caretaker_peak=peak,
            webhook_ready=self._restarted_webhook(),
            caretaker_done=self._restarted_caretaker(),
            objects=self._objects(),
        )

    # ── What comes ────────────────────────────────────────────────────────────────────────

    def _make_namespace(self, name: str) -> None:
        self._api.create(_NAMESPACES, {"metadata": {"name": name}})
        path = f"{_NAMESPACES}/{name}/serviceaccounts/default"
        self._wait(lambda: self._api.status(path) == http.HTTPStatus.OK, f"{name} has its account")

    def _add(self, added: list[Set], size: int) -> None:
        """Make sets; return when all there are, so many, have all they need."""
        for it in sorted({it.namespace for it in added}):
            if self._api.status(f"{_NAMESPACES}/{it}") == http.HTTPStatus.NOT_FOUND:
                self._make_namespace(it)
        self._all(self._make, added)
        self._wait(lambda: self._members.ready >= size * MEMBERS, "all pods are there")
        self._all(self._lead, added)
        self._wait(
            lambda: self._budgets() - self._installed >= size,
            "the caretaker has made all that sets need",
        )

    def _make(self, it: Set) -> None:
        self._api.create(it.path("services"), it.governing_service())
        self._api.create(it.path("statefulsets", "/apis/apps/v1"), it.statefulset())

    def _lead(self, it: Set) -> None:
        self._api.create(it.path("leases", "/apis/coordination.k8s.io/v1"), it.lease())

    def _served(self, number: int) -> float:
        """Add one set alone, of that number; return the seconds in which it got its Services."""
        added = Set(number, self._options.in_namespace)
        path = f"{added.path('services')}/{contract.replica_service(added.name)}"
        times: list[float] = []

        def watch() -> None:
            began = time.monotonic()
            self._wait(lambda: self._api.status(path) == http.HTTPStatus.OK, "Services")
            times.append(time.monotonic() - began)

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(watch)
            self._add([added], number + 1)
            done.result()
        return times[0]

    # ── What is measured ──────────────────────────────────────────────────────────────────

    def _rest(self, during: Callable[[], object]) -> Rest:
        time.sleep(SETTLE)
        began, first = time.time(), self._footprints()
        during()
        ended, last = time.time(), self._footprints()
        return Rest(ended - began, first, last, _counted(self._asked(began, ended)))

    def _renewals(self, size: int) -> Renewals:
        interval = Settings(set_name="any").renew_interval
        renewed = list(sets(0, min(size, self._options.renewed), self._options.in_namespace))
        writes = 0

        def run() -> None:
            nonlocal writes
            writes = renew(self._api, renewed, interval, self._options.renewed_seconds)

        rest = self._rest(run)
        return Renewals(writes, rest)

    def _admissions(self) -> tuple[list[float], float]:
        pods = [it for it in creations(self._options.admissions, 0) if it.kind is Kind.OPTED_IN]
        path = f"{_NAMESPACES}/{_ADMITTED}/pods?dryRun=All"
        began = time.monotonic()
        answers = create(path, pods, CLIENTS, self._api.connect)
        seconds = time.monotonic() - began
        if found := faults(answers):
            raise NotMeasuredError("; ".join(found))
        return [it.milliseconds for it in answers], seconds

    def _restarted_webhook(self) -> float:
        self._running_webhook.__exit__(None, None, None)
        began = time.monotonic()
        self._start_webhook()
        return time.monotonic() - began

    def _restarted_caretaker(self) -> float:
        self._running_caretaker.__exit__(None, None, None)
        began = time.time()
        return self._start_caretaker() - began

    def _start_webhook(self) -> None:
        self._running_webhook: AbstractContextManager[Server] = self._ours.webhook()
        self._webhook = self._running_webhook.__enter__()
        known = "pgset_leases_known 1.0"
        self._wait(lambda: known in self._ours.webhook_metrics(), "the webhook knows the Leases")

    def _start_caretaker(self) -> float:
        """Return when it had looked at all there is, and began to watch."""
        began, noted = time.time(), self._plane.audit_log.stat().st_size
        self._running_caretaker: AbstractContextManager[Server] = self._ours.caretaker()
        self._caretaker = self._running_caretaker.__enter__()

        def watches() -> list[Asked]:
            return [
                it
                for it in self._asked(began, time.time(), noted)
                if (it.who, it.verb) == (OURS["caretaker"], "watch")
            ]

        self._wait(watches, "the caretaker has looked at all sets")
        return watches()[0].at

    def _asked(self, since: float, until: float, noted: int = 0) -> list[Asked]:
        """Return the requests of a time; the first `noted` bytes of the log are of before."""
        with self._plane.audit_log.open() as log:
            log.seek(noted)
            # The last one may be half written.
            whole = (it for it in log if it.endswith("\n"))
            return [it for it in asked(whole) if since <= it.at < until]

    def _footprints(self) -> dict[str, Footprint]:
        found = {it: Server("", pid) for it, pid in self._plane.pids.items()}
        found |= {"webhook": self._webhook, "caretaker": self._caretaker}
        return {name: Footprint(it.cpu(), it.memory()[0]) for name, it in found.items()}

    def _objects(self) -> dict[str, int]:
        ours = f"labelSelector={MADE_BY}={CARETAKER}"
        return {
            resource: len(self._api.get(f"{api}/{resource}?{ours}")["items"])
            for resource, api in _MADE.items()
        }

    def _budgets(self) -> int:
        return self._api.count(f"{_MADE['poddisruptionbudgets']}/poddisruptionbudgets")

    # ── Means ─────────────────────────────────────────────────────────────────────────────

    def _all(self, do: Callable[[Any], object], things: Iterable[Any]) -> None:
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(do, things))

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if self._members.faults:
                raise NotMeasuredError("; ".join(self._members.faults[:3]))
            if time.monotonic() > deadline:
                raise NotMeasuredError(f"not within {PATIENCE:.0f} s: {what}")
            time.sleep(0.1)


def _counted(requests: Iterable[Asked]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {it: Counter() for it in OURS}
    names = {account: name for name, account in OURS.items()}
    for it in requests:
        scope = " everywhere" if it.everywhere else ""
        found[names[it.who]][f"{it.verb} {it.resource}{scope}"] += 1
    return found
