"""The thread that keeps the LeaseCache: in each round a list, then a watch of half a minute.

Every round begins with a list. So an expired resource version (410), an event that was lost and a
connection that died silently are all healed by the next round, without code of their own.
"""

import logging
import threading
import time
from collections.abc import Callable
from random import Random
from typing import Final

from sidecar import contract
from webhook.api_server import ApiServer
from webhook.json_patch import Json
from webhook.lease_cache import LeaseCache, LeaseKey

LEASES: Final = "/apis/coordination.k8s.io/v1/leases"

WATCH_SECONDS: Final = 30
"""How long the API server keeps a watch open; well under `lease_cache.STALE_AFTER`."""

MAX_BACK_OFF: Final = 30.0

_chance: Final = Random()  # noqa: S311 - spreads load

_log = logging.getLogger(__name__)


class LeaseWatch:
    """Follows the Leases that carry `pgset.dev/set`, in all namespaces."""

    def __init__(
        self,
        api: ApiServer,
        cache: LeaseCache,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Fill `cache` from `api`; `sleep` is what waits after an error."""
        self._api = api
        self._cache = cache
        self._sleep = sleep

    def start(self) -> None:
        """Follow the Leases in a thread that ends with the process."""
        threading.Thread(target=self._run, name="lease-watch", daemon=True).start()

    def _run(self) -> None:
        back_off = 1.0
        while True:
            try:
                self.follow()
                back_off = 1.0
            # Whatever it was: the cache says UNKNOWN meanwhile, which is safe, and would say so for
            # ever if this thread ended.
            except Exception as error:
                _log.warning("cannot watch the Leases: %s", error)
                self._sleep(back_off * _chance.uniform(0.5, 1.0))
                back_off = min(back_off * 2, MAX_BACK_OFF)

    def follow(self) -> None:
        """Do one round. Raises ApiError if the API server or the connection to it fails."""
        query = {"labelSelector": contract.SET_LABEL}
        leases = self._api.get(LEASES, query)
        self._cache.replace(_key(lease) for lease in leases["items"])
        seen = {"resourceVersion": leases["metadata"]["resourceVersion"]}
        for event in self._api.watch(LEASES, {**query, **seen}, WATCH_SECONDS):
            self._take(event)
        self._cache.confirm()

    def _take(self, event: Json) -> None:
        if event["type"] in ("ADDED", "MODIFIED"):
            self._cache.add(_key(event["object"]))
        elif event["type"] == "DELETED":
            self._cache.discard(_key(event["object"]))


def _key(lease: Json) -> LeaseKey:
    return lease["metadata"]["namespace"], lease["metadata"]["name"]
