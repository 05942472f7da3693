"""The other members' sidecars: what each says of its data, in answer to `GET /status`."""

import concurrent.futures
import json
from collections.abc import Sequence
from typing import Any, Final

import urllib3

from sidecar.contract import SIDECAR_PORT
from sidecar.observation import Identity, Observation, Peer, Pod, ServerState

_SECONDS: Final = 0.8
"""For one answer: within a pod network it takes milliseconds, and a leader is waited for."""

_AT_ONCE: Final = 32
"""More than any set has members: a silent one must not keep the others from being asked."""


class Peers:
    """Asks all of them at the same time, each with a deadline."""

    def __init__(self, me: Identity, *, port: int = SIDECAR_PORT) -> None:
        """`me` is not asked."""
        self._me = me
        self._port = port
        self._pool = urllib3.PoolManager(
            retries=False, timeout=urllib3.Timeout(total=_SECONDS), num_pools=16
        )
        self._threads = concurrent.futures.ThreadPoolExecutor(_AT_ONCE, "peer")

    def ask(self, pods: Sequence[Pod]) -> dict[str, Peer]:
        """Return the answers by pod name; who does not answer in time is left out."""
        asked = [pod for pod in pods if pod.name != self._me.name and pod.ip is not None]
        answers = [self._threads.submit(self._ask_one, pod) for pod in asked]
        # urllib3's timeout is for each read: one who sends a byte now and then would outlast it.
        in_time, late = concurrent.futures.wait(answers, timeout=_SECONDS)
        for answer in late:
            answer.cancel()
        return {peer.name: peer for answer in in_time if (peer := answer.result()) is not None}

    def _ask_one(self, pod: Pod) -> Peer | None:
        host = f"[{pod.ip}]" if ":" in (pod.ip or "") else pod.ip
        try:
            response = self._pool.request("GET", f"http://{host}:{self._port}/status")
            status = json.loads(response.data)["pgset"]
            # An address may have passed to another pod by now.
            if status["uid"] != pod.uid:
                return None
            return read_peer(pod.name, status)
        except (urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError):
            return None


def describe(observation: Observation) -> dict[str, Any]:
    """Return what a member tells its peers; `read_peer` reads it back."""
    postgres, bootstrap = observation.postgres, observation.bootstrap
    return {
        "uid": observation.me.uid,
        "data": bootstrap.data.value if bootstrap.data else None,
        "running": postgres.state is not ServerState.DOWN,
        "system_identifier": postgres.system_identifier or bootstrap.system_identifier,
        "timeline": postgres.timeline or bootstrap.timeline,
        "position": postgres.position or bootstrap.position,
    }


def read_peer(name: str, status: dict[str, Any]) -> Peer:
    """Return a peer's own words as a value; KeyError, TypeError or ValueError for other words."""
    return Peer(
        name=name,
        has_data=None if status["data"] is None else status["data"] == "present",
        system_identifier=status["system_identifier"],
        timeline=_number(status["timeline"]),
        position=_number(status["position"]),
        running=status["running"] is True,
    )


def _number(value: Any) -> int | None:
    return None if value is None else int(value)
