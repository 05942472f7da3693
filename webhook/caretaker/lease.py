"""The caretakers' Lease in the API server, and the thread that renews it."""

import logging
import threading
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from sidecar import contract
from webhook.caretaker.carry_out import named_errors
from webhook.caretaker.election import RENEW, TTL, Election, Record

NAME: Final = "pgset-caretaker"

TIMEOUT: Final = (2.0, 3.0)
"""To connect and to read, in seconds: less than what is left of the TTL when leading ends."""

_log = logging.getLogger(__name__)


class ApiLease:
    """A Lease by its name."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        """Take the API client and the Lease's namespace."""
        self._api = client.CoordinationV1Api(api)
        self._namespace = namespace

    def read(self) -> Record | None:
        """See election.LeaseStore. Raises ApiException if it can't be read."""
        try:
            lease = self._api.read_namespaced_lease(NAME, self._namespace, _request_timeout=TIMEOUT)
        except ApiException as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        return Record(lease.spec.holder_identity or "", lease.metadata.resource_version)

    def write(self, holder: str, over: Record | None) -> None:
        """See election.LeaseStore; also raises RefusedError or ApiException."""
        with named_errors():
            if over is None:
                self._api.create_namespaced_lease(
                    self._namespace, _lease(holder, None), _request_timeout=TIMEOUT
                )
            else:
                self._api.replace_namespaced_lease(
                    NAME, self._namespace, _lease(holder, over.version), _request_timeout=TIMEOUT
                )


def hold_on(election: Election) -> None:
    """Take and renew the Lease, in a thread that ends with the process."""
    threading.Thread(target=_run, args=(election,), name="election", daemon=True).start()


def _run(election: Election) -> None:
    led = False
    while True:
        try:
            election.attempt()
        # Whatever it was: without this thread the process would wait for ever.
        except Exception as error:
            _log.warning("cannot take or renew the Lease: %s", error)
        if led != election.leads:
            led = not led
            _log.info("this caretaker leads" if led else "this caretaker no longer leads")
        time.sleep(RENEW)


def _lease(holder: str, resource_version: str | None) -> dict[str, Any]:
    return {
        "metadata": {
            "name": NAME,
            "labels": contract.LABELS,
            "resourceVersion": resource_version,
        },
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": int(TTL),
            "renewTime": datetime.now(UTC).isoformat(timespec="microseconds"),
        },
    }
