"""What a leader is chosen by is signed: no forger, and nobody in between, is believed."""

import contextlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sidecar.decide import decide
from sidecar.failsafe import (
    MAX_BODY,
    NONCE_HEADER,
    PATH,
    SIGNATURE_HEADER,
    Seal,
    status_question,
)
from sidecar.observation import Identity, Peer, Pod
from sidecar.pledges import Pledges, Respondent
from sidecar.report.http import Application
from sidecar.report.message import Answer, Request
from sidecar.report.metrics import Metrics
from sidecar.report.server import Waiting
from sidecar.report.snapshot import Reporter, Snapshot
from tests.sidecar.test_peers import RUNNING, SETTINGS, STREAMING, observation
from tests.support.clock import Clock
from tests.support.database import free_port
from tests.support.http_server import serving
from tests.support.keys import seal_of
from tests.support.patient_peers import patient_peers

SEAL = seal_of("secret")
NO_PASSWORD = seal_of("")
ME = Identity("orders-0", "uid-0")
ADDRESS = "127.0.7.1"
POD = Pod("orders-1", "uid-1", ADDRESS, role=None)
OLDER = replace(POD, signs=False)
TOLD = Peer("orders-1", True, "111", 2, 5000, running=True)
FORGED = 2**50


def member(seal: Seal = SEAL, ordinal: int = 1) -> Application:
    """The HTTP part of a member's sidecar."""
    reporter = Reporter(Clock())
    seen = observation(ordinal, RUNNING, STREAMING)
    reporter.publish(Snapshot(seen, decide(seen, SETTINGS), None))
    respondent = Respondent(
        seen.me,
        seal,
        Pledges(Clock()),
        lease=lambda: None,
        pods=lambda: (),
        clock=Clock(),
        primary="primary",
    )
    return Application(reporter, Metrics(reporter, "orders"), SETTINGS, respondent=respondent)


def older_member(request: Request) -> Answer:
    """One of version 0.2.0, which neither asks for a signature nor gives one."""
    assert SIGNATURE_HEADER.lower() not in request.headers
    return member().answer("GET", request.path, request.query)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


def ask(port: int, pod: Pod = POD, seal: Seal = SEAL) -> Peer | None:
    peers = patient_peers(ME, seal=seal, clock=Clock(), port=port)
    return peers.ask((pod,)).get(pod.name)


def forged(answer: Answer) -> Answer:
    """The same with a position that would make its member lead, or keep others from it."""
    told = json.loads(answer.body)
    told["pgset"]["position"] = FORGED
    return replace(answer, body=json.dumps(told).encode())


@contextlib.contextmanager
def attacker(port: int, change: bool, *, unsigned: bool = False) -> Iterator[None]:
    """Somebody on the way to a real member."""

    def between(request: Request) -> Answer:
        answer = member()(request)
        answer = forged(answer) if change else answer
        return replace(answer, headers=()) if unsigned else answer

    with serving(between, ADDRESS, port):
        yield


def test_a_member_of_the_set_is_believed(port: int) -> None:
    with serving(member(), ADDRESS, port):
        assert ask(port) == TOLD


@pytest.mark.parametrize(
    ("change", "unsigned"),
    [(True, False), (True, True), (False, True)],
    ids=["changed on the way", "changed and unsigned", "unsigned"],
)
def test_who_is_in_between_is_not_believed(port: int, change: bool, unsigned: bool) -> None:
    with attacker(port, change, unsigned=unsigned):
        assert ask(port) is None


@pytest.mark.parametrize(
    "seal",
    [
        seal_of("other"),
        seal_of("secret", "test"),
        seal_of("secret", set_name="bills"),
        NO_PASSWORD,
    ],
    ids=["password", "namespace", "set", "no password"],
)
def test_a_member_of_another_set_is_not_believed(port: int, seal: Seal) -> None:
    with serving(member(seal), ADDRESS, port):
        assert ask(port) is None


def test_a_true_answer_to_an_earlier_question_is_not_believed(port: int) -> None:
    kept: list[Answer] = []

    def replays(request: Request) -> Answer:
        kept.append(member()(request))
        return kept[0]

    with serving(replays, ADDRESS, port):
        assert (ask(port), ask(port)) == (TOLD, None)


def test_a_true_answer_of_another_member_is_not_believed(port: int) -> None:
    """Somebody passes the question on: the signature is for one pod, whatever the body says."""
    other = member(ordinal=2)

    def passes_on(request: Request) -> Answer:
        answer = other(request)
        assert answer.headers == ()
        return answer

    with serving(passes_on, ADDRESS, port):
        assert ask(port) is None


def test_a_question_for_old_news_is_not_answered_as_one_for_fresh(port: int) -> None:
    """Whoever is in between may not have a member asked for less than it was."""
    codes: list[tuple[tuple[str, str], ...]] = []

    def drops_the_query(request: Request) -> Answer:
        answer = member()(replace(request, query=""))
        codes.append(answer.headers)
        return answer

    peers = patient_peers(ME, seal=SEAL, clock=Clock(), port=port)
    with serving(drops_the_query, ADDRESS, port):
        assert peers.ask((POD,), fresh=True) == {}
    assert codes == [()]


def test_a_stranger_reads_the_status_and_gets_no_signature_to_try_guesses_on() -> None:
    application = member()
    answers = [
        application(Request("GET", "/status", headers=headers))
        for headers in (
            {},
            {NONCE_HEADER.lower(): "1"},
            {NONCE_HEADER.lower(): "1", SIGNATURE_HEADER.lower(): "ü" * 64},
        )
    ]
    assert [(answer.code, answer.headers) for answer in answers] == [(200, ())] * 3


def test_a_member_of_version_0_2_0_is_believed_for_as_long_as_its_pod_is_there(port: int) -> None:
    """A set of both can elect; what the API server shows is what counts, not the answer."""
    with serving(older_member, ADDRESS, port):
        assert ask(port, OLDER) == TOLD
        with pytest.raises(AssertionError):
            older_member(Request("GET", "/status", headers={SIGNATURE_HEADER.lower(): "x"}))
    with attacker(port, change=False, unsigned=True):
        assert ask(port, POD) is None


def test_a_member_of_version_0_2_0_gets_its_answer(port: int) -> None:
    with serving(member(), ADDRESS, port):
        client = http.client.HTTPConnection(ADDRESS, port, timeout=180)
        client.request("GET", "/status?fresh=1")
        assert json.loads(client.getresponse().read())["pgset"]["position"] == 5000
        client.close()


def test_without_a_password_members_believe_who_answers_as_before(port: int) -> None:
    """There is no key. Such a set has no replicas, and a set of one asks nobody."""
    with serving(member(NO_PASSWORD), ADDRESS, port):
        assert ask(port, seal=NO_PASSWORD) == TOLD


def test_a_question_that_is_sent_again_waits_as_a_strangers() -> None:
    """Who has seen one pass could keep all members from their answers by it."""
    asked, uid = member(), "uid-1"
    first, second = (
        Request(
            "GET",
            "/status",
            "fresh=1",
            {k.lower(): v for k, v in status_question(SEAL, nonce, uid, "fresh=1").items()},
        )
        for nonce in ("7", "8")
    )
    waits = [asked.waits(it) for it in (first, first, second, first)]
    member_, stranger = Waiting.MEMBER, Waiting.STRANGER
    assert waits == [member_, stranger, member_, stranger]


@pytest.mark.parametrize(
    ("seal", "waits_as"), [(SEAL, Waiting.MEMBER), (seal_of("guessed"), Waiting.STRANGER)]
)
def test_who_asks_what_a_member_has_waits_with_members_only_as_one(
    seal: Seal, waits_as: Waiting
) -> None:
    fields = status_question(seal, "a nonce", "uid-1", "fresh=1")
    headers = {name.lower(): value for name, value in fields.items()}
    assert member().waits(Request("GET", "/status", "fresh=1", headers)) is waits_as


@pytest.mark.parametrize(
    ("body", "seal", "waits_as"),
    [
        (b"{}", SEAL, Waiting.FAILSAFE),
        (b"{}", seal_of("guessed"), None),
        (b"x" * (MAX_BODY + 1), SEAL, None),
    ],
    ids=["signed", "by nobody of the set", "too long"],
)
def test_a_question_that_is_refused_takes_no_members_place(
    body: bytes, seal: Seal, waits_as: Waiting | None
) -> None:
    headers = {SIGNATURE_HEADER.lower(): seal.sign("question", body)}
    assert member().waits(Request("POST", PATH, "", headers, body)) is waits_as
