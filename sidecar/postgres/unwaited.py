"""Commits that wait for no standby, whatever the set promises: by synchronous_commit."""

from typing import Final, LiteralString

from sidecar.postgres.connection import Connection

# Of our own session, which sets it itself, pg_settings tells nothing of the others.
_PLACES: Final[LiteralString] = """
SELECT pg_catalog.string_agg(place || ' (' || value || ')', ', '::text ORDER BY place) AS places
FROM (SELECT * FROM (SELECT 'the configuration' AS place, setting AS value FROM pg_file_settings
                     WHERE lower(name) = 'synchronous_commit'
                     ORDER BY seqno DESC LIMIT 1) AS file
      UNION ALL
      SELECT pg_catalog.concat_ws(' in '::text,
                                  CASE WHEN setrole <> 0 THEN 'role ' || rolname::text END,
                                  CASE WHEN setdatabase <> 0 THEN 'database ' || datname::text END),
             split_part(config, '=', 2)
      FROM pg_db_role_setting
           CROSS JOIN LATERAL unnest(setconfig) AS config
           LEFT JOIN pg_roles ON pg_roles.oid = setrole
           LEFT JOIN pg_database ON pg_database.oid = setdatabase
      WHERE split_part(config, '=', 1) = 'synchronous_commit') AS settings
WHERE lower(value) NOT IN ('on', 'remote_apply', 'true', 'yes', '1')
"""

PROBLEM: Final = (
    "synchronous_commit is set so that commits do not wait for a standby's disk: for {places}. "
    "What is acknowledged there may be lost with this primary, whatever pgset.dev/durability says: "
    "RESET it (ALTER ROLE, ALTER DATABASE, ALTER SYSTEM), or use it only for rows that may be lost"
)


def problem(connection: Connection) -> str | None:
    """Return where it is set so, and what to do, as sentences; None: nowhere that can be seen.

    Each session may set it, too, and so may the server's command line. Raises psycopg.Error.
    """
    row = connection.execute(_PLACES).fetchone()
    return None if row is None or row["places"] is None else PROBLEM.format(places=row["places"])
