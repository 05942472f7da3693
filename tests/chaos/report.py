"""The lines that a run prints. All pure."""

import statistics
from collections.abc import Sequence

from tests.chaos.measure import Measures
from tests.chaos.steps import Step


def line(name: str, rounds: Sequence[Measures]) -> str:
    """Return one fault's line: its rounds taken together."""
    gaps = [it.gap for it in rounds]
    worst = max(gaps)
    never = "" if all(it.resumed for it in rounds) else " and more"
    parts = [
        f"{name:20} {len(rounds)} round{'s' if len(rounds) > 1 else ''}",
        f"gap p50 {statistics.median(gaps):5.2f} max {worst:5.2f} s{never}",
        *(f"connecting anew {it:.2f} s" for it in _worst_anew(rounds)),
        f"acknowledged {sum(it.acknowledged for it in rounds)}",
        _lost(rounds),
        f"double-writable {_sum(rounds, 'double_ticks')} of {_sum(rounds, 'ticks')} samples",
        f"primary labels ≤ {max(it.primary_labels for it in rounds)}",
        f"takeovers {_sum(rounds, 'takeovers')}",
        f"reads failed {_sum(rounds, 'failed_reads')} of {_sum(rounds, 'reads')}",
        _healing(rounds),
    ]
    return " · ".join(parts)


def _sum(rounds: Sequence[Measures], name: str) -> int:
    return sum(getattr(it, name) for it in rounds)


def _worst_anew(rounds: Sequence[Measures]) -> list[float]:
    gaps = [it.gap_anew for it in rounds if it.gap_anew is not None]
    return [max(gaps)] if gaps else []


def _lost(rounds: Sequence[Measures]) -> str:
    lost, cut_off = _sum(rounds, "lost"), _sum(rounds, "lost_cut_off")
    return f"lost {lost}" + (f" ({cut_off} on the cut-off side)" if cut_off else "")


def _healing(rounds: Sequence[Measures]) -> str:
    times = [it.healing for it in rounds if it.healing is not None]
    failed = len(rounds) - len(times)
    if failed:
        return f"NOT WHOLE AGAIN in {failed}"
    return f"all streaming after {statistics.median(times):.1f} s, at most {max(times):.1f} s"


def details(steps: Sequence[Step]) -> str:
    """Return one round's steps in the order in which they came, in seconds after the fault."""
    seen = sorted((it for it in steps if it.at is not None), key=lambda it: it.at or 0.0)
    unseen = [it.name for it in steps if it.at is None]
    text = "  ".join(f"{it.name} {it.at:+.2f}" for it in seen)
    return f"    {text}" + (f"  (not seen: {', '.join(unseen)})" if unseen else "")
