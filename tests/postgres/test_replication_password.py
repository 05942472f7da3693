"""Who may replicate, and where the password by which members do it can be read."""

import hmac
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from certs.renewal import renewed
from sidecar.bootstrap import Bootstrap
from sidecar.contract import slot_name
from sidecar.observation import ServerState
from sidecar.postgres import preparation
from sidecar.postgres.configuration import (
    HBA_LINES,
    PASSWORD_FILE,
    conninfo,
    password_file_line,
    primary_conninfo,
    primary_parameters,
)
from sidecar.postgres.primary_queries import UpstreamError
from sidecar.postgres.server import Server
from sidecar.settings import Settings
from tests.support.bootstrap_pod import Pod, sidecar_of
from tests.support.database import Database, Host, own
from tests.support.standby import (
    Connect,
    clone,
    identify,
    prepare_server,
    replication,
    session,
    wait_for,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

SECRET = "a5f0d3c9-never-to-be-seen"
PAGE = Path(__file__).parents[2] / "docs" / "security.md"
FROM_NOTHING = hmac.new(b"", b"pgset replication orders", "sha256").hexdigest()
"""What versions before this gave the role where there was no superuser's password."""


def ask(database: Database, question: str) -> object:
    with session(database) as connection:
        row = connection.execute(question.encode()).fetchone()
    return None if row is None else row[0]


def watch(database: Database, connect: Connect) -> Server:
    database.start()
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    return server


OF_THE_ROLE = "FROM pg_authid WHERE rolname = 'pgset_replication'"
ROLE = f"SELECT (rolcanlogin, rolpassword IS NULL)::text {OF_THE_ROLE}"
XMIN = f"SELECT xmin::text {OF_THE_ROLE}"


def test_without_a_password_nobody_can_replicate_and_it_is_told_what_to_set(
    database: Database, connect: Connect
) -> None:
    server = watch(database, connect)
    before = (database.directory / "pg_hba.conf").read_text()
    server.prepare(None)
    wait_until(lambda: "POSTGRES_PASSWORD" in (server.view().problem or ""), "what to set")
    wait_until(lambda: server.view().prepared, "all else, so that it is not asked for again")
    assert ask(database, ROLE) is None
    assert (database.directory / "pg_hba.conf").read_text() == before
    assert ask(database, "SHOW max_slot_wal_keep_size") == "1GB"


def test_a_role_with_a_password_that_anybody_can_compute_is_taken_back_once(
    database: Database, connect: Connect
) -> None:
    server = watch(database, connect)
    before = (database.directory / "pg_hba.conf").read_text()
    server.prepare(FROM_NOTHING)
    wait_until(lambda: server.view().prepared, "what an earlier version made")
    own(database.directory / "pg_hba.conf")
    thief = clone(database, "thief", "pgset_replication", FROM_NOTHING)
    wait_until(lambda: len(server.view().followers) == 1, "the thief")

    server.prepare(None)
    wait_until(lambda: ask(database, ROLE) == "(f,t)", "the role to be of no use")
    wait_until(lambda: server.view().followers == (), "the thief's end")
    assert (database.directory / "pg_hba.conf").read_text() == before
    with pytest.raises(UpstreamError):
        identify(replication(database.port), FROM_NOTHING)
    receives = "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'"
    wait_until(lambda: ask(thief, receives) == 0, "the thief to notice")

    version = ask(database, XMIN)
    server.prepare(None)
    server.keep_slots([])  # carried out after it
    wait_until(lambda: server.view().prepared, "the second time")
    server.refresh(2.0)
    assert ask(database, XMIN) == version
    own(database.directory / "pg_hba.conf")

    server.prepare("derived")
    wait_until(lambda: server.view().problem is None, "all to be well with a password")
    own(database.directory / "pg_hba.conf")
    wait_until(lambda: ask(database, ROLE) == "(t,f)", "the role")
    assert identify(replication(database.port), "derived")


def test_a_pg_hba_conf_of_many_megabytes_is_not_read_and_stays(
    database: Database, connect: Connect
) -> None:
    """Who owns the data directory may make it so; the sidecar has 128 MiB."""
    server = watch(database, connect)
    hba = database.directory / "pg_hba.conf"
    os.truncate(hba, 2**23)
    server.prepare("derived")
    wait_until(lambda: "is not read" in (server.view().problem or ""), "what is wrong")
    assert hba.stat().st_size == 2**23


@pytest.mark.versions
@pytest.mark.parametrize("password", ["derived", None])
def test_who_has_made_the_role_beforehand_gains_nothing_by_its_rights(
    database: Database, connect: Connect, password: str | None
) -> None:
    server = watch(database, connect)
    with session(database) as connection:
        connection.execute("CREATE ROLE mallory LOGIN CREATEROLE PASSWORD 'mallory'")
    mallory = ("mallory", "mallory")
    with session(database, mallory) as connection:
        connection.execute("CREATE ROLE pgset_replication LOGIN")
        connection.execute("GRANT pgset_replication TO mallory")
    with session(database) as connection:
        # As an earlier version has given it.
        read = "pg_catalog.pg_read_binary_file(text)"
        connection.execute(f"GRANT EXECUTE ON FUNCTION {read} TO pgset_replication".encode())
    with session(database, mallory) as connection:
        question = "SELECT pg_read_binary_file('global/pg_filenode.map')"
        assert connection.execute(question).fetchone()
        server.prepare(password)
        wait_until(lambda: server.view().prepared, "the preparation")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(question)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SET ROLE pgset_replication")


def test_a_role_that_owns_something_is_given_nothing_until_it_does_not(
    database: Database, connect: Connect
) -> None:
    """It could be a function that reads files with the role's rights, for whoever calls it."""
    server = watch(database, connect)
    read = "'pg_read_binary_file(text)'"
    may = f"SELECT has_function_privilege('pgset_replication', {read}, 'execute')"
    with session(database) as connection:
        connection.execute("CREATE ROLE pgset_replication")
        connection.execute("CREATE SCHEMA his AUTHORIZATION pgset_replication")
    server.prepare("derived")
    wait_until(lambda: "owns objects" in (server.view().problem or ""), "what is wrong")
    own(database.directory / "pg_hba.conf")
    assert not server.view().prepared
    assert ask(database, may) is False
    with session(database) as connection:
        connection.execute("DROP SCHEMA his")
    server.prepare("derived")
    wait_until(lambda: server.view().prepared, "the preparation")
    assert ask(database, may) is True


def test_what_somebody_has_taken_from_the_members_is_given_back(
    database: Database, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one of them does not follow: its slot is there, and nobody uses it."""
    monkeypatch.setattr(preparation, "AGAIN_SECONDS", 0.5)
    server = watch(database, connect)
    server.prepare("derived")
    server.keep_slots(["pgset_orders_1"])
    # Not by the view, which soon shows that it is due again.
    wait_until(lambda: server.prepared_with == "derived", "preparation")
    own(database.directory / "pg_hba.conf")
    (database.directory / "pg_hba.conf").write_text("host all postgres all scram-sha-256\n")
    ask(database, "SELECT pg_reload_conf()")
    with session(database) as connection:
        connection.execute("ALTER ROLE pgset_replication NOLOGIN PASSWORD 'rotated'")

    def follows() -> bool:
        if not server.view().prepared:
            server.prepare("derived")
            own(database.directory / "pg_hba.conf")
        try:
            return bool(identify(replication(database.port), "derived"))
        except UpstreamError:
            return False

    wait_until(follows, "that its members get in again")


def test_pg_hba_conf_elsewhere_with_our_lines_is_as_good_as_one_of_ours(
    database: Database, connect: Connect
) -> None:
    elsewhere = database.host.folder / "pg_hba.conf"
    elsewhere.write_text("\n".join(("host all all all trust", *HBA_LINES, "")))
    own(elsewhere)
    with (database.directory / "postgresql.conf").open("a") as file:
        file.write(f"hba_file = '{elsewhere}'\n")
    server = watch(database, connect)
    prepare_server(server)
    assert server.view().problem is None


def test_a_pg_hba_conf_that_lacks_our_lines_elsewhere_keeps_nothing_else_from_being_done(
    database: Database, connect: Connect
) -> None:
    """And what is done is not done again every two seconds."""
    elsewhere = database.host.folder / "pg_hba.conf"
    elsewhere.write_text("host all all all trust\n")
    own(elsewhere)
    with (database.directory / "postgresql.conf").open("a") as file:
        file.write(f"hba_file = '{elsewhere}'\n")
    server = watch(database, connect)
    server.prepare("derived")
    wait_until(lambda: HBA_LINES[0] in (server.view().problem or ""), "the advice")
    assert ask(database, "SHOW max_slot_wal_keep_size") == "1GB"
    version = ask(database, XMIN)
    server.prepare("derived")
    server.keep_slots(["pgset_orders_1"])
    wait_until(lambda: len(server.view().slots) == 1, "the order after it")
    assert ask(database, XMIN) == version


NO_PLAIN_TEXT = (
    "hostnossl replication pgset_replication all reject",
    "hostnossl all pgset_replication all reject",
)
"""What docs/security.md has."""


def test_lines_of_the_users_above_ours_refuse_members_that_come_without_tls(
    database: Database, connect: Connect
) -> None:
    """Lines of ours that are there stay where they are, and the first that matches decides."""
    assert all(line in PAGE.read_text() for line in (*NO_PLAIN_TEXT, *HBA_LINES))
    trust, _ = renewed(None, ["orders"], datetime.now(UTC))
    for name, pem in (("server.crt", trust.leaf.certificate), ("server.key", trust.leaf.key)):
        path = database.directory / name
        path.write_bytes(pem)
        path.chmod(0o600)
        own(path)
    with (database.directory / "postgresql.conf").open("a") as file:
        file.write("ssl = on\n")
    hba = database.directory / "pg_hba.conf"
    written = "\n".join((*NO_PLAIN_TEXT, *HBA_LINES, hba.read_text()))
    hba.write_text(written)
    prepare_server(watch(database, connect))
    assert hba.read_text() == written

    settings = Settings(set_name="orders")
    usual = primary_parameters(settings, "orders-1", "127.0.0.1") | {"port": str(database.port)}
    identify(usual, "derived")
    in_database = {"dbname": "postgres", "password": "derived"}
    psycopg.connect(conninfo(usual | in_database)).close()
    plain = usual | {"sslmode": "disable"}
    with pytest.raises(UpstreamError, match="no encryption"):
        identify(plain, "derived")
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(conninfo(plain | in_database))


def test_a_pg_hba_conf_in_any_encoding_is_kept_byte_for_byte(
    database: Database, connect: Connect
) -> None:
    path = database.directory / "pg_hba.conf"
    theirs = "# café\n".encode("latin-1") + path.read_bytes()
    path.write_bytes(theirs)
    server = watch(database, connect)
    prepare_server(server)
    assert path.read_bytes().endswith(theirs)
    assert HBA_LINES[0].encode() in path.read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="nobody else has a file that the server has not")
def test_a_link_in_the_place_of_pg_hba_conf_leads_to_nothing_that_the_server_has_not(
    database: Database, connect: Connect, tmp_path: Path
) -> None:
    """Such as the sidecar's token: what was read is written into the data directory."""
    token = tmp_path / "token"
    token.write_text("# the token\n")
    token.chmod(0o600)
    path = database.directory / "pg_hba.conf"
    server = watch(database, connect)
    path.unlink()
    path.symlink_to(token)
    server.prepare(SECRET)
    wait_until(lambda: server.view().problem is not None, "a word of it")
    assert path.is_symlink()


def test_a_power_cut_leaves_the_old_pg_hba_conf_or_the_new_one(
    database: Database, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what was synced is sure to be on the disk, and a name only with its directory."""
    path = database.directory / "pg_hba.conf"
    sync, synced = os.fsync, list[tuple[Path, bool]]()

    def record(descriptor: int) -> None:
        now = HBA_LINES[0].encode() in path.read_bytes()
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink(), now))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    server = watch(database, connect)
    prepare_server(server)
    new = path.with_name("pg_hba.conf.new")
    assert synced == [(new, False), (database.directory, True)]


def sidecar_in(host: Host, copy: Database) -> Bootstrap:
    """The sidecar's hand in this data directory."""
    handshake = host.make_folder("handshake")
    (handshake / "report").write_text(
        f"session=1\ndone=0\nrefusal=\nfailure=\nrewind=none\npgdata={copy.directory}\ndata=present\n"
    )
    return sidecar_of(handshake, "orders-1", "uid-1")


def follow(
    host: Host, copy: Database, primary: Database, secret: str = SECRET, name: str = "orders-1"
) -> None:
    """As the sidecar of that member does it before a start; a test's primary has its own port."""
    sidecar = sidecar_in(host, copy)
    sidecar.keep_password(password_file_line(secret))
    text = primary_conninfo(Settings(set_name="orders"), name, "127.0.0.1")
    sidecar.write_settings(
        {
            "primary_conninfo": text.replace("port='5432'", f"port='{primary.port}'"),
            "primary_slot_name": slot_name(name),
            "wal_retrieve_retry_interval": "200ms",
        }
    )
    folder = copy.directory / Path(PASSWORD_FILE).parent
    for path in (folder, copy.directory / PASSWORD_FILE, copy.directory / "postgresql.auto.conf"):
        own(path)
    assert (
        folder.stat().st_mode & 0o777,
        (copy.directory / PASSWORD_FILE).stat().st_mode & 0o777,
    ) == (
        0o700,
        0o600,
    )


def test_the_password_is_in_no_log_no_setting_and_no_copy(
    database: Database, connect: Connect, host: Host
) -> None:
    """With all that can be logged, a container that has a PGPASSWORD of its own, and a file of an
    earlier version that has the password in it."""
    with (database.directory / "postgresql.conf").open("a") as file:
        file.write(
            "log_statement = 'all'\nlog_min_duration_statement = 0\n"
            "log_transaction_sample_rate = 1\nlog_min_messages = log\n"
        )
    primary = watch(database, connect)
    primary.prepare(SECRET)
    wait_until(lambda: primary.view().prepared, "preparation")
    own(database.directory / "pg_hba.conf")
    primary.keep_slots([slot_name("orders-1")])
    copy = clone(database, "orders-1", "pgset_replication", SECRET, start=False)
    assert SECRET in (copy.directory / "postgresql.auto.conf").read_text()
    follow(host, copy, database)
    copy.process = host.start(
        *("postgres", "-D", copy.directory, "-p", str(copy.port), "-k", host.folder),
        PGPASSWORD="of somebody else",
    )
    standby = connect(copy.port)
    wait_until(lambda: standby.view().streaming, "streaming by the file")

    # Another upstream, as after a hand-over, and back: each reload logs what has changed.
    now = str(ask(copy, "SHOW primary_conninfo"))
    standby.follow("")
    wait_until(lambda: standby.view().detached, "no upstream")
    standby.follow(now)
    wait_until(lambda: standby.view().streaming, "streaming again")

    with session(database) as connection:
        connection.execute("CREATE ROLE watcher LOGIN PASSWORD 'watcher'")
        connection.execute("GRANT pg_monitor TO watcher")
    wait_until(
        lambda: ask(copy, "SELECT 1 FROM pg_roles WHERE rolname = 'watcher'") == 1, "watcher"
    )
    with psycopg.connect(
        host="127.0.0.1", port=copy.port, user="watcher", password="watcher", dbname="postgres"
    ) as connection:
        seen = [str(row) for row in connection.execute("SELECT * FROM pg_settings")]
        seen += [str(row) for row in connection.execute("TABLE pg_stat_wal_receiver")]
    assert not [line for line in seen if SECRET in line]
    assert SECRET not in (copy.directory / "postgresql.auto.conf").read_text()
    log = host.log()
    assert "primary_conninfo" in log
    assert SECRET not in log
    assert "SCRAM-SHA-256$" not in log

    # A clone of the standby, by the tool; and one by bootstrap, of whom it became.
    assert copies_with_the_secret(host, copy) == []
    standby.promote()
    wait_for(standby, ServerState.WRITABLE)
    pod = Pod(host, name="third")
    pod.boot()
    pod.wait_for(lambda view: view.data is not None)
    pod.sidecar.write_password_file(password_file_line(SECRET))
    own(pod.handshake / "pgpass")
    assert pod.obey("clone", conninfo(replication(copy.port))).failure is None
    assert files_with_the_secret(pod.data) == []
    assert not (pod.data / Path(PASSWORD_FILE).parent).exists()

    # A start keeps it, and what else bootstrap does in the directory of its own pod.
    pod.sidecar.keep_password(password_file_line(SECRET))
    assert pod.obey("start").failure is None
    assert (pod.data / PASSWORD_FILE).exists()
    pod.sidecar.keep_password(None)
    assert not (pod.data / PASSWORD_FILE).exists()


def copies_with_the_secret(host: Host, source: Database) -> list[Path]:
    folder = host.folder / "backup"
    target = conninfo(replication(source.port))
    host.run("pg_basebackup", f"-D{folder}", f"-d{target}", "-cfast", PGPASSWORD=SECRET)
    return files_with_the_secret(folder)


def files_with_the_secret(folder: Path, secret: str = SECRET) -> list[Path]:
    """Of a running server as well, whose temporary files come and go."""
    found = []
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            with suppress(FileNotFoundError):
                if secret.encode() in path.read_bytes():
                    found.append(path)
    return found
