"""Who asks an API server and has time: for tests whose claim is not the deadline."""

from functools import partial
from typing import Final

from webhook.api_server import ApiServer

PATIENT: Final = 180.0
"""Seconds. Only where an answer does not come is so long waited for."""

patient_api_server = partial(ApiServer, connect_seconds=PATIENT, read_seconds=PATIENT)
