"""One look at a PostgreSQL that answers: its own account, put into the fields of a view."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, LiteralString

from psycopg import pq

from sidecar.contract import REPLICATION_ROLE
from sidecar.memory.commit_wait import CommitWait
from sidecar.observation import Follower, ServerState
from sidecar.postgres import libpq, unwaited
from sidecar.postgres.configuration import parse_synchronous_standby_names
from sidecar.postgres.connection import Connection
from sidecar.postgres.control_data import parse_lsn
from sidecar.postgres.restores import Restores

_OLDEST_WAL_SECONDS: Final = 10.0
"""Listing pg_wal costs a system call for each of its files."""

_UNWAITED_SECONDS: Final = 10.0
"""It is read from the configuration's files, and seldom changes."""

PAUSED: Final = (
    "replay has paused, and this replica shows no new rows: pg_wal_replay_pause() was called here, "
    "which pg_wal_replay_resume() ends; or max_connections, max_worker_processes, max_wal_senders, "
    "max_prepared_transactions or max_locks_per_transaction is lower here than on the primary, and "
    "this member cannot be promoted: then delete this pod, which starts with as much"
)
"""PostgreSQL tells the reason to its log alone."""

# Prepared: this is asked every second for as long as the pod lives. The search path
# is pinned (see connection.py); where an argument fits no function of pg_catalog exactly, the call
# is qualified and cast all the same.
_NAME: Final = b"pgset_look"
_COLUMNS: Final = {
    "system_identifier": "system.system_identifier",
    # A WAL file's name begins with its timeline, in hexadecimal. Who followed a new primary and
    # lost it has its WAL, and on an idle server nothing else that tells.
    "timeline": """
        CASE WHEN pg_is_in_recovery()
             THEN greatest(checkpoint.timeline_id, recovery.min_recovery_end_timeline,
                           receiver.received_tli,
                           CASE WHEN receiver.received_tli IS NULL THEN
                               (SELECT max(('x' || left(name, 8))::bit(32)::int)
                                FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$') END)
             ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
        END""",
    "position": """
        CASE WHEN pg_is_in_recovery()
             THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
             ELSE pg_current_wal_lsn()
        END""",
    "recovery": "pg_is_in_recovery()",
    # It says so from its start on, also where the primary then refuses: its slot is gone, say.
    # Until the first word from there both times are that of its start.
    "streaming": """
        receiver.status = 'streaming'
        AND (receiver.last_msg_send_time <> receiver.last_msg_receipt_time
             OR EXISTS (SELECT FROM pg_stat_activity
                        WHERE pid = receiver.pid AND wait_event = 'WalReceiverMain'))""",
    "told": "receiver.latest_end_lsn",
    "replayed": "pg_last_wal_replay_lsn()",
    "synchronous": "current_setting('synchronous_standby_names')",
    # Where the file says otherwise, any reload would let it follow again.
    "detached": """
        CASE WHEN pg_is_in_recovery() AND receiver.pid IS NULL
                  AND current_setting('primary_conninfo') = ''
             THEN coalesce((SELECT setting FROM pg_file_settings
                            WHERE lower(name) = 'primary_conninfo'
                            ORDER BY seqno DESC LIMIT 1), '') = ''
             ELSE false END""",
    # A standby that starts replays its own WAL first, and only then looks for more.
    "exhausted": """
        CASE WHEN pg_is_in_recovery() AND receiver.pid IS NULL THEN
            EXISTS (SELECT FROM pg_stat_activity
                    WHERE backend_type = 'startup'
                          AND wait_event IN ('RecoveryWalStream', 'RecoveryRetrieveRetryInterval'))
            ELSE true END""",
    # One that restores from an archive for longer than wal_retrieve_retry_interval never waits.
    "restorer": """
        CASE WHEN pg_is_in_recovery() AND receiver.pid IS NULL THEN
            (SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup' LIMIT 1) END""",
    # Until it ends, the startup process does nothing else (`sidecar.postgres.stuck_receiver`).
    "stuck_receiver": """
        CASE WHEN pg_is_in_recovery() AND receiver.pid IS NULL THEN
            (SELECT pid FROM pg_stat_activity
             WHERE backend_type = 'walreceiver' AND wait_event IS NULL
                   AND EXISTS (SELECT FROM pg_stat_activity
                               WHERE backend_type = 'startup' AND wait_event = 'WalReceiverExit')
             LIMIT 1) END""",
    "upstream": """
        coalesce(substring(current_setting('primary_conninfo') FROM 'host=''([^'']*)'), '')""",
    "primary_slot_name": "current_setting('primary_slot_name')",
    "restores": "current_setting('restore_command') <> ''",
    "paused": """
        CASE WHEN pg_is_in_recovery()
             THEN pg_get_wal_replay_pause_state() <> 'not paused' END""",
    # Lines as `_hear` reads them.
    "followers": """
        (SELECT pg_catalog.string_agg(
                    pg_catalog.concat_ws(' '::text, coalesce(flush_lsn, '0/0')::text,
                              coalesce(replay_lsn::text, '-'::text),
                              coalesce(extract(epoch FROM replay_lag)::text, '-'::text),
                              coalesce(extract(epoch FROM reply_time), 0)::text, application_name),
                    E'\\n'::text ORDER BY reply_time NULLS FIRST)
         FROM pg_stat_replication
         WHERE state = 'streaming' AND usename = $1)""",
    "slots": """
        (SELECT pg_catalog.string_agg(slot_name::text, ' '::text ORDER BY slot_name)
         FROM pg_replication_slots
         WHERE slot_type = 'physical' AND wal_status <> 'lost'
               AND pg_catalog.starts_with(slot_name::text, 'pgset_'::text))""",
    # In recovery, a former primary's: see commands.keep_slots.
    "logical_slots": """
        (SELECT pg_catalog.string_agg(slot_name::text, ' '::text ORDER BY slot_name)
         FROM (SELECT * FROM pg_replication_slots AS slot
               WHERE slot_type = 'logical' AND NOT temporary
                     AND CASE WHEN pg_is_in_recovery()
                         THEN receiver.status = 'streaming'
                              AND pg_catalog.jsonb_extract_path_text(
                                      pg_catalog.to_jsonb(slot), 'failover') = 'true'
                              AND pg_catalog.jsonb_extract_path_text(
                                      pg_catalog.to_jsonb(slot), 'synced') = 'false'
                         ELSE wal_status <> 'lost' END
               ORDER BY slot_name LIMIT 100) AS logical)""",
    "physical_slots": """
        (SELECT pg_catalog.string_agg(slot_name::text, ' '::text ORDER BY slot_name)
         FROM (SELECT slot_name FROM pg_replication_slots
               WHERE slot_type = 'physical' AND NOT temporary
                     AND wal_status IS DISTINCT FROM 'lost'
                     AND NOT pg_catalog.starts_with(slot_name::text, 'pgset_'::text)
               ORDER BY slot_name LIMIT 100) AS physical)""",
    "unsafe": """
        pg_catalog.concat_ws(' '::text,
            CASE WHEN current_setting('fsync') = 'off' THEN 'fsync' END,
            CASE WHEN current_setting('full_page_writes') = 'off' THEN 'full_page_writes' END)""",
}
"""What is asked of it, by the name under which the answer is read."""

_FROM: Final = """
FROM pg_control_system() AS system,
     pg_control_checkpoint() AS checkpoint,
     pg_control_recovery() AS recovery
     LEFT JOIN pg_stat_wal_receiver AS receiver ON true
"""
_LOOK: Final = f"SELECT {', '.join(_COLUMNS.values())} {_FROM}".encode()

_RELOADED: Final[LiteralString] = """
SELECT EXISTS (SELECT FROM pg_stat_activity
               WHERE backend_type = 'checkpointer'
                     AND wait_event IN ('CheckpointerMain', 'CheckpointWriteDelay'))
       -- What an earlier life of this sidecar has ordered may be on its way to a slow disk.
       AND NOT EXISTS (SELECT FROM pg_stat_activity
                       WHERE application_name = 'pgset-sidecar' AND usename = session_user
                             AND state = 'active' AND pid <> pg_catalog.pg_backend_pid()
                             AND pg_catalog.starts_with(query, 'ALTER SYSTEM'::text)) AS everybody,
       CASE WHEN (SELECT source FROM pg_settings
                  WHERE name = 'synchronous_standby_names') = 'command line'
            THEN current_setting('synchronous_standby_names')
            ELSE (SELECT setting FROM pg_file_settings
                  WHERE lower(name) = 'synchronous_standby_names' ORDER BY seqno DESC LIMIT 1)
       END AS filed
"""

_OLDEST_WAL: Final[LiteralString] = """
SELECT min(right(name, 16)) AS name,
       pg_size_bytes(current_setting('wal_segment_size')) AS segment_size
FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'
"""


class Lookout:
    """Remembers, from look to look, what only shows in a change."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: monotonic seconds."""
        self._clock = clock
        self._prepared_on: pq.abc.PGconn | None = None
        self._words: dict[str, str] = {}
        self.followers_heard_at: float | None = None
        """When a follower was last seen to have said something; None: none was ever there."""
        self._commit_wait = CommitWait()
        self._exhausted = False
        """Whether the server has replayed all WAL that it had when it started."""
        self._restores = Restores()
        self._oldest_wal: int | None = None
        self._oldest_wal_at = float("-inf")
        self.restores = True
        """Whether there is a restore_command by the last look; before the first, there may be."""
        self.unwaited: str | None = None
        """Which commits of a primary wait for nobody, although they should, as a problem."""
        self._unwaited_at = float("-inf")
        self.stuck_receiver: int | None = None
        """The pid of a walreceiver that a standby waits for, and that computes."""
        self.paused: str | None = None
        """Why a standby shows no new rows, as a problem."""

    def lost(self) -> None:
        """Forget what holds for one life of the server only: it was not seen for a while."""
        self._commit_wait.lost()
        self._exhausted, self.restores = False, True
        self._restores = Restores()
        self._oldest_wal_at = self._unwaited_at = float("-inf")

    def was_set(self) -> None:
        """Count from now what commits wait for, though it may read as before."""
        self._commit_wait.was_set(self._clock())

    def look(self, connection: Connection, seconds: float) -> tuple[ServerState, dict[str, Any]]:
        """Return the state and the fields of a PostgresView, within `seconds` for an answer.

        Raises psycopg.Error.
        """
        began = self._clock()
        reloaded = self._everybody_has_reloaded(connection)
        row = self._ask(connection, seconds)
        self.restores = row["restores"] == "t"
        self.stuck_receiver = int(row["stuck_receiver"] or 0) or None
        self.paused = PAUSED if row["paused"] == "t" else None
        synchronous, replayed = row["synchronous"] or "", _bytes(row["replayed"])
        in_recovery = row["recovery"] == "t"
        asks_in_vain = self._restores.see(int(row["restorer"] or 0), row["replayed"])
        self._exhausted = self._exhausted or row["exhausted"] == "t" or asks_in_vain
        position = _bytes(row["position"]) if self._exhausted else None
        settled_at = position if reloaded else None
        self._commit_wait.see(synchronous, settled_at, self._clock())
        self._commit_wait.see_state(writable=not in_recovery, position=position)
        filed = self._commit_wait.filed
        members, number = _standbys(synchronous)
        heard = self._hear(row["followers"], began)
        promises = number > 0 and not in_recovery
        self._look_for_unwaited(connection.pgconn, seconds, promises=promises)
        return ServerState.RECOVERY if in_recovery else ServerState.WRITABLE, {
            "system_identifier": row["system_identifier"],
            "timeline": int(row["timeline"] or 0),
            "position": position,
            "streaming": row["streaming"] == "t",
            "lag": _lag(_bytes(row["told"]), replayed),
            "to_replay": _lag(position, replayed) if in_recovery else None,
            "followers": heard,
            "followers_heard_at": None if in_recovery else self.followers_heard_at,
            "detached": row["detached"] == "t",
            "upstream": row["upstream"] if in_recovery else None,
            "primary_slot_name": (row["primary_slot_name"] or "") if in_recovery else None,
            "waits_for": members,
            "waits_for_number": number,
            "waits_from": self._commit_wait.waits_from,
            "ordered": None if filed is None else _standbys(str(filed)),
            "slots": tuple((row["slots"] or "").split()),
            "logical_slots": tuple((row["logical_slots"] or "").split()),
            "physical_slots": tuple((row["physical_slots"] or "").split()),
            "unsafe": (*(row["unsafe"] or "").split(), *_waits_for_strangers(synchronous)),
            "oldest_wal": None if in_recovery else self._find_oldest_wal(connection),
        }

    def _ask(self, connection: Connection, seconds: float) -> dict[str, str | None]:
        pgconn = connection.pgconn
        if pgconn is not self._prepared_on:
            libpq.ask(pgconn, partial(pgconn.send_prepare, _NAME, _LOOK), seconds)
            self._prepared_on = pgconn
        role = [REPLICATION_ROLE.encode()]
        row = libpq.ask(pgconn, partial(pgconn.send_query_prepared, _NAME, role), seconds)
        return dict(zip(_COLUMNS, row, strict=True))

    def _hear(self, lines: str | None, now: float) -> tuple[Follower, ...]:
        """Note who has said something since the last look; one Follower for each name.

        Lines of: flushed LSN, replayed LSN, by how many seconds that was late, when it said so (on
        its own clock), its name; the newest word last.
        """
        followers, words = {}, {}
        for line in (lines or "").split("\n") if lines else ():
            flushed, replayed, late, said_at, name = line.split(" ", 4)
            # An ended connection may linger beside the new one; the newest word counts.
            followers[name] = Follower(
                name,
                parse_lsn(flushed),
                replayed=_bytes(None if replayed == "-" else replayed),
                seconds=None if late == "-" else float(late),
            )
            words[name] = said_at
        if any(self._words.get(name) != word for name, word in words.items()):
            self.followers_heard_at = now
        self._words = words
        return tuple(followers[name] for name in sorted(followers))

    def _everybody_has_reloaded(self, connection: Connection) -> bool:
        """Tell whether the setting that was seen last holds for each commit from now on.

        Walsenders take a reload at once, but whether a commit waits at all is written to shared
        memory by the checkpointer, which may be at work on a slow disk for long; it has done so
        when it is seen waiting for something to do.
        """
        if not self._commit_wait.is_due(self._clock()):
            return False
        row = connection.execute(_RELOADED).fetchone()
        if row is None:
            return False
        return self._commit_wait.read(row["filed"] or "", everybody=bool(row["everybody"]))

    def _look_for_unwaited(
        self, connection: pq.abc.PGconn, seconds: float, *, promises: bool
    ) -> None:
        now = self._clock()
        if not promises:
            self.unwaited = None
        elif now - self._unwaited_at >= _UNWAITED_SECONDS:
            self.unwaited, self._unwaited_at = unwaited.problem(connection, seconds), now

    def _find_oldest_wal(self, connection: Connection) -> int | None:
        now = self._clock()
        if now - self._oldest_wal_at >= _OLDEST_WAL_SECONDS:
            row = connection.execute(_OLDEST_WAL).fetchone()
            self._oldest_wal_at = now
            self._oldest_wal = None
            if row is not None and row["name"] is not None:
                log, segment = int(row["name"][:8], 16), int(row["name"][8:], 16)
                self._oldest_wal = (log << 32) + segment * int(row["segment_size"])
        return self._oldest_wal


def _bytes(lsn: str | None) -> int | None:
    return None if lsn is None else parse_lsn(lsn)


def _standbys(text: str) -> tuple[tuple[str, ...], int]:
    """Return the standbys that a synchronous_standby_names of ours names, and how many count."""
    return parse_synchronous_standby_names(text) or ((), 0)


def _waits_for_strangers(names: str) -> tuple[str, ...]:
    """Tell whether synchronous_standby_names has names that we have not put there."""
    strange = parse_synchronous_standby_names(names) is None and "*" not in names
    return ("synchronous_standby_names",) if strange else ()


def _lag(told: int | None, replayed: int | None) -> int | None:
    return None if told is None or replayed is None else max(0, told - replayed)
