"""The role by which members replicate: made with the set's password, taken back without one."""

from pathlib import Path
from typing import Final

from psycopg import sql

from sidecar import small_files
from sidecar.contract import REPLICATION_ROLE
from sidecar.postgres.commands import NeedsOperatorError, setting
from sidecar.postgres.configuration import (
    FORMER_HBA_LINE,
    HBA_LINES,
    with_hba_lines,
    without_hba_lines,
)
from sidecar.postgres.connection import Connection
from sidecar.postgres.hba_file import OWN_HBA_FILE, copied_from, in_step

WITHOUT_REPLICAS: Final = (
    "there is no superuser's password from which the members' replication password could be "
    "made: set POSTGRES_PASSWORD (or POSTGRES_PASSWORD_FILE) in the database container, the same "
    "in each pod; until then this set has no replicas"
)

_MUTE: Final = {
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_min_error_statement": "panic",
    "track_activities": "off",
    "debug_print_raw_parse": "off",
    "debug_print_parse": "off",
    "debug_print_rewritten": "off",
    "debug_print_plan": "off",
    "pg_stat_statements.track": "none",
    "pg_stat_monitor.pgsm_track": "none",
    # libpq makes the verifier with as many as the session has: of few it is cheap to guess from,
    # and of many it takes for ever. Whoever owns the database may set it.
    "scram_iterations": "4096",
}
"""On the connection that a password's verifier is made for and sent on: by it a weak password can
be guessed."""

_FIRST_WITH_GRANTS_BY_GRANTOR: Final = 160000
_FIRST_WITH_LOGIN_TRIGGERS: Final = 170000

_MAX_HBA: Final = 4 * 2**20
"""Bytes of a pg_hba.conf; one of thousands of lines has a few hundred kB."""

_ROLE: Final = sql.Identifier(REPLICATION_ROLE)


def make(connection: Connection, password: str) -> None:
    """Create the role or give it the set's present password; only the verifier travels.

    Raises NeedsOperatorError where somebody else would have its rights.
    """
    _check_that_it_owns_nothing(connection)
    _mute(connection)
    verifier = connection.pgconn.encrypt_password(
        password.encode(), REPLICATION_ROLE.encode(), b"scram-sha-256"
    ).decode()
    present = connection.execute(
        "SELECT rolvaliduntil IS NOT NULL AS ends FROM pg_roles WHERE rolname = %s::name",
        [REPLICATION_ROLE],
    ).fetchone()
    verb = sql.SQL("CREATE" if present is None else "ALTER")
    # What is done to all roles, such as an end of their passwords, is done to this one, too. Not
    # where there is none: some clients cannot read a list of roles with an infinite time in it.
    until = "VALID UNTIL 'infinity'" if present is not None and present["ends"] else ""
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN REPLICATION PASSWORD {} CONNECTION LIMIT -1 {}").format(
            verb, _ROLE, verifier, sql.SQL(until)
        )
    )
    _end_memberships(connection)
    _let_connect(connection)
    # What pg_rewind reads the primary by, according to its documentation.
    connection.execute(
        sql.SQL(
            "GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean), "
            "pg_catalog.pg_stat_file(text, boolean), pg_catalog.pg_read_binary_file(text), "
            "pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO {}"
        ).format(_ROLE)
    )
    if connection.info.server_version >= _FIRST_WITH_LOGIN_TRIGGERS:
        # One that refuses this role, or fails by its rights, would keep members from rewinding.
        connection.execute(sql.SQL("GRANT SET ON PARAMETER event_triggers TO {}").format(_ROLE))


def _let_connect(connection: Connection) -> None:
    """Let the role connect to this database: PUBLIC may have lost that. Where it may do so nothing
    is written, since whoever owns the database keeps others from its row by a transaction in which
    he has changed it, for as long as he likes."""
    may = connection.execute(
        "SELECT FROM pg_database WHERE datname = pg_catalog.current_database() "
        "AND pg_catalog.has_database_privilege(%s::name, oid, 'CONNECT'::text)",
        [REPLICATION_ROLE],
    ).fetchone()
    if may is None:
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                sql.Identifier(connection.info.dbname), _ROLE
            )
        )


def take_back(connection: Connection) -> None:
    """Let nobody log in by the role, and end who did; nothing is written where that is so.

    Without a superuser's password, earlier versions gave it one that anybody can compute.
    """
    _end_memberships(connection)
    can_log_in = connection.execute(
        "SELECT 1 FROM pg_authid WHERE rolname = %s::name "
        "AND (rolcanlogin OR rolpassword IS NOT NULL)",
        [REPLICATION_ROLE],
    ).fetchone()
    if can_log_in:
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(_ROLE))
    connection.execute(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE usename = %s::name",
        [REPLICATION_ROLE],
    )


def _check_that_it_owns_nothing(connection: Connection) -> None:
    """A function of the role's that is SECURITY DEFINER reads whatever the role may read, for whom
    it likes. Ours makes nothing; somebody may have made a role of its name, and then functions."""
    owns = connection.execute(
        "SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o' "
        "AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = %s::name) LIMIT 1",
        [REPLICATION_ROLE],
    ).fetchone()
    if owns is not None:
        raise NeedsOperatorError(
            f"role {REPLICATION_ROLE} owns objects, by which somebody else could have its rights: "
            f"REASSIGN OWNED BY {REPLICATION_ROLE} TO another role, in each database; until then "
            "it is given nothing, and members that have yet to come cannot be copied"
        )


def _end_memberships(connection: Connection) -> None:
    """Take the role from its members: by its rights they could read each file of the server's.

    Whoever may create roles could have made this one beforehand, and from PostgreSQL 16 on has it
    then with ADMIN OPTION, although he is given nothing else that is not his.
    """
    members = connection.execute(
        "SELECT pg_catalog.pg_get_userbyid(member)::text AS member, "
        "pg_catalog.pg_get_userbyid(grantor)::text AS grantor FROM pg_auth_members "
        "WHERE roleid = (SELECT oid FROM pg_roles WHERE rolname = %s::name)",
        [REPLICATION_ROLE],
    ).fetchall()
    for row in members:
        revoke = sql.SQL("REVOKE {} FROM {} ").format(_ROLE, sql.Identifier(row["member"]))
        # Before, it is for people to read, and may be of a role that is gone.
        if connection.info.server_version >= _FIRST_WITH_GRANTS_BY_GRANTOR:
            revoke += sql.SQL("GRANTED BY {} ").format(sql.Identifier(row["grantor"]))
        connection.execute(revoke + sql.SQL("CASCADE"))


def admit(connection: Connection) -> None:
    """Put our lines into pg_hba.conf. Raises NeedsOperatorError where that is not ours to write."""
    path = Path(setting(connection, "hba_file"))
    is_ours = _is_in_the_data(connection, path)
    present = _read(connection, path)
    wanted = with_hba_lines(present)
    if wanted == present:
        return
    if not is_ours:
        if {HBA_LINES[0], FORMER_HBA_LINE} <= set(present.split("\n")):
            return
        raise NeedsOperatorError(
            f"pg_hba.conf is at {path}, outside of the data directory: add these lines there, "
            "or name it in a configuration file and not on the command line, or replicas cannot "
            f"connect: {'; '.join(HBA_LINES)}"
        )
    _write(path, wanted)


def refuse(connection: Connection) -> None:
    """Take our lines out of pg_hba.conf, where it is in the data directory."""
    path = Path(setting(connection, "hba_file"))
    if not _is_in_the_data(connection, path):
        return
    present = _read(connection, path)
    wanted = without_hba_lines(present)
    if wanted != present:
        _write(path, wanted)


def keep_in_step(connection: Connection) -> None:
    """Bring a pg_hba.conf of ours, which is a copy, up to what it is a copy of."""
    path = Path(setting(connection, "hba_file"))
    if path.name != OWN_HBA_FILE or not _is_in_the_data(connection, path):
        return
    present = _read(connection, path)
    source = copied_from(present)
    if source is None:
        return
    wanted = in_step(present, source, _read(connection, Path(source)))
    if wanted != present:
        _write(path, wanted)
        # Whoever has asked for that may have done so before.
        connection.execute("SELECT pg_catalog.pg_reload_conf()")


def _is_in_the_data(connection: Connection, path: Path) -> bool:
    """Return whether the data directory has it, by whichever name: PGDATA may be a link, which
    PostgreSQL shows as it is, and bootstrap follows."""
    directory = Path(setting(connection, "data_directory"))
    return path.parent.resolve().is_relative_to(directory.resolve())


def _mute(connection: Connection) -> None:
    for name, value in _MUTE.items():
        # Not every version knows each, nor does a server without the extension.
        connection.execute(
            "SELECT pg_catalog.set_config(name, %s, false) FROM pg_settings WHERE name = %s",
            [value, name],
        )


def _read(connection: Connection, path: Path) -> str:
    """Let the server read it: what is mounted into its container may not be in ours, and what is in
    ours alone, such as our token, must not be what a link there leads to.

    Whatever a user has written there, in whatever encoding, is kept byte for byte. Raises
    NeedsOperatorError where it is more than this process has memory for.
    """
    row = connection.execute(
        "SELECT pg_catalog.pg_read_binary_file(%s::text, 0, %s::bigint) AS content",
        [str(path), _MAX_HBA + 1],
    ).fetchone()
    content = row["content"] if row else b""
    if len(content) > _MAX_HBA:
        raise NeedsOperatorError(
            f"{path} has more than {_MAX_HBA >> 20} MB, and is not read: make it shorter, or "
            "replicas cannot connect"
        )
    return bytes(content).decode(errors="surrogateescape")


def _write(path: Path, text: str) -> None:
    # Or a power cut could leave an empty file, which lets nobody in.
    small_files.replace(path, text, mode=0o600, durable=True)
