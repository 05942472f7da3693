"""A copy of some objects of the API server, kept up to date by list and watch in a thread."""

import logging
import threading
import time
from collections.abc import Callable
from random import Random
from typing import Final

from sidecar.kube.client import ApiClient, ApiError, Json
from sidecar.kube.pages import MAX_OBJECT, pages

_log = logging.getLogger(__name__)

_MIN_PAUSE: Final = 0.2
_MAX_PAUSE: Final = 3.0
"""Seconds between attempts at an API server that does not answer, or ends each watch at once."""

_chance: Final = Random()  # noqa: S311 - jitter

_AT_ONCE: Final = 1.0
"""Seconds. A watch that ends sooner, and without news, was of no use."""


class Mirror:
    """The objects of one collection that match a selector, by name."""

    heard_at = float("-inf")
    """When the API server last said anything about them, including that nothing has changed."""

    def __init__(
        self,
        client: ApiClient,
        path: str,
        selector: dict[str, str],
        *,
        clock: Callable[[], float],
        on_change: Callable[[], None],
        reduced: Callable[[Json], Json] | None = None,
    ) -> None:
        """`selector`: labelSelector or fieldSelector. `clock`: monotonic seconds.

        `reduced`: returns what to keep of an object, where anybody may make some that match. Then
        one of over `pages.MAX_OBJECT` bytes is passed over.

        `on_change` is called at once, by the thread that brought the change: the watching one, or
        the one that calls `learn`.
        """
        self._client = client
        self._path = path
        self._selector = selector
        self._clock = clock
        self._on_change = on_change
        self._reduced = reduced
        self._objects: dict[str, Json] | None = None
        self._position = 0
        """The resource version up to which the list and the watch have shown everything."""
        self._learned: dict[str, Json] = {}
        """What `learn` brought since the last list was requested."""
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)

    def start(self) -> None:
        """Begin to list and watch."""
        self._thread.start()

    def objects(self) -> dict[str, Json] | None:
        """Return the objects by name; None before the first list."""
        return self._objects

    def learn(self, item: Json) -> None:
        """Take in an object that one of our own requests returned, ahead of the watch."""
        self.heard_at = self._clock()
        item = self._kept(item)
        with self._lock:
            # If the watch was faster, it may have shown the object's deletion already.
            if _version(item) > self._position:
                self._learned[item["metadata"]["name"]] = item
                # Before the first list, one object alone would look like all of them.
                if self._objects is not None:
                    self._put(item)
        self._on_change()

    def ask(self, name: str, seconds: float | None = None) -> None:
        """Get one object, at whatever version it is. Raises ApiError.

        Where nothing else was heard meanwhile, the answer is the newest truth, even if its version
        is older: the API server itself has gone back, as it does when etcd is restored, and then
        its watches may be silent for as long as they wait for a version that is yet to come.
        """
        before = self._objects
        item = self._client.get(f"{self._path}/{name}", seconds=seconds)
        with self._lock:
            known = (before or {}).get(name)
            gone_back = known is not None and _version(item) < _version(known)
            if gone_back and self._objects is before:
                self._objects = {**(before or {}), name: item}
                self._position = _version(item)
        self.learn(item)

    def _run(self) -> None:
        pause = _MIN_PAUSE
        while True:
            began = time.monotonic()
            try:
                self._follow(self._list())
            # Without this thread the sidecar would believe the last news for ever.
            except Exception as error:
                _log.warning("watch: %s", error if isinstance(error, ApiError) else repr(error))
                # A server that answers lists and refuses watches is busy enough.
                if time.monotonic() - began >= _AT_ONCE:
                    pause = _MIN_PAUSE
                pause = _wait(pause)

    def _list(self) -> str:
        with self._lock:
            self._learned = {}
        version, items = self._listed()
        self.heard_at = self._clock()
        with self._lock:
            self._objects = {item["metadata"]["name"]: item for item in items}
            self._position = int(version)
            # What we wrote while the list was on its way may be newer than the list.
            for item in self._learned.values():
                if _version(item) > self._position:
                    self._put(item)
        self._on_change()
        return version

    def _listed(self) -> tuple[str, list[Json]]:
        """Return the resource version of a list, and what is in it."""
        if self._reduced is None:
            listed = self._client.get(self._path, self._selector)
            return str(listed["metadata"]["resourceVersion"]), listed["items"]
        version, items = "", list[Json]()
        for page in pages(self._client, self._path, self._selector):
            version = str(page["metadata"]["resourceVersion"])
            items += map(self._kept, page["items"])
        return version, items

    def _kept(self, item: Json) -> Json:
        return item if self._reduced is None else self._reduced(item)

    def _follow(self, version: str) -> None:
        """Watch from this version on, watch after watch, until the server refuses one."""
        pause = _MIN_PAUSE
        most = None if self._reduced is None else MAX_OBJECT
        while True:
            began, news = time.monotonic(), False
            query = self._selector | {"resourceVersion": version}
            for event in self._client.watch(self._path, query, most=most):
                self.heard_at = self._clock()
                version = event["object"]["metadata"]["resourceVersion"]
                with self._lock:
                    self._position = int(version)
                    if event["type"] != "BOOKMARK":
                        self._put(self._kept(event["object"]), deleted=event["type"] == "DELETED")
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
        # A new dict each time: readers in other threads keep a complete one.
        others = {key: value for key, value in (self._objects or {}).items() if key != name}
        self._objects = others if deleted else others | {name: item}


def _wait(pause: float) -> float:
    """Wait about `pause` seconds, and return how long to wait the next time."""
    threading.Event().wait(pause * _chance.uniform(0.5, 1.5))
    return min(_MAX_PAUSE, pause * 2)


def _version(item: Json) -> int:
    """Return a number that grows: resourceVersions of one resource type can be compared.

    Kubernetes promises this since 1.35, and with etcd it has always been so (KEP-5504).
    """
    return int(item["metadata"]["resourceVersion"])
