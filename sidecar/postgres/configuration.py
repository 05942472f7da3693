"""The parameters and pg_hba lines that a member needs, as text in and text out."""

import re
from collections.abc import Sequence
from typing import Final

from sidecar import contract
from sidecar.contract import REPLICATION_ROLE
from sidecar.settings import Settings

HBA_LINES: Final = (
    f"host replication {REPLICATION_ROLE} all scram-sha-256",
    f"host all {REPLICATION_ROLE} all scram-sha-256",
)
"""For streaming and cloning; for pg_rewind, which reads by functions, in a database. In any, since
"postgres" may be dropped; in each of them the role may do what PUBLIC may."""
FORMER_HBA_LINE: Final = f"host postgres {REPLICATION_ROLE} all scram-sha-256"
"""The second, as earlier versions wrote it."""
_HBA_COMMENT: Final = "# pgset: the members of this set replicate by this role"


_SYNCHRONOUS: Final = re.compile(r'ANY ([1-9][0-9]*) \(("[a-z0-9.-]+"(?:,"[a-z0-9.-]+")*)\)')

_NAME: Final = re.compile(r"\s*([^\s=]+)")
"""A parameter's, at the beginning of a line of postgresql.auto.conf."""

MIN_WAL_KEEP_MB: Final = 128
"""What a primary keeps beyond its last checkpoint, so that a clone that just ended finds the WAL
written since, and pg_rewind the segment before the divergence (with 0 it failed when tried)."""


NO_RECOVERY_TARGET: Final = {
    "recovery_target": "",
    "recovery_target_lsn": "",
    "recovery_target_name": "",
    "recovery_target_time": "",
    "recovery_target_xid": "",
}
"""A restore leaves its target behind, which counts for nothing until there is a standby.signal:
then the server pauses, ends or promotes itself there, and a promotion before it ends the server."""

_NO_DELAY: Final = {"recovery_min_apply_delay": "0"}
"""Of no effect in a plain server. A standby that restarts with one looks for its primary only when
it has replayed what is on its disk, so late; until then nobody knows how much that is, and it can
neither be the copy that a commit waits for nor lead."""

_LEFT_BY_A_RESTORE: Final = ("restore_command", "archive_cleanup_command", "recovery_end_command")
"""In postgresql.auto.conf, where the tools that restore write them, they would come to life as
well. The archive may be another cluster's, with other WAL in files of the same names. In
postgresql.conf they are somebody's wish."""

_LAST_WITH_A_TRIGGER_FILE: Final = 15
"""The last major version with `promote_trigger_file`: as soon as that file is there, a standby
promotes itself, whoever holds the Lease."""

_FIRST_WITHOUT_ALTER_SYSTEM: Final = 17
"""The first major version in which `allow_alter_system` may be off. By ALTER SYSTEM a running
member is told whom to follow; without it nobody could take over. PostgreSQL takes the parameter
from postgresql.auto.conf, though not by ALTER SYSTEM: nobody else has written it there."""

COPY_SLOTS: Final = {"hot_standby_feedback": "on", "sync_replication_slots": "on"}
"""By them a standby copies its primary's failover slots. Written so that they are known as ours."""

PASSWORD_FILE: Final = ".pgset-password/pgsql_tmp.replication"  # noqa: S105 - a path
"""A standby's, in the data directory, which is its current directory. pg_basebackup and pg_rewind
pass over names that begin with pgsql_tmp, and bootstrap removes .pgset-* from copies."""


SECRETS_FILE: Final = ".pgset-password/pgsql_tmp.secrets"
"""What this member's pod has made of the password, for its next one: see `sidecar.keys`."""


_WHATEVER_THE_ENVIRONMENT_SAYS: Final = {
    "hostaddr": "",
    "sslmode": "prefer",
    # Files that are not there, in place of those in a home directory.
    "sslcert": "/nonexistent",
    "sslrootcert": "/nonexistent",
    "ssl_min_protocol_version": "TLSv1.2",
    "ssl_max_protocol_version": "",
    "channel_binding": "prefer",
    "gssencmode": "disable",
    "target_session_attrs": "any",
}
"""libpq's own defaults, written out (but for GSSAPI, which only costs time here): PostgreSQL
connects to the primary in its container's environment, which is meant for other clients. Those
that every version knows; PGSERVICE counts, which no parameter takes back."""

_KNOWN_SINCE: Final = {
    16: {
        # No password to whoever has taken the primary's address and asks for it in clear.
        "require_auth": "!password",
        "sslcertmode": "allow",
        "load_balance_hosts": "disable",
        "gssdelegation": "0",
    },
    17: {"sslnegotiation": "postgres"},
    18: {"min_protocol_version": "3.0", "max_protocol_version": "3.0"},
}
"""More of them, by the major version whose libpq is the first to know them. Another one would not
connect at all."""


def primary_conninfo(
    settings: Settings,
    member: str,
    address: str | None = None,
    *,
    major_version: int | None = None,
) -> str:
    """Return the conninfo by which a member follows the primary at that address.

    `major_version`: of the member's own server, as far as it is known.

    The password is in a file: a reload logs the conninfo, and who may monitor can read it.

    A dead primary must be noticed by the standby, not only by TCP's two hours: keepalives end a
    silent connection after about 5 s.
    """
    # The empty password is none, and keeps a PGPASSWORD of the container's from being used; the
    # empty options do so with PGOPTIONS. (bootstrap needs its own.)
    secret = {"password": "", "passfile": PASSWORD_FILE, "options": ""}
    # Streaming needs no database; from PostgreSQL 17 on, what copies failover slots does.
    database = {"dbname": "postgres"}
    parameters = primary_parameters(settings, member, address) | database | secret
    for since, known in _KNOWN_SINCE.items():
        parameters |= known if (major_version or 0) >= since else {}
    return conninfo(parameters)


def primary_parameters(
    settings: Settings, member: str, address: str | None = None
) -> dict[str, str]:
    """Return the libpq parameters for the primary, without the password.

    `address`: of its pod. By the Service alone, a node whose kube-proxy is behind leads to the
    primary of before, which a standby can follow for ever: as a standby, too, it streams.
    """
    return {
        "host": address or contract.primary_service(settings.set_name),
        "port": str(settings.postgres_port if address else contract.POSTGRES_PORT),
        "user": REPLICATION_ROLE,
        "application_name": member,
        **_WHATEVER_THE_ENVIRONMENT_SAYS,
        "connect_timeout": "3",
        "keepalives_idle": "2",
        "keepalives_interval": "1",
        "keepalives_count": "3",
        # Keepalives do not count while something was sent and not acknowledged, a question about
        # slots, say: the promotion of a standby that waits for its answer would wait as well.
        "tcp_user_timeout": "5000",
    }


def conninfo(parameters: dict[str, str]) -> str:
    """Return libpq's key='value' form."""
    return " ".join(f"{key}={_quoted(value)}" for key, value in parameters.items())


def standby_settings(
    settings: Settings,
    member: str,
    *,
    log_hints: bool,
    detached: bool = False,
    address: str | None = None,
    major_version: int | None = None,
) -> dict[str, str]:
    """Return what must stand in postgresql.auto.conf before PostgreSQL starts.

    `log_hints`: the data has no checksums. wal_log_hints then makes it one that can be rewound.
    `detached`: it follows nobody yet.
    """
    conninfo = primary_conninfo(settings, member, address, major_version=major_version)
    needed = {
        "primary_conninfo": "" if detached else conninfo,
        "primary_slot_name": contract.slot_name(member),
        "recovery_target_timeline": "latest",
        **NO_RECOVERY_TARGET,
        **_NO_DELAY,
        "hot_standby": "on",
        # With PostgreSQL's own 10 s, a primary hears of what an idle standby has replayed too late
        # to know whom it can hand over to.
        "wal_receiver_status_interval": "1s",
        # PostgreSQL's own 5 s would be most of the time that a set takes to stream again.
        "wal_retrieve_retry_interval": "200ms",
    }
    if major_version is not None and major_version <= _LAST_WITH_A_TRIGGER_FILE:
        needed["promote_trigger_file"] = ""
    if major_version is not None and major_version >= _FIRST_WITHOUT_ALTER_SYSTEM:
        needed["allow_alter_system"] = "on"
    return needed | ({"wal_log_hints": "on"} if log_hints else {})


def synchronous_standby_names(members: Sequence[str], number: int) -> str:
    """Return the parameter's value by which a commit waits for `number` of these members.

    Empty for number 0: no commit waits.
    """
    if number == 0:
        return ""
    names = ",".join(f'"{member}"' for member in members)
    return f"ANY {number} ({names})"


def parse_synchronous_standby_names(text: str) -> tuple[tuple[str, ...], int] | None:
    """Return (members, number) of a value of ours, and None for any other text."""
    if not text:
        return (), 0
    match = _SYNCHRONOUS.fullmatch(text)
    if match is None:
        return None
    return tuple(name.strip('"') for name in match[2].split(",")), int(match[1])


def with_settings(auto_conf: str, settings: dict[str, str]) -> str:
    """Return postgresql.auto.conf with these parameters set and without what a restore has left;
    everything else as it was."""
    # Not splitlines, which would also split within a value at characters that PostgreSQL keeps.
    lines = auto_conf.removesuffix("\n").split("\n") if auto_conf else []
    dropped = {*settings, *_LEFT_BY_A_RESTORE}
    kept = [line for line in lines if _parameter_of(line) not in dropped]
    ours = [f"{name} = {_quoted(value)}" for name, value in settings.items()]
    return "\n".join([*kept, *ours]) + "\n"


def as_before_pgset(auto_conf: str) -> str:
    """Return postgresql.auto.conf without what would overrule an operator's own setting for ever,
    or have commits wait for members that are none any more.

    What only a standby reads stays: the data may become a member again.
    """
    lines = auto_conf.removesuffix("\n").split("\n") if auto_conf else []
    return "".join(f"{it}\n" for it in lines if not _is_ours_alone(it))


def _is_ours_alone(line: str) -> bool:
    name, value = _parameter_of(line), line.partition("=")[2].strip().strip("'")
    if name == "synchronous_standby_names":
        return parse_synchronous_standby_names(value) is not None
    return name == "allow_alter_system"


def _parameter_of(line: str) -> str:
    """Return the name before the equals sign, which PostgreSQL does without, too."""
    found = _NAME.match(line)
    return found[1].lower() if found else ""


def with_hba_lines(pg_hba: str) -> str:
    """Return pg_hba.conf with our lines, first: the first match decides."""
    present = pg_hba.split("\n")
    missing = [line for line in HBA_LINES if line not in present]
    if not missing:
        return pg_hba
    return "\n".join([_HBA_COMMENT, *missing, pg_hba])


def without_hba_lines(pg_hba: str) -> str:
    """Return pg_hba.conf without our lines, everything else as it was."""
    ours = (*HBA_LINES, FORMER_HBA_LINE, _HBA_COMMENT)
    return "\n".join(line for line in pg_hba.split("\n") if line not in ours)


def password_file_line(password: str) -> str:
    """Return the line of a .pgpass file that gives the replication role's password."""
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:{REPLICATION_ROLE}:{escaped}"


def _quoted(value: str) -> str:
    """Quote for libpq, whose rule is PostgreSQL's in configuration files as far as we need it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
