"""The set's secrets: the same on every member, nobody else's, and dear to whoever guesses."""

import hmac
import time

import pytest

from sidecar.keys import quick, slow
from sidecar.observation import Pod
from tests.support.keys import keys_of, seal_of

NEW = Pod("orders-0", "uid-0", None, None)
OLD = Pod("orders-1", "uid-1", None, None, signs=False)

GUESSES_A_SECOND = 1000
"""By one core, at most; with the quick secrets it was 220,000."""


@pytest.mark.parametrize("secret", ["seal", "replication"])
def test_a_guess_at_the_superusers_password_is_dear(secret: str) -> None:
    """The attacker has seen something signed by the one, or has the other from a backup."""
    began = time.process_time()
    found = [word for word in ("postgres", "hunter2") if made(word, secret) == SEEN[secret]]
    seconds = time.process_time() - began
    assert (found, seconds > 2 / GUESSES_A_SECOND) == (["hunter2"], True)


def made(word: str, secret: str) -> object:
    return getattr(slow(word, "shop", "orders"), secret)


SEEN = {
    "seal": keys_of("hunter2").seal().key,
    "replication": keys_of("hunter2").replication_password((NEW,)),
}


@pytest.mark.parametrize("word", ["postgres", "hunter2"])
def test_the_quick_guess_of_before_finds_nothing(word: str) -> None:
    """The recipe, played on what a set signs now and has as its password."""
    seal = seal_of("hunter2")
    seen = seal.sign("question", b"x")
    for label in ("pgset failsafe shop/orders", "pgset replication orders"):
        key = hmac.digest(word.encode(), label.encode(), "sha256")
        assert hmac.digest(key, b"question\nx", "sha256").hex() != seen
        assert key.hex() != keys_of("hunter2").replication_password((NEW,))


@pytest.mark.thorough
def test_every_member_comes_to_the_same_secrets_and_no_other_set_does() -> None:
    made = {
        (secret.replication, secret.seal)
        for password in ("secret", "other")
        for namespace in ("shop", "test")
        for name in ("orders", "bills")
        for secret in (slow(password, namespace, name), slow(password, namespace, name))
    }
    assert len(made) == 8


def test_the_secrets_stay_the_same_from_version_to_version() -> None:
    """Members of two versions replicate from each other during an update."""
    assert quick("secret", "shop", "orders").replication == (
        "5a9663ca8e83ae75c0f9ed42490777b4c632f347c38b666c9357911a372049fa"
    )
    assert slow("secret", "shop", "orders").replication == (
        "1108c912c2213a395d75f6a110ca08f812345028624f4302e8267f9be0409aa2"
    )


def test_the_quick_password_is_used_only_while_a_pod_knows_no_other() -> None:
    keys = keys_of("secret")
    new, old = keys.replication_password((NEW,)), keys.replication_password((NEW, OLD))
    assert new != old
    assert old == quick("secret", "shop", "orders").replication
    assert keys.replication_passwords((NEW,)) == (new,)
    assert keys.replication_passwords(None) == (new,)
    assert keys.replication_passwords((NEW, OLD)) == (old, new)
    assert keys.replication_password(None) == new


def test_nothing_is_made_of_no_password() -> None:
    """Anybody can compute what is made from nothing."""
    keys = keys_of("")
    assert keys.replication_password((NEW,)) is None
    assert keys.replication_passwords((NEW, OLD)) == ()
    assert (keys.seal().key, keys.seal().for_older_members().key) == (b"", b"")
    # Or the next pod, which has a password, would believe by it.
    assert keys.lines_to_keep(["uid-0", "of a pod that had one"]) == []
