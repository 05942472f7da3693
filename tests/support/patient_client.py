"""The sidecar's client of the API server, with time: for tests whose claim is not the deadline."""

from typing import Final

import urllib3

from sidecar.kube.client import ApiClient

PATIENT: Final = 180.0
"""Seconds. Only where an answer does not come is so long waited for."""


class PatientClient(ApiClient):
    """Gives a busy API server more than the three seconds after which a loop has to fence."""

    def _timeout(self, _seconds: float | None) -> urllib3.Timeout:
        return urllib3.Timeout(PATIENT)
