"""Pods with the label of a set that somebody else has made, or labelled."""

import socket
from pathlib import Path
from typing import Any

import pytest

from sidecar.contract import INJECTED, MIRROR, SET_LABEL, SIGNS, SIGNS_BY
from sidecar.keys import Keys
from sidecar.kube.client import Json
from sidecar.kube.pods import Pods
from sidecar.observation import Identity
from sidecar.peers import Peers
from sidecar.situation.set import names
from tests.sidecar.rules.observations import SETTINGS
from tests.sidecar.test_peers import sidecar
from tests.sidecar.test_taken_out import Told
from tests.support.clock import Clock
from tests.support.database import free_port
from tests.support.waiting import wait_until


def pod(name: str, **annotations: str) -> Json:
    return {
        "metadata": {
            "name": name,
            "uid": f"uid of {name}",
            "resourceVersion": "1",
            "labels": {SET_LABEL: "orders"},
            "annotations": annotations,
        }
    }


OF_THIS_VERSION = {INJECTED: "0.3.0", SIGNS: SIGNS_BY}
OF_AN_OLD_VERSION = {INJECTED: "0.2.0"}
MEMBER = pod("orders-0", **OF_THIS_VERSION)
STRANGERS = [
    pod("debug", **OF_AN_OLD_VERSION),
    pod("orders-one", **OF_AN_OLD_VERSION),
    pod("orders-", **OF_AN_OLD_VERSION),
    pod("my-orders-1", **OF_AN_OLD_VERSION),
    pod("orders-1", **OF_AN_OLD_VERSION, **{MIRROR: "anything"}),
]


class Listing(Told):
    """Lists several."""

    def __init__(self, listed: list[Json], folder: Path) -> None:
        super().__init__(MEMBER, folder)
        self.listed = listed

    def get(self, path: str, *_: Any, **__: Any) -> Json:
        items = self.listed if path.endswith("/pods") else []
        return {"metadata": {"resourceVersion": "5"}, "items": items}


@pytest.mark.thorough
def test_hundreds_that_do_not_answer_keep_no_member_from_being_asked(tmp_path: Path) -> None:
    """Whoever may create pods may give them greater ordinals than any member has."""
    port = free_port()
    silent = [pod(f"orders-{number}", **OF_THIS_VERSION) for number in range(100, 300)]
    for it in silent:
        it["status"] = {"podIP": "127.0.0.2"}
    last = pod("orders-2", **OF_AN_OLD_VERSION) | {"status": {"podIP": "127.0.0.3"}}
    last["metadata"]["uid"] = "uid-2"
    listing = Listing([MEMBER, last, *silent], tmp_path)
    pods = Pods(listing, "shop", SETTINGS, clock=Clock(), on_change=lambda: None)
    pods.start()
    wait_until(lambda: pods.observe() is not None, "the list")
    peers = Peers(Identity("orders-0", "uid of orders-0"), port=port, seconds=3.0)
    with (
        socket.create_server(("127.0.0.2", port), backlog=1024),
        sidecar("127.0.0.3", port, 2),
    ):
        wait_until(lambda: [*peers.ask(pods.observe() or ())] == ["orders-2"], "its answer")


@pytest.mark.parametrize("stranger", STRANGERS, ids=lambda it: it["metadata"]["name"])
def test_they_are_no_members_and_bring_back_no_secret_that_is_cheap_to_guess(
    stranger: Json, tmp_path: Path
) -> None:
    pods = Pods(
        Listing([MEMBER, stranger], tmp_path),
        *("shop", SETTINGS),
        clock=Clock(),
        on_change=lambda: None,
    )
    pods.start()
    wait_until(lambda: pods.observe() is not None, "the list")
    seen = pods.observe() or ()
    assert [it.name for it in seen] == ["orders-0"]
    keys = Keys("secret", "shop", "orders", pod_uid="uid of orders-0")
    assert keys.replication_password(seen) == keys.replication_password(())


def test_whoever_scales_to_thousands_of_millions_takes_no_sidecars_memory() -> None:
    """The API server admits 2^31 - 1, and a scale passes no webhook."""
    assert len(names("orders", 0, 2**31 - 1)) == 1000
    assert names("orders", 5, 2) == {"orders-5", "orders-6"}
