"""The failsafe in a set that has members of version 0.2.0, over real HTTP between sidecars."""

from dataclasses import replace

import pytest

from sidecar.failsafe import SIGNATURE_HEADER
from sidecar.observation import Pod
from sidecar.peers import Peers
from sidecar.report.message import Answer, Request
from tests.sidecar.test_pledges import HOLDER, MEMBERS, RECORD, SEAL, Member, holder, one, port, two
from tests.support.clock import Clock
from tests.support.http_server import serving
from tests.support.patient_peers import patient_peers

__all__ = ["holder", "one", "port", "two"]

OLD_SEAL = SEAL.for_older_members()
OLD_HOLDER = Pod(HOLDER.name, HOLDER.uid, None, "primary", signs=False)


def test_a_member_of_version_0_2_0_is_asked_and_answers_by_the_key_that_it_knows(
    holder: Peers, port: int, one: Member
) -> None:
    older = Member(2, seal=OLD_SEAL)
    with older.listening(port):
        pods = (one.pod, replace(older.pod, signs=False))
        assert holder.ask_to_stay(pods, MEMBERS, RECORD)


def test_a_holder_of_version_0_2_0_is_answered_by_the_key_that_it_knows(
    port: int, one: Member, two: Member
) -> None:
    older = patient_peers(HOLDER, seal=OLD_SEAL, ttl=10, clock=Clock(), port=port)
    one.pods = two.pods = (OLD_HOLDER, one.pod, two.pod)
    assert older.ask_to_stay((one.pod, two.pod), MEMBERS, RECORD)


def test_the_quick_key_is_no_good_once_the_last_pod_that_has_no_other_is_gone(
    port: int, one: Member
) -> None:
    """Who has guessed the password of old may not let an isolated holder stay by it."""
    older = patient_peers(HOLDER, seal=OLD_SEAL, ttl=10, clock=Clock(), port=port)
    one.pods = (replace(OLD_HOLDER, signs=True), one.pod)
    assert not older.ask_to_stay((one.pod,), ("orders-1",), RECORD)
    assert one.left() is None


def test_a_holder_of_version_0_2_0_is_answered_by_who_does_not_know_the_pods_yet(
    port: int, one: Member
) -> None:
    """Its sidecar has been restarted while the API server is away: a 403 would stop the holder."""
    older = patient_peers(HOLDER, seal=OLD_SEAL, ttl=10, clock=Clock(), port=port)
    one.pods = None
    assert older.ask_to_stay((one.pod,), ("orders-0", "orders-1"), RECORD)


@pytest.mark.parametrize("signs", [True, False])
def test_what_gives_a_weak_password_away_is_said_only_to_who_knows_no_other_key(
    holder: Peers, port: int, *, signs: bool
) -> None:
    seen: list[bool] = []

    def listens(request: Request) -> Answer:
        signature = request.headers[SIGNATURE_HEADER.lower()]
        seen.append(OLD_SEAL.is_mine("question", request.body, signature))
        return Answer(403, b"{}")

    with serving(listens, "127.0.0.3", port):
        holder.ask_to_stay((replace(Member(1).pod, signs=signs),), ("orders-1",), RECORD)
    assert seen == [not signs]
