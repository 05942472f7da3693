"""Faults of what the whole set lives on, which is there, but slow, deaf or unwilling."""

import contextlib
import signal
import threading
from typing import Final

from tests.chaos import api, volumes
from tests.chaos.api import Json
from tests.chaos.pod_processes import Process
from tests.chaos.strikes import FaultError, Strike, recorded
from tests.chaos.subject import NAMESPACE

HELD: Final = 1.0
LET_GO: Final = 0.2
"""A slow API server answers nothing for the one and everything for the other, in turn; seconds. So
every answer takes up to a second longer, also on connections that were there before."""

_BINDINGS: Final = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings"
_GRANT: Final = "pgset-sidecar"
"""The name of the role, and of the binding in deploy/grant."""
_AGAIN: Final = 0.2


def slow_api_server(strike: Strike) -> None:
    """Make the API server slow, by stopping it and letting it go on in turn."""
    process = recorded("api-server")
    over = threading.Event()
    thread = threading.Thread(target=_slow_down, args=(process, over), daemon=True)

    def let_go() -> None:
        over.set()
        thread.join()

    strike.undo.callback(let_go)
    thread.start()


def _slow_down(process: Process, over: threading.Event) -> None:
    while not over.wait(LET_GO):
        process.send(signal.SIGSTOP)
        over.wait(HELD)
        process.send(signal.SIGCONT)


def take_rights_away(strike: Strike) -> None:
    """Remove what gives the set's sidecars their rights, and again where the caretaker mends it."""
    given = [it for it in _bindings() if it["metadata"]["name"] == _GRANT]
    if not given:
        raise FaultError(f"{NAMESPACE} has no RoleBinding {_GRANT}")
    over = threading.Event()
    thread = threading.Thread(target=_remove_bindings, args=(over,), daemon=True)

    def give_back() -> None:
        over.set()
        thread.join()
        if not any(it["metadata"]["name"] == _GRANT for it in _bindings()):
            api.request("POST", _BINDINGS, _anew(given[0]))

    strike.undo.callback(give_back)
    thread.start()


def _remove_bindings(over: threading.Event) -> None:
    while True:
        # Another fault may be in the API server's way.
        with contextlib.suppress(api.ApiError):
            for binding in _bindings():
                api.request("DELETE", f"{_BINDINGS}/{binding['metadata']['name']}")
        if over.wait(_AGAIN):
            return


def _bindings() -> list[Json]:
    found: list[Json] = api.request("GET", _BINDINGS)["items"]
    return [it for it in found if it["roleRef"]["name"] == _GRANT]


def _anew(binding: Json) -> Json:
    metadata = {"name": binding["metadata"]["name"], "namespace": NAMESPACE}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": binding["roleRef"],
        "subjects": binding["subjects"],
    }


def stall_storage(strike: Strike) -> None:
    """Let nothing be written to any member's volume: the storage stalls, and no process does."""
    for member in strike.subject.members:
        strike.undo.callback(volumes.let_go, member)
        volumes.stall(member)
