"""An API server whose answers come late, or are refusals, costs no more than one that is dead.

The real ApiClient, Mirror, LeaseKeeper and Actor, against an API server on loopback.
"""

import copy
import json
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sidecar.act import Actor
from sidecar.action import AskToStay, Promote, RenewLease, SetSynchronous, TakeLease
from sidecar.decide import decide
from sidecar.kube.client import ApiClient, ConflictError, RetryLaterError
from sidecar.kube.lease import LeaseKeeper
from sidecar.memory.reach import Reach
from sidecar.observation import Identity, LeaseView, Observation
from sidecar.settings import Settings
from sidecar.situation import Situation
from tests.sidecar.rules.observations import (
    LEADER,
    NOW,
    RECORD,
    STREAMING,
    SYNC,
    WRITABLE,
    followers,
    lease,
)
from tests.support import loopback
from tests.support.line import Line
from tests.support.waiting import wait_until

SETTINGS = Settings(set_name="orders")
ME = Identity("orders-0", "uid-0")
KNOWN = RenewLease(
    system_identifier="111",
    timeline=1,
    members=("orders-0",),
    position=1000,
    voters=(),
    copies=0,
    heir=None,
    switchover_to=None,
)


class LeaseServer:
    """Holds one Lease, and tells whoever watches."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.version = 100
        self.lease: dict[str, Any] | None = None
        self.watchers: list[queue.Queue[dict[str, Any] | None]] = []
        self.refuse_with = 0
        self.hold = False
        self.held: list[tuple[str, dict[str, Any]]] = []
        """Writes that get no answer, and have not been carried out."""

    def write(self, method: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            have = self.lease["metadata"]["resourceVersion"] if self.lease else None
            if method == "PUT" and body["metadata"].get("resourceVersion") != have:
                return 409, {"message": "changed"}
            self.version += 1
            body["metadata"]["resourceVersion"] = str(self.version)
            self.lease = body
            for events in self.watchers:
                events.put({"type": "MODIFIED", "object": copy.deepcopy(body)})
            return 200, copy.deepcopy(body)

    def first_held(self) -> tuple[str, dict[str, Any]]:
        """Return the first write that is held: who sent it may have given up before it came."""
        wait_until(lambda: bool(self.held), "what was sent")
        return self.held[0]

    def land(self) -> int:
        """Carry out what is held, and return the status that nobody hears."""
        status, _ = self.write(*self.first_held())
        self.held.pop(0)
        return status

    def edit(self, **spec: Any) -> None:
        """Let somebody else change the Lease."""
        assert self.lease is not None
        body = copy.deepcopy(self.lease)
        body["metadata"].setdefault("annotations", {})["note"] = "by a person"
        body["spec"] |= spec
        assert self.write("PUT", body)[0] == 200


class Handler(loopback.QuietHandler):
    protocol_version = "HTTP/1.1"
    leases: LeaseServer

    def answer(self, code: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        if "watch=1" in self.path:
            self.watch()
            return
        with self.leases.lock:
            found, version = copy.deepcopy(self.leases.lease), self.leases.version
        if self.path.endswith("/pgset-orders"):
            self.answer(200 if found else 404, found or {})
        else:
            metadata = {"resourceVersion": str(version)}
            self.answer(200, {"metadata": metadata, "items": [found] if found else []})

    def watch(self) -> None:
        events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.leases.watchers.append(events)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while (event := events.get()) is not None:
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")

    def write(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.leases.refuse_with:
            self.answer(self.leases.refuse_with, {"message": "no"})
        elif self.leases.hold:
            self.leases.held.append((self.command, body))
            self.close_connection = True
            time.sleep(0.5)
        else:
            self.answer(*self.leases.write(self.command, body))

    do_PUT = do_POST = write


@pytest.fixture
def server() -> Iterator[LeaseServer]:
    leases = LeaseServer()
    handler = type("OfThisServer", (Handler,), {"leases": leases})

    def end_watches() -> None:
        for events in leases.watchers:
            events.put(None)

    with loopback.serving(handler, before_close=end_watches) as listener:
        leases.address = loopback.url(listener)  # type: ignore[attr-defined]
        yield leases


@pytest.fixture
def client(server: LeaseServer, tmp_path: Path) -> Iterator[ApiClient]:
    (tmp_path / "token").write_text("token")
    line = Line(server.address, tmp_path / "ca.crt", tmp_path / "token")  # type: ignore[attr-defined]
    yield line
    line.closed = True


@pytest.fixture
def keeper(server: LeaseServer, client: ApiClient) -> LeaseKeeper:
    """Of a member that holds the Lease, and watches it."""
    keeper = LeaseKeeper(client, "shop", SETTINGS, ME, clock=time.monotonic, on_change=lambda: None)
    keeper.start()
    wait_until(lambda: keeper.look() is not None, "the first list")
    wait_until(lambda: bool(server.watchers), "the watch")
    keeper.take(TakeLease(False))
    observe(keeper)
    return keeper


def observe(keeper: LeaseKeeper) -> LeaseView:
    view = keeper.look()
    assert view is not None
    return view


def version_of(keeper: LeaseKeeper) -> str:
    record = observe(keeper).record
    assert record is not None
    return record.resource_version


def renew_in_vain(keeper: LeaseKeeper, client: ApiClient, known: RenewLease = KNOWN) -> None:
    observe(keeper)
    client.hurry(time.monotonic() - 10.0)
    with pytest.raises(RetryLaterError):
        keeper.renew(known)
    client.hurry(float("inf"))


def test_a_renewal_that_lands_after_it_was_given_up_counts_from_when_it_was_sent(
    keeper: LeaseKeeper, client: ApiClient, server: LeaseServer
) -> None:
    before = observe(keeper).renewed_at
    assert before is not None
    server.hold = True
    sent_at = time.monotonic()
    renew_in_vain(keeper, client, replace(KNOWN, members=("orders-0", "orders-1")))
    given_up_at = time.monotonic()
    assert observe(keeper).renewed_at == before
    assert observe(keeper).possible_members == ("orders-0", "orders-1")
    assert server.land() == 200
    wait_until(lambda: observe(keeper).renewed_at != before, "the watch to tell of it")
    view = observe(keeper)
    assert view.renewed_at is not None
    assert sent_at <= view.renewed_at < given_up_at
    assert view.possible_members == ()
    assert view.record is not None
    assert view.record.members == ("orders-0", "orders-1")


@pytest.mark.thorough
def test_one_that_lands_in_spite_of_another_that_was_sent_after_it_counts_for_itself(
    keeper: LeaseKeeper, client: ApiClient, server: LeaseServer
) -> None:
    before = observe(keeper).renewed_at
    server.hold = True
    renew_in_vain(keeper, client)
    # Each request has a thread of its own there: the second one's may be run before this one's.
    server.first_held()
    between = time.monotonic()
    renew_in_vain(keeper, client)
    assert server.land() == 200
    assert server.land() == 409
    wait_until(lambda: observe(keeper).renewed_at != before, "the watch to tell of it")
    renewed_at = observe(keeper).renewed_at
    assert renewed_at is not None
    assert renewed_at < between


@pytest.mark.parametrize(
    "spec",
    [{}, {"renewTime": "2026-01-01T00:00:00.000000Z"}],
    ids=["a note of a person's", "another time"],
)
def test_another_version_alone_proves_no_renewal(
    keeper: LeaseKeeper, client: ApiClient, server: LeaseServer, spec: dict[str, str]
) -> None:
    before, version = observe(keeper), version_of(keeper)
    server.hold = True
    renew_in_vain(keeper, client)
    server.edit(**spec)
    wait_until(lambda: version_of(keeper) != version, "the edit to be heard of")
    assert observe(keeper).renewed_at == before.renewed_at


def test_a_lease_that_is_another_s_proves_no_renewal(
    keeper: LeaseKeeper, client: ApiClient, server: LeaseServer
) -> None:
    before, version = observe(keeper), version_of(keeper)
    server.hold = True
    renew_in_vain(keeper, client)
    _, body = server.first_held()
    server.edit(holderIdentity="orders-1_uid-1", renewTime=body["spec"]["renewTime"])
    wait_until(lambda: version_of(keeper) != version, "the edit to be heard of")
    assert observe(keeper).renewed_at == before.renewed_at


def test_a_take_that_lands_late_counts_from_when_it_was_sent(
    client: ApiClient, server: LeaseServer
) -> None:
    keeper = LeaseKeeper(client, "shop", SETTINGS, ME, clock=time.monotonic, on_change=lambda: None)
    keeper.start()
    wait_until(lambda: keeper.look() is not None, "the first list")
    wait_until(lambda: bool(server.watchers), "the watch")
    server.hold = True
    client.hurry(time.monotonic() - 10.0)
    with pytest.raises(RetryLaterError):
        keeper.take(TakeLease(False))
    given_up_at = time.monotonic()
    assert observe(keeper).renewed_at is None
    assert server.land() == 200
    wait_until(lambda: observe(keeper).renewed_at is not None, "the watch to tell of it")
    view = observe(keeper)
    assert view.renewed_at is not None
    assert view.renewed_at < given_up_at
    assert view.record is not None
    assert view.record.holder == str(ME)


def test_a_renewal_that_is_refused_by_an_older_lease_makes_that_one_known_at_once(
    keeper: LeaseKeeper, server: LeaseServer
) -> None:
    """etcd was restored, and a watch of the API server waits for a version that is yet to come."""
    before = version_of(keeper)
    server.edit()
    wait_until(lambda: version_of(keeper) != before, "all that the watch has to tell")
    assert server.lease is not None
    server.lease["metadata"]["resourceVersion"] = "50"
    with pytest.raises(ConflictError):
        keeper.renew(KNOWN)
    assert (version_of(keeper), observe(keeper).went_back) == ("50", True)


class Hands:
    """What renews, with the real keeper."""

    def __init__(self, keeper: LeaseKeeper) -> None:
        self.reach = Reach()
        self.adapters: Any = SimpleNamespace(
            lease=keeper, reach=self.reach, clock=time.monotonic, settings=SETTINGS, me=ME
        )
        events: Any = None
        self.actor = Actor(self.adapters, events)

    def failed_at(self) -> float | None:
        return self.reach.renewal_failed_at(self.adapters.lease.peek())

    def after_acting(self) -> Observation:
        lease = self.adapters.lease.peek()
        return self.reach.after_acting(LEADER, lease, time.monotonic())

    def renew(self) -> str | None:
        self.adapters.lease.look()
        return self.actor.carry_out((KNOWN,), float("inf"))


@pytest.mark.parametrize("status", [401, 403, 422, 429, 500])
def test_a_refused_renewal_counts_as_one_without_an_answer_and_the_server_as_heard(
    keeper: LeaseKeeper, server: LeaseServer, status: int
) -> None:
    hands = Hands(keeper)
    server.refuse_with = status
    began = time.monotonic()
    assert hands.renew() is not None
    assert hands.failed_at() is not None
    assert observe(keeper).heard_at >= began
    server.refuse_with = 0
    assert hands.renew() is None
    assert hands.failed_at() is None


def test_a_renewal_that_ends_as_none_should_may_have_landed(
    keeper: LeaseKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Hands(keeper)
    observe(keeper)

    def write(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(keeper, "_write", write)
    assert hands.renew() is not None
    assert hands.failed_at() is not None


def test_that_another_holds_the_lease_is_no_failed_renewal(
    keeper: LeaseKeeper, server: LeaseServer
) -> None:
    hands = Hands(keeper)
    observe(keeper)
    server.edit(holderIdentity="orders-1_uid-1")
    assert hands.actor.carry_out((KNOWN,), float("inf")) is not None
    assert hands.failed_at() is None


def test_a_failed_renewal_is_forgotten_once_it_was_seen_to_have_landed(
    keeper: LeaseKeeper, client: ApiClient, server: LeaseServer
) -> None:
    hands = Hands(keeper)
    server.hold = True
    client.hurry(time.monotonic() - 10.0)
    assert hands.renew() is not None
    assert hands.failed_at() is not None
    assert hands.after_acting().renewal_failed_at is not None
    server.land()
    wait_until(lambda: hands.after_acting().renewal_failed_at is None, "the landing")


# ── what is decided ───────────────────────────────────────────────────────────────────────


def test_members_are_asked_by_the_age_of_the_last_renewal_whatever_else_was_heard() -> None:
    heard_now = lease(RECORD, renewed_at=NOW - 2.5, changed_at=NOW - 0.1, heard_at=NOW - 0.1)
    failing = replace(LEADER, lease=heard_now, renewal_failed_at=NOW - 0.1)
    assert AskToStay(("orders-1", "orders-2")) in decide(failing, SETTINGS).actions
    young = replace(heard_now, renewed_at=NOW - 1.5)
    assert not _asks(replace(failing, lease=young))
    assert not _asks(replace(failing, renewal_failed_at=None))


def _asks(observation: Any) -> bool:
    actions = decide(observation, SETTINGS).actions
    return any(isinstance(action, AskToStay) for action in actions)


def test_a_question_that_failed_before_somebody_was_heard_stops_nobody() -> None:
    silent = lease(RECORD, renewed_at=NOW - 2.3, changed_at=NOW - 2.3, heard_at=NOW - 2.3)
    seen = replace(
        LEADER,
        lease=silent,
        postgres=replace(WRITABLE, followers_heard_at=NOW - 2.1),
        renewal_failed_at=NOW - 0.05,
    )
    assert _asks(replace(seen, question_failed_at=NOW - 86400.0))
    assert _asks(replace(seen, question_failed_at=NOW - 2.2))
    assert decide(replace(seen, question_failed_at=NOW - 0.5), SETTINGS).situation == "Isolated"


def test_after_a_failed_renewal_it_looks_again_soon() -> None:
    due = lease(RECORD, renewed_at=NOW - 2.1, heard_at=NOW - 0.1)
    assert decide(replace(LEADER, lease=due), SETTINGS).look_in < 0.5
    # Not as soon: every set of the cluster may be refused, and asks again.
    failed = replace(LEADER, lease=due, renewal_failed_at=NOW)
    assert decide(failed, SETTINGS).look_in == pytest.approx(0.5)
    # One that was sent early, as it had something to tell.
    young = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - 0.5, heard_at=NOW - 0.1))
    assert decide(young, SETTINGS).look_in > 0.5
    assert decide(replace(young, renewal_failed_at=NOW), SETTINGS).look_in <= 0.5


def test_a_stopped_holder_is_promoted_before_a_renewal_that_is_only_due() -> None:
    """Where each renewal lands and none is answered, nobody would lead otherwise."""
    due = lease(RECORD, renewed_at=NOW - 2.1)
    stopped = replace(LEADER, lease=due, postgres=replace(STREAMING, streaming=False))
    actions = decide(stopped, SETTINGS).actions
    kinds = [type(action) for action in actions if isinstance(action, Promote | RenewLease)]
    assert kinds == [Promote, RenewLease]
    late = replace(stopped, lease=lease(RECORD, renewed_at=NOW - 5.0))
    kinds = [type(action) for action in decide(late, SETTINGS).actions]
    assert kinds.index(RenewLease) < kinds.index(Promote)


def test_what_a_renewal_without_an_answer_may_have_promised_is_kept() -> None:
    alone = replace(RECORD, voters=("orders-0",), copies=1)
    both = (("orders-0", "orders-1"), 2)
    waits = replace(WRITABLE, waits_for=("orders-1",), waits_for_number=1, waits_from=4000)
    lost = replace(LEADER, lease=lease(alone), postgres=replace(waits, followers=()))
    weaker = SetSynchronous((), 0)
    assert weaker in decide(lost, SYNC).actions
    perhaps = replace(lost, lease=lease(alone, possible_promises=(both,)))
    assert weaker not in decide(perhaps, SYNC).actions
    known = replace(lost, lease=lease(alone, possible_promises=((("orders-0",), 1),)))
    assert weaker in decide(known, SYNC).actions
    streams = replace(perhaps, postgres=replace(waits, followers=followers(1)))
    assert Situation(streams, SYNC).durability.setting_is_right
