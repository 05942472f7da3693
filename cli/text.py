"""What a terminal shows: views as lines, in colour if it is to be so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cli.view import Member, SetView

RED, GREEN, YELLOW, BOLD = "31", "32", "33", "1"
NOTHING = "-"


class Paint:
    """Colours words, or leaves them."""

    def __init__(self, on: bool) -> None:
        """`on`: the output is a terminal, and NO_COLOR is not set."""
        self._on = on

    def __call__(self, colour: str, text: str) -> str:
        """Return the text in this colour."""
        return f"\033[{colour}m{text}\033[0m" if self._on and text else text


def status(views: Sequence[SetView], paint: Paint, *, wide: bool = False) -> str:
    """Return all sets, one below the other."""
    return "\n\n".join("\n".join(_set(view, paint, wide=wide)) for view in views)


def overview(views: Sequence[SetView], paint: Paint) -> str:
    """Return all sets, one in a line."""
    rows = [
        (
            it.namespace,
            it.name,
            it.primary or "NONE",
            f"{sum(not member.missing for member in it.members)}/{it.wanted}",
            _timeline(it),
            it.durability,
            "; ".join(it.problems) or NOTHING,
        )
        for it in views
    ]
    head = ("NAMESPACE", "SET", "PRIMARY", "MEMBERS", "TIMELINE", "DURABILITY", "PROBLEMS")
    colours = [{0: None, 1: RED, 2: YELLOW}[it.exit_code] for it in views]
    return "\n".join(table(head, rows, colours, paint))


def _timeline(view: SetView) -> str:
    timeline = view.lease.timeline if view.lease else None
    return NOTHING if timeline is None else str(timeline)


def _set(view: SetView, paint: Paint, *, wide: bool) -> Iterator[str]:
    counted = sum(not it.missing for it in view.members)
    primary = paint(GREEN, view.primary) if view.primary else paint(RED, "NONE")
    yield (
        f"{paint(BOLD, view.namespace + '/' + view.name)}: primary {primary}, "
        f"{counted} of {view.wanted} members, timeline {_timeline(view)}"
        + (paint(YELLOW, ", PAUSED") if view.paused else "")
    )
    head = ("MEMBER", "ROLE", "STATE", "TL", "LAG", "SYNC")
    more = ("SLOT", "TAGS", "VERSION", "RESTARTS", "NODE", "IMAGE") if wide else ()
    # Sentences are long: what came after them would be far to the right.
    head = (*head, *more, "FOR", "SAYS")
    rows = [(*_member(it), *(_wide(it) if wide else ()), *_sentence(it)) for it in view.members]
    colours = [RED if it.missing else None for it in view.members]
    yield from table(head, rows, colours, paint)
    yield f"Durability: {view.durability}; acknowledged commits are {view.recorded or NOTHING}"
    if view.lease is None:
        yield "Lease: there is none"
    else:
        ago = NOTHING if view.renewed_ago is None else f"{duration(view.renewed_ago)} ago"
        yield (
            f"Lease: held by {view.lease.holder or 'nobody'}, renewed {ago} "
            f"(by this machine's clock), valid for {view.lease.ttl}s"
        )
    for leads in view.services:
        to = ", ".join(leads.to) or "nobody now"
        yield f"Service {leads.name}: leads to {leads.what} ({to})"
    for it in view.takeovers:
        yield f"Takeover: {it.since} {it.pod} on timeline {it.timeline}"
    for problem in view.problems:
        yield paint(YELLOW if view.primary else RED, f"! {problem}")


def _member(it: Member) -> tuple[str, ...]:
    lag = NOTHING if it.lag_bytes is None else size(it.lag_bytes)
    if it.lag_seconds is not None:
        lag += f", {it.lag_seconds:.1f}s"
    return (
        it.name,
        it.role or NOTHING,
        it.state,
        NOTHING if it.timeline is None else str(it.timeline),
        lag,
        "yes" if it.in_sync else NOTHING,
    )


def _sentence(it: Member) -> tuple[str, ...]:
    since = NOTHING if it.says_for is None else duration(it.says_for)
    return since, it.says or NOTHING


def _wide(it: Member) -> tuple[str, ...]:
    return (
        it.slot,
        ", ".join(_tag(*each) for each in it.tags.items()) or NOTHING,
        it.version or NOTHING,
        str(it.restarts),
        it.node or NOTHING,
        it.image or NOTHING,
    )


def _tag(name: str, value: object) -> str:
    return name if value is True else f"{name}={value}"


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    colours: Iterable[str | None],
    paint: Paint,
) -> Iterator[str]:
    """Yield the lines of a table, its columns aligned; a row's colour is for all of its line."""
    widths = [max(len(it) for it in column) for column in zip(head, *rows)]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(it.ljust(width) for it, width in zip(cells, widths)).rstrip()

    yield paint(BOLD, line(head))
    for row, colour in zip(rows, colours):
        yield paint(colour, line(row)) if colour else line(row)


def duration(seconds: float) -> str:
    """Return it as kubectl writes ages."""
    whole = int(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= 2 * length:
            return f"{whole // length}{unit}"
    return f"{whole}s"


def size(count: int) -> str:
    """Return bytes in PostgreSQL's units."""
    for unit, length in (("GB", 2**30), ("MB", 2**20), ("kB", 2**10)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count} B"
