"""How much of the machine's cores others had while something was measured."""

import contextlib
import os
import resource
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.cost import parse_busy, parse_cpu

_PROC: Final = Path("/proc")


@dataclass(frozen=True)
class Look:
    """One look at the machine; both in seconds."""

    at: float
    """By a monotonic clock."""
    others: float
    """What its cores have worked for others since it was started."""


def look(ours: Iterable[int] = ()) -> Look:
    """Look now; this program is not one of the others, nor are the processes with these pids."""
    ticks = os.sysconf("SC_CLK_TCK")
    at, stat = time.monotonic(), (_PROC / "stat").read_text()
    own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    mine = sum(it.ru_utime + it.ru_stime for it in own)
    busy, _ = parse_busy(stat)
    return Look(at, busy / ticks - mine - sum(_seconds(pid, ticks) for pid in ours))


def others_share(times: Iterable[tuple[Look, Look]], cores: int) -> float:
    """Return the share of all cores that others had between the looks of each pair."""
    pairs = list(times)
    worked = sum(last.others - first.others for first, last in pairs)
    return worked / sum(last.at - first.at for first, last in pairs) / cores


def _seconds(pid: int, ticks: int) -> float:
    with contextlib.suppress(OSError):  # it has ended
        return parse_cpu((_PROC / str(pid) / "stat").read_text(), ticks)
    return 0.0
