"""What commands show as JSON, for programs: the shape of each is in `COMMAND.schema.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cli.cause import Cause
from cli.facts import Event, Leadership, Workload
from cli.installation import Unread
from cli.view import Member, SetView

API_VERSION = "cli.pgset.dev/v1"


def status(views: Sequence[SetView]) -> str:
    """Return all sets. What is not known is null."""
    return _document("SetStatusList", items=[*map(_set, views)])


def history(workload: Workload, takeovers: Sequence[Leadership]) -> str:
    """Return who has led a set."""
    return _document("SetHistory", **_of(workload), items=[*map(_takeover, takeovers)])


def events(workload: Workload, found: Sequence[Event]) -> str:
    """Return what was said of a set."""
    return _document("SetEvents", **_of(workload), items=[*map(_event, found)])


def doctor(causes: Sequence[Cause], unread: Sequence[Unread]) -> str:
    """Return what is wrong, and what could not be looked at."""
    return _document(
        "CauseList",
        items=[
            {
                "where": it.where,
                "sentence": it.sentence,
                "command": it.command,
                "pods": list(it.pods),
            }
            for it in causes
        ],
        notLookedAt=[{"what": it.what, "why": it.why} for it in unread],
    )


def _document(kind: str, **more: object) -> str:
    return json.dumps({"apiVersion": API_VERSION, "kind": kind, **more}, indent=2)


def _of(workload: Workload) -> dict[str, str]:
    return {"namespace": workload.namespace, "name": workload.name}


def _takeover(it: Leadership) -> dict[str, Any]:
    return {"timeline": it.timeline, "pod": it.pod, "since": it.since}


def _event(it: Event) -> dict[str, Any]:
    return {
        "time": it.time and f"{it.time:%Y-%m-%dT%H:%M:%SZ}",
        "kind": it.kind,
        "name": it.name,
        "reason": it.reason,
        "message": it.message,
        "warning": it.warning,
        "component": it.component or None,
    }


def _set(view: SetView) -> dict[str, Any]:
    lease = view.lease
    return {
        "namespace": view.namespace,
        "name": view.name,
        "exitCode": view.exit_code,
        "wanted": view.wanted,
        "primary": view.primary or None,
        "timeline": lease.timeline if lease else None,
        "paused": view.paused,
        "durability": {
            "set": view.durability,
            "voters": list(lease.voters) if lease else [],
            "copies": lease.copies if lease else 0,
        },
        "members": [_member(it) for it in view.members],
        "lease": lease
        and {
            "holder": lease.holder or None,
            "ttlSeconds": lease.ttl,
            "renewedSecondsAgo": view.renewed_ago,
            "members": list(lease.members),
            "position": lease.position,
            "heir": lease.heir or None,
            "switchoverTo": lease.switchover_to or None,
        },
        "services": [
            {"name": it.name, "leadsTo": it.what, "members": list(it.to)} for it in view.services
        ],
        "takeovers": [*map(_takeover, view.takeovers)],
        "problems": list(view.problems),
    }


def _member(it: Member) -> dict[str, Any]:
    return {
        "name": it.name,
        "role": it.role or None,
        "state": it.state,
        "missing": it.missing,
        "timeline": it.timeline,
        "position": it.position,
        "lagBytes": it.lag_bytes,
        "lagSeconds": it.lag_seconds,
        "inSync": it.in_sync,
        "says": it.says or None,
        "saysForSeconds": it.says_for,
        "slot": it.slot,
        "tags": dict(it.tags),
        "version": it.version or None,
        "node": it.node or None,
        "image": it.image or None,
        "restarts": it.restarts,
    }
