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
from webhook import codec
from webhook.api_server import ApiServer, TooLargeError
from webhook.json_patch import Json
from webhook.lease_cache import LeaseCache, LeaseKey

LEASES: Final = "/apis/coordination.k8s.io/v1/leases"

WATCH_SECONDS: Final = 30
"""How long the API server keeps a watch open; well under `lease_cache.STALE_AFTER`."""

PAGE: Final = 500
"""Leases in one answer; one of a set has some 2 kB."""

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
        leases, seen = self._list(query)
        self._cache.replace(leases)
        seen_from = {"resourceVersion": seen}
        for event in self._api.watch(LEASES, {**query, **seen_from}, WATCH_SECONDS):
            self._take(event)
        self._cache.confirm()

    def _list(self, query: dict[str, str]) -> tuple[set[LeaseKey], str]:
        """Return all Leases, and the resource version that shows them.

        In pages that fit: whoever may create Leases somewhere may fill many of them with megabytes,
        and one with more than fits, or with what cannot be read: that one is no sidecar's.
        """
        found: set[LeaseKey] = set()
        limit, next_page = PAGE, ""
        while True:
            part = {"limit": str(limit)} | ({"continue": next_page} if next_page else {})
            try:
                page = self._api.get(LEASES, {**query, **part})
            except TooLargeError as error:
                if limit > 1:
                    limit = max(1, limit // 8)
                    continue
                _log.warning("passed over a Lease: %s", error)
                page = {"metadata": codec.decode_metadata_of_list(error.beginning), "items": []}
            found.update(_key(lease) for lease in page["items"])
            next_page = page["metadata"].get("continue") or ""
            if not next_page:
                return found, page["metadata"]["resourceVersion"]
            limit = min(PAGE, limit * 2)

    def _take(self, event: Json) -> None:
        if event["type"] in ("ADDED", "MODIFIED"):
            self._cache.add(_key(event["object"]))
        elif event["type"] == "DELETED":
            self._cache.discard(_key(event["object"]))


def _key(lease: Json) -> LeaseKey:
    return lease["metadata"]["namespace"], lease["metadata"]["name"]
