"""What the sidecar reads from others, made up from a seed: requests, the Lease, reports, files.

The claims: nothing but the named error leaves a parser, what comes in pieces reads as what comes
whole, and what is not ours in a user's file stays byte for byte.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sidecar import contract
from sidecar.decide import decide
from sidecar.handshake import Report
from sidecar.kube.lease_record import read_record
from sidecar.postgres.configuration import (
    HBA_LINES,
    with_hba_lines,
    with_settings,
    without_hba_lines,
)
from sidecar.postgres.control_data import ControlData, parse_control_data
from tests.fuzz.http import check_http
from tests.sidecar.rules.observations import LEADER, SETTINGS, lease

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
]


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


def check_report(rng: random.Random) -> None:
    report = Report.parse(rng.choice([b"", b"refusal=\xe9\nfailure=\n"]) + made(rng))
    assert report.control is None or isinstance(report.control, ControlData)


def check_control_data(rng: random.Random) -> None:
    output = made(rng).decode(errors="replace")
    found = parse_control_data(output)
    assert found is None or found.timeline >= 0, (output, found)


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
    for it in (check_http, check_lease, check_report, check_control_data, check_files)
}
