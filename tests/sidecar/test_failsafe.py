"""The failsafe question: its form, its signatures, and who says no."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.failsafe import CHALLENGE_SECONDS, Challenges, Question, Reply, Seal, refusal
from sidecar.observation import Identity, LeaseRecord, LeaseView, Pod
from tests.support.clock import Clock
from tests.support.keys import keys_of, seal_of

ME = Identity("orders-1", "uid-1")
SEAL = seal_of("secret", "shop", "orders")
QUESTION = Question(
    set="orders",
    namespace="shop",
    holder="orders-0_uid-0",
    resource_version="100",
    to="orders-1",
    nonce="once",
    ttl=10,
)
PODS = (Pod("orders-0", "uid-0", "10.0.0.1", "primary"), Pod("orders-1", "uid-1", None, "replica"))


def view(holder: str, version: int, *, uncertain: bool = False) -> LeaseView:
    record = LeaseRecord(holder, 10, str(version), members=("orders-0", "orders-1"))
    return LeaseView(record, changed_at=0.0, uncertain_take=uncertain)


LED = view("orders-0_uid-0", 100)


@pytest.mark.parametrize(
    "lease",
    [
        LED,
        view("orders-0_uid-0", 150),
        view("orders-0_uid-0", 50),
        view("orders-2_uid-2", 50),
        view("", 99),
        LeaseView(None, changed_at=0.0),
        None,
    ],
    ids=[
        "it holds",
        "it has renewed since",
        "an old record of it",
        "an old record of another",
        "a release before",
        "no Lease",
        "never heard of one",
    ],
)
def test_a_holder_that_no_newer_record_contradicts_may_stay(lease: LeaseView | None) -> None:
    assert refusal(QUESTION, ME, SEAL, lease, PODS) is None


@pytest.mark.parametrize(
    ("lease", "sentence"),
    [
        (
            view("orders-2_uid-2", 101),
            "a newer version of the Lease names orders-2_uid-2 as its holder",
        ),
        (
            view("orders-2_uid-2", 100),
            "a newer version of the Lease names orders-2_uid-2 as its holder",
        ),
        (
            view("orders-0_later", 101),
            "a newer version of the Lease names orders-0_later as its holder",
        ),
        (view("", 101), "a newer version of the Lease names nobody as its holder"),
        (view("orders-1_uid-1", 101), "this member holds the Lease itself"),
        (view("orders-1_uid-1", 50), "this member holds the Lease itself"),
        (
            view("orders-0_uid-0", 100, uncertain=True),
            "this member has tried to take the Lease, and does not know whether it did",
        ),
    ],
)
def test_a_holder_is_refused_by_what_this_member_knows(lease: LeaseView, sentence: str) -> None:
    assert refusal(QUESTION, ME, SEAL, lease, PODS) == sentence


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        (replace(QUESTION, set="bills"), "this is a member of set orders in namespace shop"),
        (replace(QUESTION, namespace="test"), "this is a member of set orders in namespace shop"),
        (replace(QUESTION, to="orders-2"), "this is orders-1"),
        (
            replace(QUESTION, holder="orders-1_uid-of-old"),
            "the holder and this member have the same name",
        ),
        (replace(QUESTION, holder="orders-0_before"), "the holder's pod has been re-created"),
    ],
)
def test_a_question_for_another_or_of_another_life_is_refused(
    question: Question, sentence: str
) -> None:
    assert refusal(question, ME, SEAL, None, PODS) == sentence


def test_a_pod_that_was_replaced_speaks_for_nobody() -> None:
    """As far as it knows: cut off from the API server it hears nothing of it."""
    pods = tuple(replace(it, uid="later") if it.name == ME.name else it for it in PODS)
    assert refusal(QUESTION, ME, SEAL, None, pods) == "another pod has taken this one's place"


def test_a_lease_whose_version_is_no_number_speaks_for_nobody() -> None:
    strange = LeaseView(LeaseRecord("orders-2_uid-2", 10, "abc"), changed_at=0.0)
    assert refusal(QUESTION, ME, SEAL, strange, PODS) is None


# ── its form ──────────────────────────────────────────────────────────────────────────────

texts = st.text(max_size=40)


@given(
    st.builds(
        Question,
        set=texts,
        namespace=texts,
        holder=texts,
        resource_version=st.integers(0, 2**63).map(str),
        to=texts,
        nonce=texts,
        ttl=st.integers(1, 300),
        challenge=texts,
    )
)
def test_a_question_arrives_as_it_was_asked(question: Question) -> None:
    assert Question.decode(question.encode()) == question


@given(st.builds(Reply, nonce=texts, by=texts, refusal=texts))
def test_a_reply_arrives_as_it_was_given(reply: Reply) -> None:
    assert Reply.decode(reply.encode()) == reply


def changed(**values: object) -> bytes:
    return json.dumps(json.loads(QUESTION.encode()) | values).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        QUESTION.encode()[:-1],
        changed(more="than asked"),
        changed(ttl="10"),
        changed(ttl=True),
        changed(ttl=0),
        changed(ttl=301),
        changed(ttl=1e3),
        changed(nonce=None),
        changed(resource_version="1e3"),
        changed(resource_version="-1"),
    ],
)
def test_what_is_no_question_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's, or ours
        Question.decode(body)


# ── its signature ─────────────────────────────────────────────────────────────────────────


def test_every_member_derives_the_same_key() -> None:
    assert seal_of("secret", "shop", "orders").is_mine(
        "question", b"x", SEAL.sign("question", b"x")
    )


@pytest.mark.parametrize(
    "stranger",
    [
        seal_of("other", "shop", "orders"),
        seal_of("secret", "test", "orders"),
        seal_of("secret", "shop", "bills"),
        seal_of("", "shop", "orders"),
    ],
    ids=["password", "namespace", "set", "no password"],
)
def test_nobody_else_can_sign(stranger: Seal) -> None:
    assert not SEAL.is_mine("question", b"x", stranger.sign("question", b"x"))


@pytest.mark.parametrize("signature", ["", "0" * 64, "ü", SEAL.sign("answer", b"x")])
def test_another_signature_is_not_ours(signature: str) -> None:
    assert not SEAL.is_mine("question", b"x", signature)


def test_a_changed_body_is_not_ours() -> None:
    assert not SEAL.is_mine("question", b"y", SEAL.sign("question", b"x"))


def test_without_a_password_nothing_is_believed() -> None:
    """Everybody can derive that key."""
    nothing = seal_of("", "shop", "orders")
    assert not nothing.is_mine("question", b"x", nothing.sign("question", b"x"))


def test_the_key_is_no_other_secret_of_the_set() -> None:
    """The replication password goes to other members' files more easily than a key."""
    assert SEAL.key.hex() not in keys_of("secret").replication_passwords(())


# ── its date ──────────────────────────────────────────────────────────────────────────────


def test_a_challenge_tells_when_it_was_issued_for_a_short_while() -> None:
    clock = Clock()
    challenges = Challenges(clock)
    issued, challenge = clock(), challenges.issue()
    clock.advance(CHALLENGE_SECONDS)
    in_time = challenges.issued_at(challenge)
    clock.advance(0.1)
    assert (in_time, challenges.issued_at(challenge)) == (issued, None)


def test_a_challenge_of_another_process_or_of_nobody_has_no_date() -> None:
    clock = Clock()
    mine, other = Challenges(clock), Challenges(clock)
    date, signature = mine.issue().split("/")
    later = (clock() + 1).hex()
    forged = ["", "/", date, f"{later}/{signature}", f"{date}/{'0' * 64}", other.issue(), "ü/ü"]
    assert [mine.issued_at(challenge) for challenge in forged] == [None] * len(forged)
