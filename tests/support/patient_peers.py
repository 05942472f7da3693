"""Who asks the other members and has time: for tests whose claim is not the deadline."""

from functools import partial
from typing import Final

from sidecar.peers import Peers

PATIENT: Final = 180.0
"""Seconds. Only where an answer does not come is so long waited for."""

patient_peers = partial(Peers, seconds=PATIENT, stay_seconds=PATIENT)
