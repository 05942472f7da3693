"""Commits that wait for no member's disk, whatever the set promises.

By synchronous_commit; or since somebody else receives WAL by a member's name: PostgreSQL asks no
more of a standby that counts than its application_name, which whoever may replicate may choose.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from psycopg import pq
from psycopg.errors import DataError

from sidecar.contract import REPLICATION_ROLE
from sidecar.postgres import libpq

# Of our own session, which sets it itself, pg_settings tells nothing of the others. Names and
# settings are in the encoding of whichever database they were made in: of those that are no concern
# here, only bytes are looked at, as what takes them for characters may fail.
#
# Each user may add some, for each database; they are told in the status, which is short. He may
# also have hundreds of megabytes in a row of his, by a setting that is any text, and unpacking
# these takes longer than a look may. What such a row says of commits is not told: who makes it
# could as well set that in his session.
_PLACES: Final = b"""
SELECT pg_catalog.string_agg(place || ' (' || value || ')', ', '::text ORDER BY place)
       || CASE WHEN count(*) > 10 THEN ', and others' ELSE '' END AS places
FROM (SELECT place, value
      FROM (SELECT * FROM (SELECT 'the configuration' AS place, setting AS value
                           FROM pg_file_settings WHERE lower(name) = 'synchronous_commit'
                           ORDER BY seqno DESC LIMIT 1) AS file
            UNION ALL
            SELECT pg_catalog.concat_ws(' in '::text,
                       CASE WHEN setrole <> 0 THEN 'role ' || rolname::text
                            WHEN setdatabase = 0 THEN 'all roles' END,
                       CASE WHEN setdatabase <> 0 THEN 'database ' || datname::text END),
                   pg_catalog.substr(config, 20)
            FROM pg_db_role_setting
                 CROSS JOIN LATERAL unnest(setconfig) AS config
                 LEFT JOIN pg_roles ON pg_roles.oid = setrole
                 LEFT JOIN pg_database ON pg_database.oid = setdatabase
            WHERE pg_catalog.pg_column_size(setconfig) < 8192
                  AND pg_catalog.starts_with(config, 'synchronous_commit='::text)) AS settings
      WHERE lower(value) NOT IN ('on', 'remote_apply', 'true', 'yes', '1')
      LIMIT 11) AS told
"""

PROBLEM: Final = (
    "synchronous_commit is set so that commits do not wait for a standby's disk: for {places}. "
    "What is acknowledged there may be lost with this primary, whatever pgset.dev/durability says: "
    "RESET it (ALTER ROLE, ALTER DATABASE, ALTER SYSTEM), or use it only for rows that may be lost"
)


# Of a role's name only bytes are looked at, too.
_STRANGERS: Final = b"""
SELECT pg_catalog.string_agg(
           DISTINCT pg_catalog.concat_ws(' as '::text, usename::text, application_name), ', '::text)
FROM pg_stat_replication
WHERE sync_state IN ('sync', 'quorum') AND usename IS DISTINCT FROM $1::name
"""

STRANGER: Final = (
    "commits may wait for a program that is no member, in a member's place, since it receives WAL "
    "by that member's name: {strangers}. What is acknowledged then may be lost with this primary: "
    "end it, and take REPLICATION from that role (ALTER ROLE ... NOREPLICATION)"
)


def problem(connection: pq.abc.PGconn, seconds: float) -> str | None:
    """Return where that is so, or in some of the places, and what to do, as sentences; None:
    nowhere that can be seen.

    Each session may set synchronous_commit, too, and so may the server's command line. Raises
    psycopg.Error.
    """
    role = [REPLICATION_ROLE.encode()]
    strangers = _first(connection, partial(connection.send_query_params, _STRANGERS, role), seconds)
    if strangers is not None:
        return STRANGER.format(strangers=strangers)
    places = _first(connection, partial(connection.send_query, _PLACES), seconds)
    return None if places is None else PROBLEM.format(places=places)


def _first(connection: pq.abc.PGconn, send: Callable[[], None], seconds: float) -> str | None:
    try:
        (told,) = libpq.ask(connection, send, seconds)
    except DataError:
        # A database of encoding SQL_ASCII tells no name that is not UTF-8.
        return None
    return told
