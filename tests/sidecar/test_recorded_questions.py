"""Questions that members have signed, recorded by the thousand and sent again from everywhere."""

import contextlib
from collections.abc import Iterator

import pytest

from sidecar.observation import Identity, Pod
from sidecar.pledges import Pledges, Respondent
from sidecar.report.server import THREADS, HttpServer, Waiting, listen
from tests.sidecar.test_server import asked_from, rest
from tests.support.clock import Clock
from tests.support.http_server import PATIENT, HoldsUp
from tests.support.keys import seal_of

ME = Identity("orders-1", "uid-1")


@pytest.fixture
def open_clients() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def test_those_from_no_members_address_keep_no_member_waiting(
    open_clients: contextlib.ExitStack,
) -> None:
    answer = HoldsUp()

    def ask(query: str, address: str) -> bytes:
        return rest(open_clients.enter_context(asked_from(address, server, f"/?{query}")))

    server = HttpServer(
        answer,
        listen(0, "127.0.0.1"),
        waits=lambda _: Waiting.MEMBER,
        is_a_members=lambda address: address == "127.0.0.1",
        seconds=PATIENT,
    )
    server.start()
    for it in range(2, 30):
        open_clients.enter_context(asked_from(f"127.0.0.{it}", server, "/?replayed"))
    for _ in range(THREADS[Waiting.STRANGER]):
        assert answer.at_work.acquire(timeout=180)
    for _ in range(5):
        assert ask("mine", "127.0.0.1").startswith(b"HTTP/1.1 200 ")
    answer.go_on.set()
    # Nobody is kept out: another network may lie between.
    assert ask("other", "127.0.0.2").startswith(b"HTTP/1.1 200 ")
    server.stop()


@pytest.mark.parametrize(
    ("pods", "address", "may"),
    [
        ([None, "10.0.0.2"], "10.0.0.2", True),
        (["10.0.0.2"], "::ffff:10.0.0.2", True),
        (["fd00::a:2"], "fd00::A:2", True),
        (["10.0.0.2"], "10.0.0.3", False),
        ([None, ""], "", False),
        ([], "10.0.0.2", False),
        (None, "10.0.0.2", True),
    ],
    ids=["a pod's", "mapped", "IPv6", "nobody's", "gone", "no pods", "not known"],
)
def test_a_members_address_is_that_of_a_pod_of_the_set(
    pods: list[str | None] | None, address: str, *, may: bool
) -> None:
    known = None if pods is None else [Pod("orders-0", "uid-0", it, "primary") for it in pods]
    clock = Clock()
    asked = Respondent(
        ME,
        seal_of("secret"),
        Pledges(clock),
        lease=lambda: None,
        pods=lambda: known,
        clock=clock,
        primary="primary",
    )
    assert asked.is_a_members(address) is may
