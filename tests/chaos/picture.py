"""One round as an SVG picture: what clients saw, and underneath why. Pure: values in, text out.

Its colours follow the reader's light or dark theme. Everything is placed by hand, so that no
library is needed.
"""

import math
from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from tests.chaos import bands
from tests.chaos.bands import Band, Bar
from tests.chaos.client import WRITE_INTERVAL
from tests.chaos.measure import CUT_OFF, MAIN, Measures, write_gap
from tests.chaos.record import READ_ONLY, SILENT, WRITABLE, Record

WIDTH: Final = 960
_LEFT: Final = 118
_RIGHT: Final = 24
_TOP: Final = 84
_COMMITS: Final = 76
_FAILURES: Final = 22
_LEAST_FAILED: Final = 3
"""A try that hangs for a second is one of few, and is to be seen all the same."""
_ROW: Final = 34
_STATE: Final = 15
_LABEL: Final = 5
_LEAST_BAR: Final = 3.0
_BINS: Final = (0.1, 0.2, 0.5, 1.0)
"""Seconds that one bar stands for: the first that makes bars of `_LEAST_BAR` pixels."""
_BEFORE: Final = 2.0
_ROOM_FOR_TEXT: Final = 70
_LETTER: Final = 6.3
"""The width of a letter of 11 px, by and large."""

_STYLE: Final = """
.page{fill:#ffffff;stroke:#d0d7de}.ink{fill:#1f2328}.faint{fill:#59636e}
.grid{stroke:#d0d7de;stroke-width:1}.fault{stroke:#d1242f;stroke-width:1.5}.faultink{fill:#d1242f}
.heal{stroke:#1a7f37;stroke-width:1.5;stroke-dasharray:4 3}.healink{fill:#1a7f37}
.yes{fill:#2da44e}.no{fill:#d1242f}.gap{stroke:#1f2328;stroke-width:1}
.writable{fill:#0969da}.readonly{fill:#b6d6f7}.silent{fill:url(#hatch)}
.primary{fill:#bc4c00}.replica{fill:#f0c9a8}.held{fill:#8250df}.service{fill:#bc4c00}
.on{fill:#ffffff}.hatch{stroke:#afb8c1;stroke-width:2}.unheld{fill:url(#hatch)}
@media (prefers-color-scheme:dark){
.page{fill:#0d1117;stroke:#3d444d}.ink{fill:#f0f6fc}.faint{fill:#9198a1}
.grid{stroke:#2f3742}.fault{stroke:#ff7b72}.faultink{fill:#ff7b72}
.heal{stroke:#3fb950}.healink{fill:#3fb950}.yes{fill:#3fb950}.no{fill:#f85149}.gap{stroke:#f0f6fc}
.writable{fill:#388bfd}.readonly{fill:#1b3a66}.primary{fill:#e0823d}.replica{fill:#7a4d2a}
.held{fill:#8957e5}.service{fill:#e0823d}.on{fill:#0d1117}.hatch{stroke:#3d444d}}
text{font:11px ui-sans-serif,system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif}
.title{font-size:17px;font-weight:600}.small{font-size:10px}.bold{font-weight:600}
""".strip()

_STATE_CLASSES: Final = {WRITABLE: "writable", READ_ONLY: "readonly", SILENT: "silent"}
_LEGEND: Final = (
    ("writable", "takes writes"),
    ("readonly", "read-only"),
    ("silent", "no answer"),
    ("primary", "labelled primary"),
    ("replica", "labelled replica"),
)


def draw(record: Record, title: str, measures: Measures) -> str:
    """Return the picture of a round as the text of an SVG file."""
    return _Picture(record).draw(title, _summary(measures))


def _summary(measures: Measures) -> str:
    side = f" ({measures.lost_cut_off} on the cut-off side)" if measures.lost_cut_off else ""
    return (
        f"writes paused for {measures.gap:.2f} s · {measures.acknowledged} rows acknowledged, "
        f"{measures.lost} lost{side} · two members writable in {measures.double_ticks} of "
        f"{measures.ticks} samples"
    )


class _Picture:
    def __init__(self, record: Record) -> None:
        moments = record.moments
        self._record = record
        self._start = max(moments.began - moments.fault, -_BEFORE)
        self._end = moments.ended - moments.fault
        self._bin = self._choose_bin()
        self._cut_off = bands.commits(record, CUT_OFF, self._bin)
        self._rows_top = _TOP + _COMMITS + _FAILURES + 26
        self._bottom = (
            self._rows_top + _ROW * len(record.members) + (_ROW - 8) * (3 if self._cut_off else 2)
        )
        self._height = self._bottom + 66

    def draw(self, title: str, summary: str) -> str:
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._height}" '
                f'width="{WIDTH}" height="{self._height}" role="img">',
                f"<title>{escape(title)}: {escape(summary)}</title>",
                f"<style>{_STYLE}</style>",
                '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
                'patternTransform="rotate(45)"><path class="hatch" d="M0 0V6"/></pattern></defs>',
                f'<rect class="page" x=".5" y=".5" width="{WIDTH - 1}" '
                f'height="{self._height - 1}" rx="8"/>',
                _text(24, 32, title, "ink title"),
                _text(24, 52, summary, "faint"),
                *self._axis(),
                *self._commits(),
                *self._rows(),
                *self._turns(),
                *self._gap(),
                *self._legend(),
                "</svg>\n",
            ]
        )

    def _x(self, at: float) -> float:
        width = WIDTH - _LEFT - _RIGHT
        inside = min(max(at, self._start), self._end)
        return round(_LEFT + width * (inside - self._start) / (self._end - self._start), 1)

    def _axis(self) -> Iterator[str]:
        step = _step(self._end - self._start)
        first = math.ceil(self._start / step)
        for number in range(first, math.floor(self._end / step) + 1):
            x = self._x(number * step)
            yield f'<path class="grid" d="M{x} {_TOP}V{self._bottom}"/>'
            text = f"{number * step:+g}".replace("-", "\N{MINUS SIGN}") if number else "0"
            yield _text(x, self._bottom + 15, text, "faint small", "middle")
        yield _text(
            WIDTH - _RIGHT, self._bottom + 30, "seconds after the fault", "faint small", "end"
        )

    def _commits(self) -> Iterator[str]:
        base = _TOP + _COMMITS
        yield _text(_LEFT - 12, base - 30, "commits", "ink bold", "end")
        yield _text(_LEFT - 12, base - 16, "a row every 20 ms", "faint small", "end")
        yield _text(_LEFT - 12, base + 14, "failed tries", "faint small", "end")
        yield f'<path class="grid" d="M{_LEFT} {base}H{WIDTH - _RIGHT}"/>'
        for bar in bands.commits(self._record, MAIN, self._bin):
            yield from self._bar(bar, base, _COMMITS - 8, _FAILURES)

    def _bar(self, bar: Bar, base: float, above: float, below: float) -> Iterator[str]:
        if not self._start <= bar.start < self._end:
            return
        most = self._bin / WRITE_INTERVAL
        x = self._x(bar.start)
        width = max(1.0, self._x(bar.start + self._bin) - x - 0.6)
        up = above * min(1.0, bar.acknowledged / most)
        down = below * min(1.0, bar.failed / most)
        if up:
            yield _rect("yes", x, base - up, width, up)
        if down:
            yield _rect("no", x, base + 1, width, max(down, _LEAST_FAILED))

    def _choose_bin(self) -> float:
        pixels = (WIDTH - _LEFT - _RIGHT) / (self._end - self._start)
        return next((it for it in _BINS if it * pixels >= _LEAST_BAR), _BINS[-1])

    def _rows(self) -> Iterator[str]:
        top = self._rows_top
        for member in self._record.members:
            yield _text(_LEFT - 12, top + 15, member, "ink bold", "end")
            for band in bands.states(self._record, member):
                yield from self._band(band, _STATE_CLASSES[band.what], top, _STATE)
            for band in bands.labels(self._record, member):
                if band.what:
                    yield from self._band(band, band.what, top + _STATE + 2, _LABEL)
            top += _ROW
        for name, some, kind in (
            ("Lease", bands.lease(self._record), "held"),
            ("Service", bands.service(self._record), "service"),
        ):
            yield _text(_LEFT - 12, top + 11, name, "ink bold", "end")
            for band in some:
                yield from self._band(band, kind if band.what else "unheld", top, _STATE, band.what)
            top += _ROW - 8
        if self._cut_off:
            yield _text(_LEFT - 12, top + 11, "cut-off client", "ink bold", "end")
            for bar in self._cut_off:
                yield from self._bar(bar, top + 12, 12, 5)

    def _band(
        self, band: Band, kind: str, top: float, height: float, text: str = ""
    ) -> Iterator[str]:
        if band.end < self._start:
            return
        x, end = self._x(band.start), self._x(band.end)
        yield _rect(kind, x, top, max(end - x - 0.8, 0.8), height)
        fault = self._x(0.0)
        if x < fault < x + len(text) * _LETTER + 6:
            x = fault  # the line would cross the text
        if text and len(text) * _LETTER < end - x - 8:
            yield _text(x + 6, top + height - 4, text, "on")

    def _turns(self) -> Iterator[str]:
        fault = self._x(0.0)
        yield f'<path class="fault" d="M{fault} {_TOP - 12}V{self._bottom}"/>'
        yield _text(fault + 5, _TOP - 4, "fault", "faultink bold")
        for at, text in self._ends():
            x = self._x(at)
            yield f'<path class="heal" d="M{x} {_TOP - 12}V{self._bottom}"/>'
            yield _text(x + 5, _TOP - 4, text, "healink")

    def _ends(self) -> list[tuple[float, str]]:
        """Return when the fault was taken away and all streamed; one text where that is close."""
        moments = self._record.moments
        ends = [
            (at - moments.fault, text)
            for at, text in ((moments.healed, "fault ends"), (moments.whole, "all streaming"))
            if at is not None and at > moments.fault
        ]
        if len(ends) == 2 and self._x(ends[1][0]) - self._x(ends[0][0]) < _ROOM_FOR_TEXT:
            (first, text), (second, other) = ends
            return [(first, f"{text}, {other} {max(0.0, second - first):.1f} s later")]
        return ends

    def _gap(self) -> Iterator[str]:
        gap, _ = write_gap(self._record)
        fault = self._record.moments.fault
        x, end = self._x(gap.start - fault), self._x(gap.end - fault)
        y = _TOP + _COMMITS / 2
        yield f'<path class="gap" d="M{x} {y - 4}v8M{x} {y}H{end}M{end} {y - 4}v8"/>'
        text = f"{gap.seconds:.2f} s"
        if end - x > len(text) * _LETTER + 12:
            yield _text((x + end) / 2, y - 6, text, "ink bold", "middle")
        else:
            yield _text(end + 6, y + 4, text, "ink bold")

    def _legend(self) -> Iterator[str]:
        x, y = float(_LEFT), self._bottom + 40
        for kind, text in _LEGEND:
            height = _LABEL if kind in ("primary", "replica") else 11
            yield _rect(kind, x, y + (11 - height) / 2, 16, height)
            yield _text(x + 22, y + 10, text, "faint small")
            x += 22 + len(text) * 5.4 + 22


def _step(seconds: float) -> float:
    """Return a round distance between the axis' ticks, so that there are eight to twenty."""
    for step in (0.5, 1.0, 2.0, 5.0, 10.0, 20.0):
        if seconds / step <= 20:
            return step
    return 60.0


def _rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:.1f}" height="{height:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    side = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{kind}" x="{x:g}" y="{y:g}"{side}>{escape(text)}</text>'
