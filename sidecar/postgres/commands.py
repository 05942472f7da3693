"""Orders to PostgreSQL. Each may be repeated, and does no harm if it is done already."""

from collections.abc import Sequence
from typing import Any, Final

from psycopg import sql

from sidecar.contract import REPLICATION_ROLE
from sidecar.postgres.configuration import MIN_WAL_KEEP_MB, synchronous_standby_names
from sidecar.postgres.connection import APPLICATION_NAME, Connection

MAX_SLOT_WAL_KEEP_MB: Final = 1024
"""How much WAL a member that stays away may hold back on the primary, if the operator has set no
limit: beyond it the slot is lost, and the member cloned again, before the volume is full."""

MEGABYTE: Final = 1024 * 1024

_WAL_SENDER_TIMEOUT: Final = "5s"
"""For commits that wait for standbys: one that was cut off must be noticed before clients give up.
PostgreSQL's own 60 s are kept if no commit waits."""


_LEAST: Final = {"max_wal_senders": 2, "max_replication_slots": 1}
"""For one replica: what clones it takes two senders."""

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class NeedsOperatorError(Exception):
    """PostgreSQL is set up in a way that only a person can change; the message says how."""


def setting(connection: Connection, name: str) -> str:
    """Return a parameter's value in its base unit."""
    return str(_parameter(connection, name)["setting"])


def keep_wal(connection: Connection) -> None:
    """Keep enough WAL for replicas to connect, and slots from filling the volume.

    Raises NeedsOperatorError if no replica can ever stream. Takes effect with a reload.
    """
    if setting(connection, "wal_level") == "minimal":
        raise NeedsOperatorError(
            "wal_level is minimal: remove that setting, or no replica can stream"
        )
    for name, least in _LEAST.items():
        if (value := int(setting(connection, name))) < least:
            raise NeedsOperatorError(
                f"{name} is {value}: remove that setting, or no replica can be cloned and stream"
            )
    # Whole segments are kept, and of less than one none: initdb makes them of up to 1 GB.
    segment_mb = int(setting(connection, "wal_segment_size")) // MEGABYTE
    needed_mb = max(MIN_WAL_KEEP_MB, segment_mb)
    if int(setting(connection, "wal_keep_size")) < needed_mb:
        set_parameter(connection, "wal_keep_size", f"{needed_mb}MB")
    # Whoever has set -1 has room for it.
    if _parameter(connection, "max_slot_wal_keep_size")["source"] == "default":
        set_parameter(connection, "max_slot_wal_keep_size", f"{MAX_SLOT_WAL_KEEP_MB}MB")


def let_members_connect(connection: Connection) -> None:
    """Raise NeedsOperatorError if the server listens where nobody but its own pod can reach it.

    Debian's default is that; most images' is not. Only a restart would change it.
    """
    given = setting(connection, "listen_addresses")
    if all(address.strip() in _LOOPBACK for address in given.split(",")):
        raise NeedsOperatorError(
            f"listen_addresses is {given}: set it to '*' and restart PostgreSQL, or no replica can "
            "connect"
        )


def set_synchronous(connection: Connection, members: Sequence[str], number: int) -> None:
    """Make each commit wait for `number` of these standbys; the live setting shows it later.

    Raises NeedsOperatorError if the operator's own setting cannot be overridden.
    """
    # ALTER SYSTEM does not override an argument of the server's command line.
    if _parameter(connection, "synchronous_standby_names")["source"] == "command line":
        raise NeedsOperatorError(
            "synchronous_standby_names is an argument of PostgreSQL's command line: "
            "remove it there, or commits cannot wait for the members of this set"
        )
    set_parameter(
        connection, "synchronous_standby_names", synchronous_standby_names(members, number)
    )
    if number and _parameter(connection, "wal_sender_timeout")["source"] == "default":
        set_parameter(connection, "wal_sender_timeout", _WAL_SENDER_TIMEOUT)
    connection.execute("SELECT pg_reload_conf()")


def follow(connection: Connection, conninfo: str, slot: str | None = None) -> None:
    """Make this standby receive WAL from there, or from nobody if empty, and end what it receives
    now.

    `slot`: the replication slot that it uses there; None: the one that is set. Raises
    NeedsOperatorError where that is an argument, after it was told whom to follow.
    """
    set_parameter(connection, "primary_conninfo", conninfo)
    if slot is not None:
        set_parameter(connection, "primary_slot_name", slot)
    connection.execute("SELECT pg_reload_conf()")
    if slot and _parameter(connection, "primary_slot_name")["source"] == "command line":
        raise NeedsOperatorError(
            "primary_slot_name is an argument of PostgreSQL's command line: remove it there, or "
            "the primary does not keep the WAL that this replica needs"
        )


def promote(connection: Connection) -> None:
    """Ask for promotion, and don't wait for it. Asked for again, it may be done by now."""
    connection.execute("SELECT pg_promote(wait => false) WHERE pg_is_in_recovery()")


def end_what_holds_up_replay(connection: Connection) -> None:
    """End the transactions of clients if replay, which comes before a promotion, waits for one.

    Not by max_standby_streaming_delay: who waits already reads its setting again only afterwards,
    and with -1 it waits for ever.
    """
    connection.execute(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' "
        # With track_activities off it is not told who is in a transaction.
        "AND (xact_start IS NOT NULL OR state = 'disabled') "
        "AND pid <> pg_catalog.pg_backend_pid() "
        # Our name alone tells nothing: any client may take it.
        "AND (application_name <> %s OR usename IS DISTINCT FROM session_user) "
        "AND EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup' "
        "AND (wait_event_type IN ('Lock', 'BufferPin') "
        "OR pg_catalog.starts_with(wait_event, 'RecoveryConflict'::text)))",
        [APPLICATION_NAME],
    )


def keep_slots(connection: Connection, names: Sequence[str], replaced: Sequence[str] = ()) -> None:
    """Make these our physical slots; a surplus one that is in use stays until it is not.

    On a standby that follows a primary, the failover slots `replaced` go as well, which subscribers
    had while it was the primary itself: PostgreSQL copies no slot over one that has its name.
    """
    connection.execute(
        # A slot that has lost WAL is of no use to anybody, not even to its own member.
        "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
        "WHERE slot_type = 'physical' AND pg_catalog.starts_with(slot_name::text, 'pgset_'::text) "
        "AND NOT active "
        "AND (slot_name::text <> ALL(%s::text[]) OR wal_status = 'lost')",
        [list(names)],
    )
    connection.execute(
        "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_replication_slots AS slot "
        "WHERE slot_type = 'logical' AND NOT active AND slot_name::text = ANY(%s::text[]) "
        "AND EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') "
        # Versions before 17 have no such columns.
        "AND pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(slot), 'failover') = 'true' "
        "AND pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(slot), 'synced') = 'false'",
        [list(replaced)],
    )
    connection.execute(
        # Each keeps WAL from now on.
        "SELECT pg_catalog.pg_create_physical_replication_slot("
        "name::name, immediately_reserve => true) "
        "FROM unnest(%s::text[]) AS name "
        "WHERE name NOT IN (SELECT slot_name::text FROM pg_replication_slots)",
        [list(names)],
    )
    other = connection.execute(
        "SELECT slot_name::text AS name FROM pg_replication_slots "
        "WHERE slot_type = 'logical' AND slot_name::text = ANY(%s::text[]) LIMIT 1",
        [list(names)],
    ).fetchone()
    if other is not None:
        raise NeedsOperatorError(
            f"{other['name']} is a logical replication slot, and so its member cannot stream: "
            f"end what uses it, and SELECT pg_drop_replication_slot('{other['name']}')"
        )


def let_members_use_slots(connection: Connection) -> None:
    """Raise NeedsOperatorError if somebody else uses a member's slot: whoever may replicate can,
    while that member is away, and it does not stream then."""
    taken = connection.execute(
        "SELECT slot_name::text AS name, usename::text AS role "
        "FROM pg_replication_slots JOIN pg_stat_activity ON pid = active_pid "
        "WHERE pg_catalog.starts_with(slot_name::text, 'pgset_'::text) "
        "AND usename <> %s::name LIMIT 1",
        [REPLICATION_ROLE],
    ).fetchone()
    if taken is not None:
        raise NeedsOperatorError(
            f"replication slot {taken['name']} is in use by role {taken['role']}, and so its "
            "member cannot stream: end that program, and take REPLICATION from that role"
        )


def set_parameter(connection: Connection, name: str, value: str) -> None:
    """Write it to postgresql.auto.conf; it takes effect with a reload."""
    connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), value))


def _parameter(connection: Connection, name: str) -> dict[str, Any]:
    row = connection.execute(
        "SELECT setting, source FROM pg_settings WHERE name = %s", [name]
    ).fetchone()
    assert row is not None  # noqa: S101 - every supported version has these parameters
    return row
