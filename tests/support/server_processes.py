"""Processes of a real PostgreSQL, stopped at a place where they hold nothing that others need."""

import os
import signal

import psycopg
from psycopg.rows import TupleRow

from tests.support.database import Database
from tests.support.standby import session
from tests.support.waiting import state_of, wait_until

_IDLE_WRITER = b"""
SELECT pid FROM pg_stat_activity
WHERE backend_type = 'background writer'
      AND lower(wait_event) IN ('bgwritermain', 'bgwriterhibernate')
"""


def stop_at(connection: psycopg.Connection[TupleRow], place: bytes) -> int | None:
    """Stop the process whose pid this query has while it is at that place; return the pid, or None
    if it was not met there. Elsewhere it may hold a lock that every new session needs."""
    found = connection.execute(place).fetchone()
    if found is None:
        return None
    pid: int = found[0]
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state_of(pid) == "T", "it to stand still", pause=0)
    if connection.execute(place).fetchone() is not None:
        return pid
    # It has gone on between the answer and the signal.
    os.kill(pid, signal.SIGCONT)
    return None


def stop_background_writer(database: Database) -> None:
    """Stop what writes a little WAL now and then, also before a crash, for as long as this server
    lives, and write what it has left to be written."""
    with session(database) as connection:
        wait_until(
            lambda: stop_at(connection, _IDLE_WRITER) is not None,
            "the background writer to be idle",
        )
        # Before its commit returns, all WAL from before is written as well.
        connection.execute("SELECT pg_current_xact_id()")
