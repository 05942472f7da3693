"""A copy of some objects of the API server, kept up to date by list and watch in a thread."""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from sidecar.kube.client import ApiClient, ApiError, Json

_log = logging.getLogger(__name__)

_MIN_PAUSE: Final = 0.2
_MAX_PAUSE: Final = 3.0
"""Seconds between attempts at an API server that does not answer, or ends each watch at once."""

_AT_ONCE: Final = 1.0
"""A watch that ends sooner, in seconds, and without news, did not do what it is for."""

_JITTER: Final = random.Random()  # noqa: S311 - it spreads load
"""Of this module's own: the threads here disturb nobody who has seeded the common one."""


class Mirror:
    """The objects of one collection that match a selector, by name."""

    heard_at = float("-inf")
    """When the API server told anything of them last, be it that nothing has changed."""

    def __init__(
        self,
        client: ApiClient,
        path: str,
        selector: dict[str, str],
        *,
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        """`selector`: labelSelector or fieldSelector. `clock`: monotonic seconds.

        `on_change` is called by whoever brought something, at once: by the watching thread, or by
        the one that calls `learn`.
        """
        self._client = client
        self._path = path
        self._selector = selector
        self._clock = clock
        self._on_change = on_change
        self._objects: dict[str, Json] | None = None
        self._position = 0
        """The version up to which the list and the watch have told everything."""
        self._learned: dict[str, Json] = {}
        """What `learn` brought since the last list was asked for."""
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)

    def start(self) -> None:
        """Begin to list and watch."""
        self._thread.start()

    def objects(self) -> dict[str, Json] | None:
        """Return the objects by name; None before the first list."""
        return self._objects

    def learn(self, item: Json) -> None:
        """Take in an object that a request of our own returned, ahead of the watch."""
        self.heard_at = self._clock()
        with self._lock:
            # Where the watch was faster it may have told of the object's deletion, too.
            if _version(item) > self._position:
                self._learned[item["metadata"]["name"]] = item
                # One object alone is not all that there are.
                if self._objects is not None:
                    self._put(item)
        self._on_change()

    def _run(self) -> None:
        pause = _MIN_PAUSE
        while True:
            try:
                version = self._list()
                pause = _MIN_PAUSE
                self._follow(version)
            # Without this thread the sidecar would believe the last that it heard for ever.
            except (ApiError, KeyError, TypeError, ValueError) as error:
                _log.warning("watch: %s", error)
                pause = _wait(pause)

    def _list(self) -> str:
        with self._lock:
            self._learned = {}
        listed = self._client.get(self._path, self._selector)
        self.heard_at = self._clock()
        version = str(listed["metadata"]["resourceVersion"])
        with self._lock:
            self._objects = {item["metadata"]["name"]: item for item in listed["items"]}
            self._position = int(version)
            # What we wrote while the list was on its way may be newer than the list.
            for item in self._learned.values():
                if _version(item) > self._position:
                    self._put(item)
        self._on_change()
        return version

    def _follow(self, version: str) -> None:
        """Watch from this version on, again and again, until the server refuses to go on."""
        pause = _MIN_PAUSE
        while True:
            began, news = time.monotonic(), False
            query = self._selector | {"resourceVersion": version}
            for event in self._client.watch(self._path, query):
                self.heard_at = self._clock()
                version = event["object"]["metadata"]["resourceVersion"]
                with self._lock:
                    self._position = int(version)
                    if event["type"] != "BOOKMARK":
                        self._put(event["object"], deleted=event["type"] == "DELETED")
                if event["type"] != "BOOKMARK":
                    news = True
                    self._on_change()
            useless = not news and time.monotonic() - began < _AT_ONCE
            pause = _wait(pause) if useless else _MIN_PAUSE

    def _put(self, item: Json, *, deleted: bool = False) -> None:
        name = item["metadata"]["name"]
        known = (self._objects or {}).get(name)
        if known is not None and _version(item) < _version(known):
            return
        # A new dict each time: readers in other threads keep a whole one.
        others = {key: value for key, value in (self._objects or {}).items() if key != name}
        self._objects = others if deleted else others | {name: item}


def _wait(pause: float) -> float:
    """Wait about `pause` seconds, and return how long to wait the next time."""
    threading.Event().wait(pause * _JITTER.uniform(0.5, 1.5))
    return min(_MAX_PAUSE, pause * 2)


def _version(item: Json) -> int:
    """Return a number that grows: resourceVersions of one resource type may be compared so.

    Kubernetes promises it since 1.35 and etcd has always kept it (KEP-5504).
    """
    return int(item["metadata"]["resourceVersion"])
