"""The thread that keeps the LeaseCache: in each round a list, then a watch of half a minute.

Every round lists anew. So an expired resource version (410), an event that was lost and a
connection that died in silence all heal in the next round, without a case of their own.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from kubernetes import client, watch

from sidecar import contract
from webhook.lease_cache import LeaseCache, LeaseKey

WATCH_SECONDS: Final = 30
"""How long the API server keeps a watch open; well under `lease_cache.STALE_AFTER`."""

LIST_TIMEOUT: Final = (3.0, 10.0)
WATCH_TIMEOUT: Final = (3.0, WATCH_SECONDS + 5.0)
"""To connect and to read, in seconds."""

MAX_BACK_OFF: Final = 30.0

_log = logging.getLogger(__name__)


class LeaseWatch:
    """Follows the Leases that carry `pgset.dev/set`, in all namespaces."""

    def __init__(
        self,
        api: client.CoordinationV1Api,
        cache: LeaseCache,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Make a client only after gunicorn's fork: its connections don't survive one."""
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
            # Whatever it was: the cache says UNKNOWN meanwhile, which is safe, and a thread
            # that has ended would leave it so.
            except Exception as error:
                _log.warning("the Leases can't be followed: %s", error)
                self._sleep(back_off * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load
                back_off = min(back_off * 2, MAX_BACK_OFF)

    def follow(self) -> None:
        """Do one round; raises what the API server or the connection to it raised."""
        leases = self._api.list_lease_for_all_namespaces(
            label_selector=contract.SET_LABEL, _request_timeout=LIST_TIMEOUT
        )
        self._cache.replace(_key(lease) for lease in leases.items)
        events = watch.Watch().stream(
            self._api.list_lease_for_all_namespaces,
            label_selector=contract.SET_LABEL,
            resource_version=leases.metadata.resource_version,
            timeout_seconds=WATCH_SECONDS,
            _request_timeout=WATCH_TIMEOUT,
        )
        for event in events:
            self._take(event)
        self._cache.confirm()

    def _take(self, event: dict[str, Any]) -> None:
        if event["type"] in ("ADDED", "MODIFIED"):
            self._cache.add(_key(event["object"]))
        elif event["type"] == "DELETED":
            self._cache.discard(_key(event["object"]))


def _key(lease: client.V1Lease) -> LeaseKey:
    return lease.metadata.namespace, lease.metadata.name
