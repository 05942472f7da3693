"""Warnings in the response for a StatefulSet that is opted in or out, or shrinks.

As those of `advice`, which tell of what it is.
"""

import re
from typing import Final

from sidecar import contract
from webhook import profile
from webhook.database import Database
from webhook.json_patch import Json

ON_OPTING_OUT: Final = (
    "the last primary's pod stays writable, the others stay read-only, and the role labels are "
    "removed",
    "Services that select the role lead nowhere then; where it is added by annotation: kubectl "
    f"annotate service NAME {contract.SELECTS}-",
)
"""They become plain pods."""


def on_opting_in(database: Database) -> str:
    """Return the warning for a StatefulSet that was a plain one until now. The caretaker names the
    Services that it concerns, since no review asks the API server."""
    settings = database.settings
    if settings.role_label == contract.DEFAULT_ROLE_LABEL and settings.primary_value == "primary":
        return (
            "a Service that selects all pods now leads to replicas too: "
            f"kubectl annotate service NAME {contract.SELECTS}=primary"
        )
    return (
        f"a Service that does not select the role now leads to replicas too: add "
        f"{settings.role_label}: {settings.primary_value} to its selector"
    )


OTHER_NAMES: Final = (
    "clients that use a pod's own name or a headless Service reach replicas then: those that "
    "write need <set>-primary"
)
"""Nothing that anybody could look at tells of them."""

UNLOGGED: Final = (
    "opting in empties unlogged tables, as a crash does, and so does each restart of a set"
)
"""Every start is a standby's, which begins with a recovery."""

ALWAYS: Final = (OTHER_NAMES, UNLOGGED)
"""For every StatefulSet that was a plain one until now."""


def of_sidecar(asked: Json) -> str:
    """Return the warning that says what the sidecar asks for: no review knows the namespace's
    quotas and LimitRanges, and a pod that they refuse is only missed once it is gone."""
    requests, limits = asked["requests"], asked["limits"]
    named = (
        f"{name} {requests.get(name, '0')}{' to ' + limits[name] if name in limits else ''}"
        for name in ("cpu", "memory")
    )
    return (
        f"each pod gets a sidecar ({', '.join(named)}): quotas and LimitRanges must allow it, or "
        "no pod is made"
    )


SEVERAL: Final = (
    "if the pods have databases of their own, that of the lowest ordinal becomes the set's, and "
    "the others stay out"
)


def on_opting_in_several(statefulset: Json) -> tuple[str, ...]:
    """Return the warning for plain pods that did not replicate until now, as far as is known."""
    return (SEVERAL,) if statefulset["spec"].get("replicas", 1) > 1 else ()


def on_shrinking(before: Json, after: Json) -> tuple[str, ...]:
    """Return the warning for an update that leaves a set of several with one member, as an upgrade
    of a chart that pins `replicas: 1` does."""
    members = before["spec"].get("replicas", 1)
    if members <= 1 or after["spec"].get("replicas", 1) != 1:
        return ()
    return (f"the set shrinks from {members} members to 1, and then nobody can take over",)


OTHER_ORDER: Final = (
    "the new image's C library may sort text in another order: REINDEX on the primary what is on "
    "text, once all pods have it"
)
"""An index that a member of one image has made is searched by another one in its own order."""

_MUSL: Final = ("alpine", "timescaledb")
"""Families with Alpine's C library, which has no versions of an order: PostgreSQL says nothing."""

_RELEASE: Final = re.compile(r"bullseye|bookworm|trixie|jammy|noble|ubi\d+")
"""In a tag: the system whose C library it is."""


def on_another_image(before: Database, after: Database) -> tuple[str, ...]:
    """Return the warning for an update that changes the C library by which text is sorted."""
    old, new = (_c_library(it) for it in (before, after))
    return (OTHER_ORDER,) if old and new and _differ(old, new) else ()


def _c_library(database: Database) -> tuple[bool, str] | None:
    """Return whether it is Alpine's, and its release if the tag tells; None: not known."""
    image = database.container.get("image", "")
    family = profile.by_name(image)
    release = _RELEASE.search(profile.tag_of(image))
    return (family.name in _MUSL, release[0] if release else "") if family else None


def _differ(old: tuple[bool, str], new: tuple[bool, str]) -> bool:
    releases_differ = bool(old[1] and new[1]) and old[1] != new[1]
    return old[0] != new[0] or releases_differ
