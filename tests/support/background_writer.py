"""PostgreSQL's background writer, which writes a little WAL now and then, also before a crash."""

import os
import signal

import psycopg
from psycopg.rows import TupleRow

from tests.support.database import Database
from tests.support.standby import session
from tests.support.waiting import state_of, wait_until

# Elsewhere it may hold a lock that every new session needs.
IDLE = b"""
SELECT pid FROM pg_stat_activity
WHERE backend_type = 'background writer'
      AND lower(wait_event) IN ('bgwritermain', 'bgwriterhibernate')
"""


def stop_background_writer(database: Database) -> None:
    """Stop it for as long as this server lives, and write what it has left to be written."""
    with session(database) as connection:
        wait_until(lambda: _is_stopped(connection), "the background writer to be idle")
        # Before its commit returns, all WAL from before is written as well.
        connection.execute("SELECT pg_current_xact_id()")


def _is_stopped(connection: psycopg.Connection[TupleRow]) -> bool:
    found = connection.execute(IDLE).fetchone()
    if found is None:
        return False
    pid: int = found[0]
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state_of(pid) == "T", "it to stand still", pause=0)
    if connection.execute(IDLE).fetchone() is not None:
        return True
    # It has gone on between the answer and the signal.
    os.kill(pid, signal.SIGCONT)
    return False
