"""How often a mirror asks, and what ends its thread: nothing. Against an API server of its own.

What it shows is tested on a real API server, in tests/cluster.
"""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.kube.mirror import Mirror
from tests.support import loopback
from tests.support.clock import Clock
from tests.support.line import Line
from tests.support.waiting import wait_until

POD = {"metadata": {"name": "orders-0", "resourceVersion": "7"}}
BOOKMARK = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}


def line(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"


class _Api(loopback.QuietHandler):
    """Answers a list with what the server was given, and each watch with the next of its lines."""

    def do_GET(self) -> None:
        server: Any = self.server
        self.send_response(200)
        self.end_headers()
        if "watch=1" in self.path:
            server.watches.append(time.monotonic())
            if server.said:
                self.wfile.write(server.said.pop(0))
            elif server.stays:
                self.wfile.flush()
                server.stays.wait(600)
        else:
            server.lists += 1
            self.wfile.write(json.dumps(server.listed).encode())


@pytest.fixture
def server() -> Iterator[Any]:
    with loopback.serving(_Api) as server:
        given: Any = server
        given.listed = {"metadata": {"resourceVersion": "5"}, "items": []}
        given.lists, given.watches, given.said, given.stays = 0, [], [], None
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mirror(server: Any, tmp_path: Path, clock: Clock) -> Iterator[Mirror]:
    (tmp_path / "token").write_text("token")
    client = Line(loopback.url(server), tmp_path / "ca.crt", tmp_path / "token")
    yield Mirror(client, "/api/v1/pods", {}, clock=clock, on_change=lambda: None)
    client.closed = True


def shows(mirror: Mirror) -> list[str]:
    return sorted(mirror.objects() or {})


def assert_pauses(server: Any) -> None:
    """Between two watches; a busy machine may only make them longer, but for the one in which it
    has noted the first late, after which the next has no pause before it."""
    wait_until(lambda: len(server.watches) >= 5, "some watches")
    assert (server.watches[4] - server.watches[0]) / 4 > 0.15


@pytest.mark.thorough
def test_a_server_that_ends_each_watch_at_once_is_not_asked_all_the_time(
    server: Any, mirror: Mirror
) -> None:
    mirror.start()
    assert_pauses(server)
    assert server.lists == 1


@pytest.mark.thorough
def test_a_bookmark_is_no_reason_to_ask_again_at_once(server: Any, mirror: Mirror) -> None:
    server.said = [line(BOOKMARK)] * 1000
    mirror.start()
    assert_pauses(server)


@pytest.mark.thorough
def test_a_server_that_refuses_each_watch_is_asked_more_and_more_rarely(
    server: Any, mirror: Mirror
) -> None:
    server.said = [b"null\n"] * 5
    mirror.start()
    wait_until(lambda: len(server.watches) >= 5, "some watches")
    # Twice as long each time, but for half of it or half as much more: without that, 1.2 s at most.
    assert server.watches[4] - server.watches[0] > 1.4


def test_news_are_asked_for_on_without_a_pause(server: Any, mirror: Mirror) -> None:
    """Some proxy may end each answer; all pods of a set come that way nevertheless."""
    server.said = [
        line(
            {"type": "ADDED", "object": {"metadata": {"name": f"p{n}", "resourceVersion": f"{n}"}}}
        )
        for n in range(10, 40)
    ]
    mirror.start()
    wait_until(lambda: len(shows(mirror)) == 30, "the pods")


@pytest.mark.parametrize(
    "said",
    [
        b"<html>\n",
        line({"type": "ADDED"}),
        line({"type": "ADDED", "object": {"metadata": {"name": "x", "resourceVersion": "new"}}}),
        b"null\n",
    ],
    ids=["no JSON", "no object", "no version", "null"],
)
def test_nonsense_in_a_watch_leads_to_another_list(
    server: Any, mirror: Mirror, said: bytes
) -> None:
    server.said = [said]
    server.stays = threading.Event()
    mirror.start()
    wait_until(lambda: server.lists >= 2, "another list")
    server.listed = {"metadata": {"resourceVersion": "8"}, "items": [POD]}
    server.said = [said]
    server.stays.set()
    wait_until(lambda: shows(mirror) == ["orders-0"], "the pod")


def test_nonsense_instead_of_a_list_is_asked_for_again(server: Any, mirror: Mirror) -> None:
    server.listed = {"kind": "Status"}
    mirror.start()
    wait_until(lambda: server.lists >= 2, "another list")
    server.listed = {"metadata": {"resourceVersion": "8"}, "items": [POD]}
    wait_until(lambda: shows(mirror) == ["orders-0"], "the pod")


def test_a_list_a_bookmark_and_an_answer_of_ones_own_are_heard(
    server: Any, mirror: Mirror, clock: Clock
) -> None:
    server.stays = threading.Event()
    heard = [mirror.heard_at]
    mirror.start()
    wait_until(lambda: len(server.watches) == 1, "the watch")
    heard.append(mirror.heard_at)
    clock.advance(1)
    server.said = [line(BOOKMARK)]
    server.stays.set()
    wait_until(lambda: mirror.heard_at == 1001.0, "the bookmark")
    clock.advance(1)
    mirror.learn(POD)
    assert [*heard, mirror.heard_at] == [float("-inf"), 1000.0, 1002.0]


def lease(version: int) -> dict[str, Any]:
    return {"metadata": {"name": "pgset-orders", "resourceVersion": str(version)}}


class _Answers:
    """An API server of one object; `meanwhile` happens while it is asked for."""

    def __init__(self) -> None:
        self.present = lease(50)
        self.meanwhile: Any = lambda: None

    def get(self, path: str, _query: object = None, *, seconds: float | None = None) -> Any:
        del seconds
        answer = self.present
        if path.endswith("/leases"):
            return {"metadata": {"resourceVersion": "60"}, "items": [answer]}
        self.meanwhile()
        return answer


@pytest.mark.parametrize("faster", [False, True], ids=["it is the newest", "a watch was faster"])
def test_an_older_answer_counts_where_nothing_else_was_heard(*, faster: bool) -> None:
    """The API server has gone back, as it does when etcd is restored; or the answer was slow."""
    api: Any = _Answers()
    mirror = Mirror(api, "/leases", {}, clock=Clock(), on_change=lambda: None)
    mirror._list()
    api.present = lease(40)
    if faster:
        api.meanwhile = lambda: mirror.learn(lease(70))
    mirror.ask("pgset-orders")
    assert mirror.objects() == {"pgset-orders": lease(70 if faster else 40)}


def test_after_an_older_answer_what_is_written_counts_as_it_comes() -> None:
    api: Any = _Answers()
    mirror = Mirror(api, "/leases", {}, clock=Clock(), on_change=lambda: None)
    mirror._list()
    api.present = lease(40)
    mirror.ask("pgset-orders")
    mirror.learn(lease(41))
    assert mirror.objects() == {"pgset-orders": lease(41)}
