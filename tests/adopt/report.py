"""The table that a run prints. All pure."""

from collections.abc import Sequence
from typing import Final

from tests.adopt.play import STEPS, Played

HEAD: Final = ("kind", *STEPS, "read-only", "lost", "takeovers", "what the user had to change")


def table(played: Sequence[Played]) -> str:
    """Return one line a kind, and what the columns are."""
    rows = [HEAD, *(_cells(it) for it in played if not it.refusal)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [
        " | ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(
        [*lines, *(f"{it.kind.name} | refused: {it.refusal}" for it in played if it.refusal)]
    )


def breaches(played: Played, rows: int) -> list[str]:
    """Return what must not be, in words; `rows`: how many were there before."""
    if played.refusal:
        return []
    found = {
        f"{played.lost} acknowledged rows are lost": played.lost,
        f"{played.rows} of {rows} rows from before are there": played.rows != rows,
    }
    return [sentence for sentence, breach in found.items() if breach]


def _cells(played: Played) -> tuple[str, ...]:
    steps = [f"{played.steps[it].gap:.1f} s" if it in played.steps else "-" for it in STEPS]
    return (
        played.kind.name,
        *steps,
        str(sum(it.read_only for it in played.steps.values())),
        f"{played.lost} of {played.acknowledged}",
        str(played.takeovers),
        "; ".join(played.changes) or "nothing",
    )
