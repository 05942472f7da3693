"""The ports of a set's pods, as their containers declare them. All pure."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from webhook import database, profile
from webhook.json_patch import Json

Port = tuple[str, int]
"""Protocol, such as "TCP", and number."""

POOLERS: Final = re.compile(r"pgbouncer|pgcat|pgdog|pgpool|odyssey|supavisor|pgagroal")
"""In the names of containers and of their images."""
POOLERS_PORT: Final = 6432
"""PgBouncer's and others' where nobody says another, declared or not."""


def of_database(pod_spec: Json, found: database.Database | None, port: int) -> frozenset[int | str]:
    """Return the ports by which clients reach PostgreSQL, by number and name: `port`, which is its
    own, and those of a pooler in the same pod, which leads to the same PostgreSQL."""
    names = {
        it["name"]
        for it in _of(_containers(pod_spec))
        if it["containerPort"] == port and it.get("name")
    }
    poolers = [it for it in _others(pod_spec, found) if _is_pooler(it)]
    usual = {POOLERS_PORT} if poolers else set()
    return frozenset({port, *names, *usual, *_numbers_and_names(poolers)})


def of_others(pod_spec: Json, found: database.Database | None) -> frozenset[int | str]:
    """Return the ports of all containers but the database's, by number and name."""
    return frozenset(_numbers_and_names(_others(pod_spec, found)))


def declared(pod_spec: Json) -> frozenset[Port]:
    """Return the ports of all containers."""
    return frozenset(
        (it.get("protocol") or "TCP", it["containerPort"]) for it in _of(_containers(pod_spec))
    )


def _is_pooler(container: Json) -> bool:
    image = profile.repository(container.get("image") or "").rpartition("/")[2]
    return bool(POOLERS.search(f"{container['name']} {image}"))


def _others(pod_spec: Json, found: database.Database | None) -> list[Json]:
    if found is None:
        return []
    return [it for it in _containers(pod_spec) if it is not found.container]


def _containers(pod_spec: Json) -> list[Json]:
    return [*(pod_spec.get("containers") or []), *(pod_spec.get("initContainers") or [])]


def _of(containers: Iterable[Json]) -> Iterator[Json]:
    for container in containers:
        yield from container.get("ports") or []


def _numbers_and_names(containers: Iterable[Json]) -> Iterator[int | str]:
    for port in _of(containers):
        yield from (port[key] for key in ("containerPort", "name") if port.get(key))
