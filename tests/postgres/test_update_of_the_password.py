"""Members of version 0.2.0 and of this one in one set: each streams, whoever leads, and afterwards
by the password that is dear to guess."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from sidecar.keys import Keys
from sidecar.observation import Pod, PostgresView, ServerState
from sidecar.postgres.configuration import (
    PASSWORD_FILE,
    password_file_line,
    primary_conninfo,
    with_settings,
)
from sidecar.postgres.primary_queries import PasswordRefusedError, UpstreamError
from sidecar.postgres.server import Server
from sidecar.postgres.way_in import WayIn
from sidecar.settings import Settings
from sidecar.small_files import replace
from tests.support.database import Database, own
from tests.support.keys import keys_of
from tests.support.standby import Connect, clone, identify, replication, session, wait_for
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

KEYS = keys_of("secret")
NEW = Pod("orders-0", "uid-0", None, None)
OLD = Pod("orders-0", "uid-0", None, None, signs=False)
SLOW = KEYS.replication_password((NEW,)) or ""
QUICK = KEYS.replication_password((OLD,)) or ""
ADDRESS = "127.0.0.1"


class Standby:
    """A member, with the file by which its libpq logs in to the primary."""

    def __init__(
        self,
        name: str,
        primary: Database,
        connect: Connect,
        password: str,
        *,
        known: str,
        keys: Keys = KEYS,
    ) -> None:
        """`known`: the primary's password by now; `password`: what this member begins with."""
        self.name = name
        self.copy = clone(primary, self.name, "pgset_replication", known, start=False)
        self.keep(password_file_line(password))
        conninfo = primary_conninfo(Settings(set_name="orders"), self.name, ADDRESS)
        path = self.copy.directory / "postgresql.auto.conf"
        settings = {"primary_conninfo": conninfo.replace("'5432'", f"'{primary.port}'")}
        path.write_text(with_settings(path.read_text(), settings))
        self.copy.start()
        self.server: Server = connect(self.copy.port)
        self.way_in = WayIn(replication(primary.port), keys, keep=self.keep, clock=time.monotonic)
        self.way_in.start()

    @property
    def file(self) -> Path:
        return self.copy.directory / PASSWORD_FILE

    def keep(self, line: str | None) -> None:
        """As the sidecar does it, which is PostgreSQL's user."""
        self.file.parent.mkdir(mode=0o700, exist_ok=True)
        replace(self.file, f"{line}\n", mode=0o600)
        own(self.file.parent)
        own(self.file)

    def turn(self, *pods: Pod) -> bool:
        """One turn of the sidecar; whether it streams."""
        view = self.server.refresh(1.0)
        self.way_in.look(view, pods, ADDRESS)
        return view.streaming

    def streams(self, *pods: Pod) -> None:
        wait_until(lambda: self.turn(*pods), f"{self.name} to stream")

    def keeps(self, password: str, *pods: Pod) -> None:
        def has_it() -> bool:
            self.turn(*pods)
            return self.file.read_text() == f"{password_file_line(password)}\n"

        wait_until(has_it, "the password in the file")


@pytest.fixture
def primary(database: Database, connect: Connect) -> Server:
    database.start()
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    return server


def give(primary: Server, database: Database, password: str) -> None:
    primary.prepare(password)
    wait_until(lambda: primary.prepared_with == password, "the role to have its password")
    own(database.directory / "pg_hba.conf")


def end_streams(database: Database) -> None:
    """As a cut of the network does: who was let in once has to log in again."""
    with session(database) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")


def stops(standby: Standby) -> None:
    wait_until(lambda: not standby.server.refresh(1.0).streaming, "the stream's end")


def test_an_updated_standby_follows_a_primary_of_the_version_before_and_then_the_updated_one(
    database: Database, connect: Connect, primary: Server
) -> None:
    give(primary, database, QUICK)
    # The last old pod is the primary, and this sidecar began before it knew: the worst first guess.
    standby = Standby("orders-1", database, connect, SLOW, known=QUICK)
    standby.streams(OLD)
    standby.keeps(QUICK, OLD)

    give(primary, database, SLOW)
    end_streams(database)
    standby.streams(NEW)
    standby.keeps(SLOW, NEW)


def test_a_standby_of_the_version_before_streams_as_long_as_its_pod_is_there(
    database: Database, connect: Connect, primary: Server
) -> None:
    """It knows one password. A primary that would give the role another cuts it off for good."""
    give(primary, database, KEYS.replication_password((NEW, OLD)) or "")
    old = Standby("orders-1", database, connect, QUICK, known=QUICK)
    new = Standby("orders-2", database, connect, QUICK, known=QUICK)
    wait_until(lambda: old.server.view().streaming, "the old member")
    end_streams(database)
    wait_until(lambda: len(primary.refresh(1.0).followers) == 2, "both")
    wait_until(lambda: new.server.refresh(1.0).streaming, "what it sees of that itself")

    # The old pod is made anew; who streams goes on, and takes to the other password by itself.
    give(primary, database, KEYS.replication_password((NEW, NEW)) or "")
    assert new.server.refresh(60.0).streaming
    new.keeps(SLOW, NEW)
    with pytest.raises(PasswordRefusedError):
        identify(replication(database.port), QUICK)


def test_a_role_that_has_the_other_password_is_given_the_right_one_in_the_same_leadership(
    database: Database, primary: Server
) -> None:
    for password, other in ((QUICK, SLOW), (SLOW, QUICK), (QUICK, SLOW)):
        give(primary, database, password)
        assert identify(replication(database.port), password)
        with pytest.raises(PasswordRefusedError):
            identify(replication(database.port), other)


def test_a_member_without_data_copies_the_primary_by_whichever_password_it_takes(
    database: Database, primary: Server
) -> None:
    way_in = WayIn({}, KEYS, keep=lambda _: None, clock=time.monotonic)
    target = replication(database.port)
    ask: Callable[[str], str] = lambda password: identify(target, password)  # noqa: E731
    for password, pods in ((QUICK, (OLD,)), (SLOW, (NEW, OLD))):
        give(primary, database, password)
        assert [way_in.ask((pod,), ask)[1] for pod in pods] == [password] * len(pods)


def test_a_primary_that_does_not_answer_is_not_asked_again_with_another_password(
    database: Database,
) -> None:
    """It would cost another three seconds, for which a member's loop stands still."""
    tried: list[str] = []

    def ask(password: str) -> str:
        tried.append(password)
        return identify(replication(database.port), password)

    way_in = WayIn({}, KEYS, keep=lambda _: None, clock=time.monotonic)
    with suppress(UpstreamError):
        way_in.ask((NEW,), ask)
    assert tried == [SLOW]


@pytest.mark.parametrize("streaming", [True, False])
def test_a_write_that_was_given_up_and_comes_late_is_made_good(
    database: Database, primary: Server, *, streaming: bool
) -> None:
    """On a slow volume: it is taken for failed, or comes after one that was begun later."""
    give(primary, database, SLOW)
    file: list[str | None] = []

    def keep(line: str | None) -> None:
        file.append(line)
        if line == password_file_line(QUICK):
            raise TimeoutError

    way_in = WayIn(replication(database.port), KEYS, keep=keep, clock=time.monotonic)
    way_in.start()
    way_in.leave((NEW,))
    if streaming:
        with suppress(TimeoutError):
            way_in.leave((OLD,))
    else:
        file.append(password_file_line(QUICK))
    view = PostgresView(ServerState.RECOVERY, since=0.0, streaming=streaming)

    def is_made_good() -> bool:
        way_in.look(view, (NEW,), ADDRESS)
        return file[-1] == password_file_line(SLOW)

    wait_until(is_made_good, "the right password")


def test_a_changed_password_of_the_superuser_cuts_nobody_off_who_was_rolled_first(
    database: Database, connect: Connect, primary: Server
) -> None:
    """And when the primary has it as well, those that were rolled stream by that."""
    give(primary, database, SLOW)
    rolled = Keys("changed", "shop", "orders", pod_uid="next")
    rolled.learn(rolled.lines_to_keep(KEYS.lines_to_keep([])))
    changed = rolled.replication_password((NEW,)) or ""
    standby = Standby("orders-1", database, connect, changed, known=SLOW, keys=rolled)
    standby.streams(NEW)
    give(primary, database, changed)
    end_streams(database)
    standby.streams(NEW)
    standby.keeps(changed, NEW)
