"""The view as JSON, for programs: its shape is in `status.schema.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cli.view import Member, SetView

API_VERSION = "cli.pgset.dev/v1"


def status(views: Sequence[SetView]) -> str:
    """Return all sets. What is not known is null."""
    document = {"apiVersion": API_VERSION, "kind": "SetStatusList", "items": [*map(_set, views)]}
    return json.dumps(document, indent=2)


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
        "takeovers": [
            {"timeline": it.timeline, "pod": it.pod, "since": it.since} for it in view.takeovers
        ],
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
