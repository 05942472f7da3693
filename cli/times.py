"""Times as the API server writes them. No I/O."""

from __future__ import annotations

import datetime

from cli.pod_spec import Json


def parse_time(text: str) -> datetime.datetime | None:
    """Return a time of the API server's; None if it is none. (3.9 does not know "Z".)"""
    try:
        return datetime.datetime.fromisoformat(text[:19]).replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        return None


def last_change(metadata: Json) -> datetime.datetime | None:
    """Return when somebody has last changed an object, by the API server's own time."""
    times = (parse_time(it.get("time", "")) for it in metadata.get("managedFields") or [])
    return max((it for it in times if it is not None), default=None)
