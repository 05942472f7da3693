"""What stands in for kubelets and sidecars.

It tells of each new member that it is ready, and renews the sets' Leases as their holders do.
"""

import http.client
import queue
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final

from sidecar import contract
from tests.bench.cost import NotMeasuredError
from tests.bench.scale.api import Api, Json
from tests.bench.scale.sets import Set, ready

_WRITERS: Final = 4
_RENEWERS: Final = 4


class Members:
    """All members of all sets; threads that end with this program."""

    def __init__(self, api: Api) -> None:
        """Begin at once."""
        self._api = api
        self._new: queue.SimpleQueue[Json] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.ready = 0
        """How many are."""
        self.faults: list[str] = []
        for run in (self._follow, *[self._write] * _WRITERS):
            threading.Thread(target=run, daemon=True).start()

    def _follow(self) -> None:
        seen: set[str] = set()
        # It also begins anew where the API server had nothing to watch yet, or ends a watch.
        while True:
            try:
                for pod in self._api.watch(f"/api/v1/pods?labelSelector={contract.SET_LABEL}"):
                    if pod["uid"] not in seen:
                        seen.add(pod["uid"])
                        self._new.put(pod)
            except (NotMeasuredError, OSError, http.client.HTTPException):
                pass
            time.sleep(0.1)

    def _write(self) -> None:
        while True:
            pod = self._new.get()
            namespace, name = pod["namespace"], pod["name"]
            change = ready(pod["labels"][contract.SET_LABEL], name)
            try:
                self._api.patch(f"/api/v1/namespaces/{namespace}/pods/{name}/status", change)
            except NotMeasuredError as error:
                self.faults.append(str(error))
            with self._lock:
                self.ready += 1


def renew(api: Api, sets: Iterable[Set], interval: float, seconds: float) -> int:
    """Renew each set's Lease every `interval` seconds for so long; return how many writes.

    Spread evenly, as holders that began at different times do. Fewer than wanted are written where
    the API server is slower.
    """
    known = [_lease(api, it) for it in sets]
    began = time.monotonic()

    def of_one(renewer: int) -> int:
        mine, done = known[renewer::_RENEWERS], 0
        while mine:
            for index, (path, lease) in enumerate(mine):
                due = began + (done + 0.5) * interval / len(mine)
                if due > began + seconds:
                    return done
                time.sleep(max(0.0, due - time.monotonic()))
                if time.monotonic() > began + seconds:
                    return done
                lease["spec"]["renewTime"] = datetime.now(UTC).isoformat(timespec="microseconds")
                mine[index] = path, api.replace(path, lease)
                done += 1
        return done

    with ThreadPoolExecutor(_RENEWERS) as pool:
        return sum(pool.map(of_one, range(_RENEWERS)))


def _lease(api: Api, it: Set) -> tuple[str, Json]:
    folder = it.path("leases", "/apis/coordination.k8s.io/v1")
    path = f"{folder}/{contract.lease_name(it.name)}"
    return path, api.get(path)
