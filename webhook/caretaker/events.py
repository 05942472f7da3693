"""Warns users by Events, once for as long as there is a reason."""

import hashlib
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from kubernetes import client

from webhook import logs
from webhook.caretaker.carry_out import named_errors
from webhook.caretaker.errors import LookAgainError
from webhook.caretaker.facts import CARETAKER
from webhook.caretaker.listing import TIMEOUT
from webhook.caretaker.step import MAX_SENTENCE, Tell

MOST_AT_ONCE: Final = 100
"""Recorded in one look at a namespace, of what is new there. Each is a request, and no other
namespace is looked at meanwhile; the rest comes with the next rounds."""

_API_VERSIONS: Final = {"StatefulSet": "apps/v1", "Pod": "v1"}

_log = logging.getLogger(__name__)


class Events:
    """Remembers what it has recorded; for the next caretaker, the Event's name shows it."""

    def __init__(self, api: client.ApiClient) -> None:
        """Take the API client."""
        self._core = client.CoreV1Api(api)
        self._told: dict[str, set[tuple[str, str, str]]] = {}
        """By namespace: the identities of what holds."""

    def tell(self, namespace: str, tells: Iterable[Tell]) -> None:
        """Record what is new of all that holds in a namespace. Raises as `carry_out.Writer` does.

        What no longer holds is forgotten, and recorded again when it comes back.
        """
        due = {it.identity: it for it in tells}
        told = self._told[namespace] = self._told.get(namespace, set()) & due.keys()
        if not due:
            del self._told[namespace]
        new = [it for identity, it in due.items() if identity not in told]
        for it in sorted(new, key=lambda it: (it.name, it.reason))[:MOST_AT_ONCE]:
            self._create(namespace, it)
            told.add(it.identity)

    def _create(self, namespace: str, it: Tell) -> None:
        try:
            with named_errors():
                self._core.create_namespaced_event(
                    namespace, _event(namespace, it), _request_timeout=TIMEOUT
                )
        except LookAgainError:
            return  # An earlier caretaker has recorded it, within an Event's lifetime of an hour.
        _log.warning(
            it.sentence,
            extra={
                logs.FIELDS: {
                    "namespace": namespace,
                    "kind": it.kind,
                    "name": it.name,
                    "reason": it.reason,
                }
            },
        )


def _event(namespace: str, it: Tell) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    digest = hashlib.sha256(" ".join(it.identity).encode()).hexdigest()[:16]
    return {
        "metadata": {"name": f"{it.name[:200]}.{digest}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": _API_VERSIONS[it.kind],
            "kind": it.kind,
            "namespace": namespace,
            "name": it.name,
            "uid": it.uid,
        },
        "type": "Warning",
        "reason": it.reason,
        "message": it.sentence[:MAX_SENTENCE],
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "source": {"component": CARETAKER},
    }
