"""The sidecar's client of the API server, with time: for tests whose claim is not the deadline."""

from typing import Final

from sidecar.http_client import Timeouts
from sidecar.kube.client import ApiClient

PATIENT: Final = 180.0
"""Seconds. Only where an answer does not come is so long waited for."""


class PatientClient(ApiClient):
    """Gives a busy API server more than the three seconds after which a loop has to fence."""

    def _timeouts(self, _seconds: float | None) -> Timeouts:
        return Timeouts(PATIENT, PATIENT)
