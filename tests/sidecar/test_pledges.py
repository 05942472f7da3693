"""What a yes to the failsafe question binds, over real HTTP between two sidecars."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from sidecar.failsafe import MAX_BODY, PATH, SIGNATURE_HEADER, Question, Reply, Seal
from sidecar.observation import Identity, LeaseRecord, LeaseView, Pod
from sidecar.peers import Peers
from sidecar.pledges import PledgedError, Pledges, Respondent
from sidecar.report.http import Application
from sidecar.report.message import Answer, Request
from sidecar.report.metrics import Metrics
from sidecar.report.snapshot import Reporter
from sidecar.settings import Settings
from tests.support.clock import Clock
from tests.support.database import free_port
from tests.support.http_server import serving
from tests.support.keys import seal_of
from tests.support.patient_peers import patient_peers
from tests.support.waiting import wait_until

HOLDER = Identity("orders-0", "uid-0")
RECORD = LeaseRecord(str(HOLDER), 10, "100", members=("orders-0", "orders-1", "orders-2"))
RELEASED = replace(RECORD, holder="", resource_version="101")
SEAL = seal_of("secret", "shop", "orders")
SETTINGS = Settings(set_name="orders")


@dataclass
class Member:
    """A member that is asked: what it knows, what it has pledged, and where it listens."""

    ordinal: int
    seal: Seal = SEAL
    lease: LeaseView | None = field(default_factory=lambda: LeaseView(RECORD, changed_at=0.0))
    clock: Clock = field(default_factory=Clock)
    pods: tuple[Pod, ...] | None = ()
    paused: bool = False

    def __post_init__(self) -> None:
        self.me = Identity(f"orders-{self.ordinal}", f"uid-{self.ordinal}")
        self.address = f"127.0.0.{self.ordinal + 2}"
        self.pod = Pod(self.me.name, self.me.uid, self.address, "replica")
        self.pledges = Pledges(self.clock)
        self.respondent = Respondent(
            self.me,
            self.seal,
            self.pledges,
            lease=lambda: self.lease,
            pods=lambda: self.pods,
            clock=self.clock,
            primary="primary",
            paused=lambda: self.paused,
        )

    @contextlib.contextmanager
    def listening(self, port: int) -> Iterator[None]:
        reporter = Reporter(self.clock)
        metrics = Metrics(reporter, "orders")
        application = Application(reporter, metrics, SETTINGS, respondent=self.respondent)
        with serving(application, self.address, port):
            yield

    def left(self) -> float | None:
        """Seconds for which it is bound."""
        until = self.pledges.until()
        return None if until is None else until - self.clock()


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture
def holder(port: int) -> Peers:
    return patient_peers(HOLDER, seal=SEAL, ttl=10, clock=Clock(), port=port)


@pytest.fixture
def one(port: int) -> Iterator[Member]:
    member = Member(1)
    with member.listening(port):
        yield member


@pytest.fixture
def two(port: int) -> Iterator[Member]:
    member = Member(2)
    with member.listening(port):
        yield member


MEMBERS = RECORD.members


def test_who_is_let_stay_by_all_may_stay_and_they_are_bound_for_a_ttl(
    holder: Peers, one: Member, two: Member
) -> None:
    assert holder.ask_to_stay((one.pod, two.pod), MEMBERS, RECORD)
    assert [one.left(), two.left()] == [10.0, 10.0]


def test_a_holder_without_other_members_needs_nobodys_leave(holder: Peers) -> None:
    assert holder.ask_to_stay((), ("orders-0",), RECORD)


def test_a_holder_that_is_being_deleted_hears_so_from_who_hears_the_api_server(
    holder: Peers, one: Member, two: Member
) -> None:
    going = Pod(HOLDER.name, HOLDER.uid, None, "primary", deleting=True)
    two.lease = LeaseView(RECORD, changed_at=0.0, heard_at=two.clock())
    two.pods = (going, two.pod)
    assert not holder.ask_to_stay((one.pod, two.pod), MEMBERS, RECORD)
    assert two.left() is None
    two.paused = True
    assert holder.ask_to_stay((one.pod, two.pod), MEMBERS, RECORD)


def test_one_no_is_enough(holder: Peers, one: Member, two: Member) -> None:
    two.lease = LeaseView(RELEASED, changed_at=0.0)
    assert not holder.ask_to_stay((one.pod, two.pod), MEMBERS, RECORD)
    assert (one.left(), two.left()) == (10.0, None)


def test_a_no_is_a_sign_of_life(holder: Peers, two: Member) -> None:
    two.lease = LeaseView(RELEASED, changed_at=0.0)
    holder.ask_to_stay((two.pod,), MEMBERS, RECORD)
    assert holder.heard_at == 1000.0


@pytest.mark.parametrize(
    "pods",
    [(Member(1).pod,), (Member(1).pod, replace(Member(2).pod, ip=None))],
    ids=["its pod is not known", "it has no address"],
)
def test_a_member_that_cannot_be_asked_has_not_said_yes(
    holder: Peers, one: Member, pods: tuple[Pod, ...]
) -> None:
    assert not holder.ask_to_stay(pods, MEMBERS, RECORD)
    assert one.left() == 10.0


def test_a_member_that_is_silent_costs_one_deadline_and_the_leave(one: Member, port: int) -> None:
    holder = Peers(HOLDER, seal=SEAL, ttl=10, clock=Clock(), port=port)
    frozen = Member(2)

    def heard() -> bool:
        """The other one; it is asked again if the machine was too busy, and was too late."""
        began = time.monotonic()
        assert not holder.ask_to_stay((one.pod, frozen.pod), MEMBERS, RECORD)
        assert time.monotonic() - began < 120.0
        return holder.heard_at == 1000.0

    with socket.create_server((frozen.address, port)):
        wait_until(heard, "the one that answers")


def test_nobody_is_heard_where_nobody_answers(holder: Peers) -> None:
    assert not holder.ask_to_stay((Member(1).pod,), ("orders-1",), RECORD)
    assert holder.heard_at == float("-inf")


@pytest.mark.parametrize(
    "seal",
    [
        seal_of("other", "shop", "orders"),
        seal_of("secret", "shop", "bills"),
        seal_of("secret", "test", "orders"),
        seal_of("", "shop", "orders"),
    ],
    ids=["password", "set", "namespace", "no password"],
)
def test_members_of_different_sets_do_not_believe_each_other(port: int, seal: Seal) -> None:
    stranger = Member(1, seal=seal)
    asker = patient_peers(HOLDER, seal=SEAL, ttl=10, clock=Clock(), port=port)
    with stranger.listening(port):
        assert not asker.ask_to_stay((stranger.pod,), ("orders-1",), RECORD)
    assert (stranger.left(), asker.heard_at) == (None, float("-inf"))


def test_without_a_password_nobody_stays_by_anybodys_leave(port: int) -> None:
    open_to_all = seal_of("", "shop", "orders")
    member = Member(1, seal=open_to_all)
    asker = patient_peers(HOLDER, seal=open_to_all, ttl=10, clock=Clock(), port=port)
    with member.listening(port):
        assert not asker.ask_to_stay((member.pod,), ("orders-1",), RECORD)
    assert member.left() is None


def test_the_answer_of_another_member_at_that_address_does_not_count(
    holder: Peers, two: Member
) -> None:
    moved = replace(Member(1).pod, ip=two.address)
    assert not holder.ask_to_stay((moved,), ("orders-1",), RECORD)
    assert two.left() is None


def test_a_pledge_holds_although_the_lease_is_learnt_of_later(holder: Peers, one: Member) -> None:
    one.lease = None
    assert holder.ask_to_stay((one.pod,), ("orders-1",), RECORD)
    one.clock.advance(9.9)
    bound = one.left()
    one.clock.advance(0.2)
    assert (bound is not None, one.left()) == (True, None)


# ── replays ───────────────────────────────────────────────────────────────────────────────


def question(**values: object) -> Question:
    asked = Question("orders", "shop", str(HOLDER), "100", "orders-1", "once", 10)
    return replace(asked, **values)  # type: ignore[arg-type]


def respond(member: Member, asked: Question) -> tuple[int, str]:
    """The code of the answer, and the challenge in it."""
    body = asked.encode()
    response = member.respondent.respond(body, SEAL.sign("question", body))
    challenge = response.body.get("challenge", "") if isinstance(response.body, dict) else ""
    return response.code, challenge


def test_a_question_that_is_sent_again_extends_nothing() -> None:
    member = Member(1)
    challenge = respond(member, question())[1]
    codes = [respond(member, question(challenge=challenge))[0]]
    member.clock.advance(1.5)
    codes.append(respond(member, question(challenge=challenge))[0])
    left = member.left()
    member.clock.advance(1)
    codes.append(respond(member, question(challenge=challenge))[0])
    assert (codes, left, member.left()) == ([200, 200, 401], 8.5, 7.5)


def test_a_pledge_counts_from_the_challenge_however_long_the_question_took() -> None:
    """The holder counts from before it asked for the first time, and so is never bound longer."""
    member = Member(1)
    challenge = respond(member, question())[1]
    member.clock.advance(1.9)
    assert respond(member, question(challenge=challenge))[0] == 200
    assert member.left() == pytest.approx(8.1)


def test_a_sidecar_that_was_restarted_believes_no_challenge_of_its_former_life() -> None:
    challenge = respond(Member(1), question())[1]
    born_again = Member(1)
    assert respond(born_again, question(challenge=challenge))[0] == 401
    assert born_again.left() is None


def test_an_answer_to_an_earlier_question_is_not_believed(port: int) -> None:
    """Someone in between answers with what a member has said before, signed and all."""
    member = Member(1)
    challenge = respond(member, question())[1]
    body = question(challenge=challenge).encode()
    old = member.respondent.respond(body, SEAL.sign("question", body))
    assert isinstance(old.body, bytes)
    asker = patient_peers(HOLDER, seal=SEAL, ttl=10, clock=Clock(), port=port)
    said, headers = old.body, ((SIGNATURE_HEADER, old.signature or ""),)

    def replay(request: Request) -> Answer:
        asked = Question.decode(request.body)
        return Answer(200, said if asked.challenge else b'{"challenge": "x"}', headers=headers)

    with serving(replay, member.address, port):
        assert not asker.ask_to_stay((member.pod,), ("orders-1",), RECORD)
    assert asker.heard_at == float("-inf")


def test_the_question_itself_sent_back_is_no_answer(port: int) -> None:
    asker = patient_peers(HOLDER, seal=SEAL, ttl=10, clock=Clock(), port=port)

    def reflect(request: Request) -> Answer:
        signature = request.headers[SIGNATURE_HEADER.lower()]
        said = request.body if Question.decode(request.body).challenge else b'{"challenge": "x"}'
        return Answer(200, said, headers=((SIGNATURE_HEADER, signature),))

    with serving(reflect, "127.0.0.3", port):
        assert not asker.ask_to_stay((Member(1).pod,), ("orders-1",), RECORD)


# ── pledging and taking ────────────────────────────────────────────────────────────────────


def yes() -> str | None:
    return None


def seen(record: LeaseRecord, **changes: Any) -> LeaseView:
    return replace(LeaseView(record, changed_at=0.0), **changes)


@pytest.mark.parametrize("record", [RECORD, None], ids=["held", "deleted meanwhile"])
def test_a_lease_is_not_taken_while_its_holder_has_a_pledge(
    record: LeaseRecord | None,
) -> None:
    clock = Clock()
    pledges = Pledges(clock)
    pledges.give(question(), clock() + 10, yes)
    with (
        pytest.raises(PledgedError, match="pledged to orders-0_uid-0"),
        pledges.taking(record and seen(record)),
    ):
        pytest.fail("it was taken")
    clock.advance(10)
    with pledges.taking(record and seen(record)):
        pass


def test_a_lease_that_was_released_may_be_taken_in_spite_of_a_pledge() -> None:
    clock = Clock()
    pledges = Pledges(clock)
    pledges.give(question(), clock() + 10, yes)
    with pledges.taking(seen(RELEASED)):
        assert pledges.give(question(), clock() + 10, yes) is not None


def test_a_pledge_is_over_once_the_lease_was_released_and_taken() -> None:
    pledges = Pledges(clock := Clock())
    pledges.give(question(), clock() + 10, yes)
    with pledges.taking(seen(RELEASED)):
        pass
    assert pledges.until() is None


def test_a_release_from_before_the_pledge_releases_nobody() -> None:
    """The Lease has gone back to a time before the holder took it."""
    pledges = Pledges(clock := Clock())
    pledges.give(question(), clock() + 10, yes)
    with (
        pytest.raises(PledgedError, match="pledged to orders-0_uid-0"),
        pledges.taking(seen(replace(RELEASED, resource_version="99"))),
    ):
        pytest.fail("it was taken")


@pytest.mark.parametrize(
    ("after", "by", "taken"),
    [(1, "orders-0_uid-0", True), (1, "orders-2_uid-2", False), (-1, "orders-0_uid-0", False)],
    ids=["by its holder", "by another", "the pledge is newer"],
)
def test_after_the_lease_has_gone_back_only_its_holders_own_release_counts(
    after: int, by: str, *, taken: bool
) -> None:
    """Versions begin anew from an older one, and tell nothing of what came first."""
    pledges = Pledges(clock := Clock())
    pledges.give(question(), clock() + 10, yes)
    fell = (clock() + after, by)
    lease = seen(replace(RELEASED, resource_version="50"), released_after_fall=fell)
    with contextlib.nullcontext() if taken else pytest.raises(PledgedError), pledges.taking(lease):
        pass


def test_nothing_is_pledged_while_the_lease_is_being_taken_and_all_of_it_afterwards() -> None:
    pledges = Pledges(Clock())
    with pledges.taking(None):
        meanwhile = pledges.give(question(), 1010, yes)
    assert meanwhile == "this member is taking the Lease right now"
    assert pledges.give(question(), 1010, yes) is None


def test_a_take_that_failed_lets_pledge_again() -> None:
    pledges = Pledges(Clock())
    with contextlib.suppress(OSError), pledges.taking(None):
        raise OSError
    assert pledges.give(question(), 1010, yes) is None


def test_two_holders_do_not_get_the_same_pledge() -> None:
    """The one with the older record may be wrong; the one with the newer has it from the other."""
    clock = Clock()
    pledges = Pledges(clock)
    pledges.give(question(), 1010, yes)
    older = question(holder="orders-2_uid-2", resource_version="99")
    newer = question(holder="orders-2_uid-2", resource_version="101")
    refused = pledges.give(older, 1010, yes)
    assert refused == "this member has pledged the same to orders-0_uid-0"
    assert pledges.give(newer, 1005, yes) is None
    assert pledges.until() == 1010
    clock.advance(11)
    assert pledges.give(older, 1021, yes) is None


def test_a_pledge_that_would_be_over_already_is_none() -> None:
    pledges = Pledges(Clock())
    assert pledges.give(question(), 1000, yes) == "the question came too late"
    assert pledges.until() is None


@pytest.mark.thorough
def test_of_a_pledge_and_a_take_at_the_same_time_only_one_succeeds() -> None:
    """Many times, from many threads: a holder with a pledge is never taken from."""
    for _ in range(200):
        pledges, start = Pledges(Clock()), threading.Barrier(6)
        taken, pledged = threading.Event(), list[bool]()

        def refuse(taken: threading.Event = taken) -> str | None:
            return "taken" if taken.is_set() else None

        def take(
            pledges: Pledges = pledges,
            start: threading.Barrier = start,
            taken: threading.Event = taken,
        ) -> None:
            start.wait()
            with contextlib.suppress(PledgedError), pledges.taking(seen(RECORD)):
                taken.set()

        def pledge(
            pledges: Pledges = pledges,
            start: threading.Barrier = start,
            pledged: list[bool] = pledged,
        ) -> None:
            start.wait()
            pledged.append(pledges.give(question(), 1010, refuse) is None)

        threads = [threading.Thread(target=take)]
        threads += [threading.Thread(target=pledge) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not (taken.is_set() and any(pledged))
        assert taken.is_set() or any(pledged)


# ── what else is sent there ───────────────────────────────────────────────────────────────


def send(
    member: Member, port: int, method: str, body: bytes, signature: str = ""
) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection(member.address, port, timeout=180)
    with contextlib.closing(connection):
        connection.request(method, PATH, body=body, headers={SIGNATURE_HEADER: signature})
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def test_a_question_needs_a_signature(one: Member, port: int) -> None:
    sentence = {"error": "this question is not signed by a member of the set"}
    assert send(one, port, "POST", question().encode()) == (403, sentence)
    assert send(one, port, "POST", b"", "nonsense") == (403, sentence)


def test_what_a_member_signed_must_be_a_question(one: Member, port: int) -> None:
    code, answer = send(one, port, "POST", b"{}", SEAL.sign("question", b"{}"))
    assert (code, answer["error"][:23]) == (400, "this is not a question:")


def test_a_body_that_is_too_large_is_not_read(one: Member, port: int) -> None:
    body = b"x" * (MAX_BODY + 1)
    assert send(one, port, "POST", body, SEAL.sign("question", body)) == (
        413,
        {"error": "the body is too long; allowed: at most 4096 bytes"},
    )


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_the_question_is_only_ever_posted(one: Member, port: int, method: str) -> None:
    sentence = {"error": f"method {method} is not allowed; allowed: POST"}
    assert send(one, port, method, b"") == (405, sentence)


def test_a_refusal_says_why_and_is_signed() -> None:
    one = Member(1)
    one.lease = LeaseView(RELEASED, changed_at=0.0)
    challenge = respond(one, question())[1]
    body = question(challenge=challenge).encode()
    response = one.respondent.respond(body, SEAL.sign("question", body))
    assert isinstance(response.body, bytes)
    assert response.code == 409
    assert SEAL.is_mine("answer", response.body, response.signature or "")
    sentence = "a newer version of the Lease names nobody as its holder"
    assert Reply.decode(response.body) == Reply("once", "orders-1", sentence)
