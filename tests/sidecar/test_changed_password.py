"""A changed POSTGRES_PASSWORD reaches the pods one by one: meanwhile members believe each other."""

from pathlib import Path

import pytest

from sidecar.bootstrap import Bootstrap
from sidecar.failsafe import Seal
from sidecar.keys import Keys
from sidecar.observation import Identity, Pod
from sidecar.postgres.configuration import SECRETS_FILE
from tests.sidecar.test_pledges import HOLDER, RECORD, Member
from tests.sidecar.test_signed_status import ADDRESS, POD, TOLD, ask, member, port
from tests.support.clock import Clock
from tests.support.http_server import serving
from tests.support.keys import keys_of
from tests.support.patient_peers import patient_peers
from tests.support.patient_volume import patient

__all__ = ["port"]

OLD = keys_of("secret")
NEW = Pod("orders-0", "uid-0", None, None)


def bootstrap(folder: Path) -> Bootstrap:
    """The next pod's, on the same volume."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    report = f"session=1\ndone=0\nrefusal=\nfailure=\nrewind=none\npgdata={data}\ndata=present\n"
    (folder / "report").write_text(report)
    return patient(Bootstrap(folder, Identity("orders-1", "uid-1"), ttl=10))


def started(keys: Keys, folder: Path) -> Keys:
    """As a sidecar does it when it has PostgreSQL started."""
    keys.learn(bootstrap(folder).keep_secrets(keys.lines_to_keep))
    return keys


def keys_in(pod_uid: str, password: str) -> Keys:
    return Keys(password, "shop", "orders", pod_uid=pod_uid)


@pytest.fixture
def rolled(tmp_path: Path) -> Keys:
    """A member's that has the new password, in a pod whose predecessor had the old."""
    started(keys_in("uid-1", "secret"), tmp_path)
    return started(keys_in("uid-2", "changed"), tmp_path)


def test_a_member_that_was_rolled_and_one_that_was_not_hear_each_other(
    port: int, rolled: Keys
) -> None:
    for asks, answers in ((OLD.seal(), rolled.seal()), (rolled.seal(), OLD.seal())):
        with serving(member(answers), ADDRESS, port):
            assert ask(port, POD, asks) == TOLD


@pytest.mark.parametrize(
    "holder_was_rolled", [True, pytest.param(False, marks=pytest.mark.thorough)]
)
def test_the_failsafe_agrees_during_the_roll(
    port: int, rolled: Keys, *, holder_was_rolled: bool
) -> None:
    seals: list[Seal] = [OLD.seal(), rolled.seal()]
    mine, others = reversed(seals) if holder_was_rolled else seals
    other = Member(1, seal=others)
    asker = patient_peers(HOLDER, seal=mine, ttl=10, clock=Clock(), port=port)
    with other.listening(port):
        assert asker.ask_to_stay((other.pod,), ("orders-1",), RECORD)


@pytest.mark.thorough
def test_a_sidecar_that_is_restarted_in_the_same_pod_finds_the_former_password_again(
    tmp_path: Path, rolled: Keys
) -> None:
    restarted = keys_in("uid-2", "changed")
    restarted.learn(bootstrap(tmp_path).kept_secrets() or [])
    for keys in (rolled, restarted):
        assert OLD.replication_password((NEW,)) == keys.replication_passwords((NEW,))[1]
        assert restarted.seal().is_mine("question", b"x", OLD.seal().sign("question", b"x"))


@pytest.mark.thorough
def test_however_often_postgresql_is_started_in_a_pod_the_former_password_counts(
    tmp_path: Path, rolled: Keys
) -> None:
    """A start that fails is tried again, and so is one of a sidecar that was restarted."""
    signed_by_the_old = OLD.seal().sign("question", b"x")
    for keys in (rolled, rolled, keys_in("uid-2", "changed")):
        assert started(keys, tmp_path).seal().is_mine("question", b"x", signed_by_the_old)


@pytest.mark.thorough
def test_the_next_pod_with_the_same_password_has_forgotten_the_former_one(
    tmp_path: Path, rolled: Keys
) -> None:
    before_its_start = keys_in("uid-3", "changed")
    before_its_start.learn(bootstrap(tmp_path).kept_secrets() or [])
    assert before_its_start.seal().former == []
    again = started(keys_in("uid-3", "changed"), tmp_path)
    signed_by_the_old = OLD.seal().sign("question", b"x")
    assert rolled.seal().is_mine("question", b"x", signed_by_the_old)
    assert not again.seal().is_mine("question", b"x", signed_by_the_old)
    assert OLD.replication_password((NEW,)) not in again.replication_passwords((NEW,))


def test_nobody_but_postgresqls_user_reads_the_file_and_no_word_of_another_is_taken(
    tmp_path: Path,
) -> None:
    keys = started(keys_in("uid-1", "secret"), tmp_path)
    path = tmp_path / "data" / SECRETS_FILE
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    for nonsense in (b"", b"\xff\n", b"a b\n", b"0 1 2\n" * 1000):
        path.write_bytes(nonsense)
        keys.learn(bootstrap(tmp_path).kept_secrets() or [])
        assert keys.seal().former == []


def test_without_a_password_no_former_one_counts_either(tmp_path: Path) -> None:
    started(keys_in("uid-1", "secret"), tmp_path)
    without = started(keys_in("uid-2", ""), tmp_path)
    assert without.replication_passwords((NEW,)) == ()
    signed = OLD.seal().sign("question", b"x")
    assert not without.seal().is_mine("question", b"x", signed)
