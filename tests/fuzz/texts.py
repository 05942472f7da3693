"""What the sidecar reads from others, made up from a seed: requests, the Lease, reports, files.

The claims: nothing but the named error leaves a parser, what comes in pieces reads as what comes
whole, and what is not ours in a user's file stays byte for byte.
"""

import json
import os
import random
import re
import struct
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from sidecar import contract
from sidecar.decide import decide
from sidecar.handshake import Report
from sidecar.kube.lease_record import read_record
from sidecar.memory.status import describe, read_peer
from sidecar.observation import ServerState
from sidecar.postgres.configuration import (
    HBA_LINES,
    with_hba_lines,
    with_settings,
    without_hba_lines,
)
from sidecar.postgres.control_data import (
    ControlData,
    parse_control_data,
    parse_system_identifier,
    read_running_server,
)
from sidecar.postgres.hba_file import OWN_HBA_FILE
from sidecar.postgres.refused import with_raised
from tests.fuzz.http import check_http
from tests.sidecar.rules.observations import LEADER, RECORD, REPLICA, SETTINGS, lease

WORDS: Final = [
    *(
        b"",
        b"0",
        b"-1",
        b"9" * 20,
        b"9" * 5000,
        b"\xd9\xa3",
        b"\xe9",
        b"\x00",
        b"\x0c",
        b" ",
        b"\t",
    ),
    *(
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b":",
        b"=",
        b",",
        b"/",
        b"16/B374D848",
        b"orders-0",
        b"orders-x",
    ),
    *(b"GET / HTTP/1.1", b"POST /failsafe HTTP/1.1", b"Content-Length: 3", b"Content-Length:+3"),
    *(b"Content-Length : 3", b"content-length: 3, 3", b"Transfer-Encoding: chunked", b"Host: x"),
    *(b"session=s", b"done=1", b"failure=", b"pgdata=/d", b"data=present", b"1 orders-0 then"),
    *(
        b"Latest checkpoint location:",
        b"Latest checkpoint's TimeLineID:",
        b"wal_log_hints setting:",
    ),
    *(b"Minimum recovery ending location:", b"Min recovery ending loc's timeline:"),
    *(b"Data page checksum version:", b"Database system identifier:", b"hot_standby = off"),
    *(line.encode() for line in HBA_LINES),
]
_NOTES: Final = [
    *(contract.SYSTEM_IDENTIFIER, contract.TIMELINE, contract.MEMBERS, contract.HISTORY),
    *(contract.POSITION, contract.IN_SYNC, contract.COPIES, contract.HEIR, contract.SWITCHOVER_TO),
    contract.LIVES,
    contract.LOGICAL_SLOTS,
    contract.PHYSICAL_SLOTS,
    contract.FOLLOWERS,
]
_VALUES: Final[list[object]] = [
    *(None, True, False, 0, -1, 7, 7.5, 2**63, 2**64, 10**400, float("inf"), float("nan")),
    *("", "7", "present", "111", [], ["111"], {}, {"7": 7}),
]
"""What JSON can say."""


def made(rng: random.Random) -> bytes:
    return b"".join(
        rng.choice(WORDS) + rng.choice([b"", b"", b" ", b"\n", b"\r\n"])
        for _ in range(rng.randrange(1, 16))
    )


def check_lease(rng: random.Random) -> None:
    notes = {name: made(rng).decode(errors="replace") for name in _NOTES if rng.random() < 0.5}
    holder = rng.choice(["orders-0/uid-0", "", "/", "orders-1/uid-1"])
    record = read_record(
        {
            "metadata": {"name": "x", "resourceVersion": "1", "annotations": notes},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 10},
        }
    )
    decide(replace(LEADER, lease=lease(record)), SETTINGS)
    assert record.timeline is None or record.timeline >= 0


def check_peer(rng: random.Random) -> None:
    """What anybody at a member's address may tell, of any kind: it is no account, or one by which
    is decided like any other's."""
    told = json.loads(json.dumps(describe(REPLICA, SETTINGS)))
    for word in rng.sample(sorted(told), rng.randrange(1, 4)):
        told[word] = json.loads(json.dumps(rng.choice(_VALUES)))
    try:
        peer = read_peer("orders-1", told)
    except (KeyError, TypeError, ValueError):
        return
    free = lease(replace(RECORD, holder=""))
    for seen in (
        LEADER,
        REPLICA,
        replace(REPLICA, lease=free),
        replace(REPLICA, lease=lease(None)),
    ):
        for others in ({"orders-1": peer}, {"orders-1": peer, "orders-2": peer}):
            decide(replace(seen, peers=others), SETTINGS)


def check_report(rng: random.Random) -> None:
    report = Report.parse(rng.choice([b"", b"refusal=\xe9\nfailure=\n"]) + made(rng))
    assert report.control is None or isinstance(report.control, ControlData)


def check_control_data(rng: random.Random) -> None:
    output = made(rng).decode(errors="replace")
    found = parse_control_data(output)
    assert found is None or found.timeline >= 0, (output, found)


_WAL_NAMES: Final = [
    *(b"00000003000000160000003B", b"FFFFFFFF0000000000000001", b"0000000300000016000000"),
    *(b"00000009000000160000003B.partial", b"00000009.history", b"00000009000000160000003b"),
    *(b"archive_status", b"\xe9", b"00000009000000160000003B\n", b"+0000009000000160000003B"),
]


def _control_file(rng: random.Random) -> bytes:
    """As PostgreSQL writes it, of any state, or anything else; often only its beginning."""
    identifier, checkpoint = rng.getrandbits(64), rng.choice([0, rng.getrandbits(64)])
    head = struct.pack(
        *("=QIIi4xqQQI", identifier, 1300, 202209061, rng.randrange(-1, 8)),
        *(rng.getrandbits(40), checkpoint, checkpoint, rng.choice([0, 1, 2**32 - 1])),
    )
    content = rng.choice([head, head + made(rng), made(rng), rng.randbytes(rng.randrange(100))])
    return content[: rng.choice([len(content), rng.randrange(60)])]


def check_running_server(rng: random.Random) -> None:
    content, names = _control_file(rng), rng.sample(_WAL_NAMES, rng.randrange(4))
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        (directory / "global").mkdir()
        (directory / "pg_wal").mkdir()
        (directory / "global/pg_control").write_bytes(content)
        for name in names:
            (directory / "pg_wal" / os.fsdecode(name)).touch()
        found = read_running_server(directory)
    if found is None:
        return
    assert found.state in (ServerState.RECOVERY, ServerState.WRITABLE)
    assert found.system_identifier == parse_system_identifier(content)
    assert 0 <= found.position < 2**64
    begun = [int(name[:8], 16) for name in names if re.fullmatch(rb"[0-9A-F]{24}", name)]
    assert found.timeline == max([*begun, *struct.unpack("=I", content[48:52])])


_OURS: Final = [
    *(b"max_connections = '0x000000c8'", b"wal_level = 'Replica'"),
    b"hba_file = '/\xe9/pgset_hba.conf'",
]
_THEIRS: Final = [
    *(b"max_connections = 200", b"wal_level = replica", b"max_connections = '0x000000c8' # theirs"),
    *(b"# wal_level = 'Replica'", b"hba_file = '/pgset_hba.conf.old'"),
]
_QUOTED: Final = re.compile(rb"hba_file = '((?:[^'\\]|\\['\\])*)'")


def check_raised(rng: random.Random) -> None:
    """What was raised for a start goes again, and all else in the file stays as it was."""
    theirs = b"\n".join(rng.choice([made(rng), *_OURS, *_THEIRS]) for _ in range(rng.randrange(5)))
    folder = (
        b"".join(rng.choice(WORDS) for _ in range(3)).replace(b"\n", b"'").replace(b"\0", b"\\")
    )
    settings = {
        "max_connections": str(rng.choice([0, 200, 2**31 - 1])),
        "wal_level": "replica",
        "hba_file": f"/{os.fsdecode(folder)}/{OWN_HBA_FILE}",
    }
    raised = dict(rng.sample(sorted(settings.items()), rng.randrange(4)))

    def write(content: bytes, settings: dict[str, str]) -> bytes:
        text = with_raised(content.decode(errors="surrogateescape"), settings)
        return text.encode(errors="surrogateescape")

    own, there = write(theirs, {}), write(theirs, raised)
    assert write(there, raised) == there
    assert write(there, {}) == own
    assert there.startswith(own)
    added = there.removeprefix(own).split(b"\n")[:-1]
    assert len(added) == len(raised)
    for line in (line for line in added if line.startswith(b"hba_file")):
        quoted = _QUOTED.fullmatch(line)
        assert quoted
        assert os.fsdecode(re.sub(rb"\\(.)", rb"\1", quoted[1])) == raised["hba_file"]
    lines = [line for line in theirs.split(b"\n") if line not in _OURS]
    assert own.rstrip(b"\n") == b"\n".join(lines).rstrip(b"\n")


def check_files(rng: random.Random) -> None:
    text = made(rng).decode(errors="surrogateescape")
    admitted = with_hba_lines(text)
    assert with_hba_lines(admitted) == admitted
    assert set(HBA_LINES) <= set(admitted.split("\n"))
    assert without_hba_lines(admitted) == without_hba_lines(text)
    settings = with_settings(text, {"hot_standby": "on"})
    assert with_settings(settings, {"hot_standby": "on"}) == settings
    kept = [line for line in text.split("\n") if not line.lower().strip().startswith("hot_standby")]
    assert [line for line in kept if line and line not in settings.split("\n")] == []


CHECKS: Final[dict[str, Callable[[random.Random], object]]] = {
    it.__name__.removeprefix("check_"): it
    for it in (
        *(check_http, check_lease, check_peer, check_report, check_control_data),
        *(check_running_server, check_raised, check_files),
    )
}
