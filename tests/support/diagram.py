"""What of the pages is made from the table of situations: `make diagram` writes it there."""

import re
from pathlib import Path

from sidecar.action import Attention
from sidecar.table import TABLE

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- made from the table by `make diagram` -->\n", "<!-- end -->\n"

_BESIDE_EACH_OTHER = 5
_EVENT = {Attention.NONE: "", Attention.NORMAL: "Normal", Attention.WARNING: "Warning"}


def mermaid() -> str:
    """Return a Mermaid flowchart: the parts of the table in their order, with their situations."""
    lines = ["```mermaid", "flowchart TB"]
    for number, part in enumerate(TABLE, start=1):
        lines += [f'  part{number}["{number}. {part.about}"]', f'  subgraph in{number}[" "]']
        lines.append("    direction LR")
        for start in range(0, len(part.rows), _BESIDE_EACH_OTHER):
            names = [row.name for row in part.rows[start : start + _BESIDE_EACH_OTHER]]
            lines.append("    " + " ~~~ ".join(names))
        lines += ["  end", f"  part{number} -- the first that holds --> in{number}"]
    chain = " -- none holds --> ".join(f"part{number}" for number in range(1, len(TABLE) + 1))
    return "\n".join([*lines, f"  {chain}", "```", ""])


def situations() -> str:
    """Return a table for each part of the table: each situation, its Event, what is told."""
    lines: list[str] = []
    for number, part in enumerate(TABLE, start=1):
        lines += [f"## {number}. {part.about}", "", "| situation | Event | what the member says |"]
        lines.append("| --- | --- | --- |")
        lines += [
            f"| `{row.name}` | {_EVENT[row.attention]} | {_told(row.sentence)} |"
            for row in part.rows
        ]
        lines.append("")
    return "\n".join(lines)


def _told(sentence: str) -> str:
    """Return it with the name of each fact in place of the fact."""
    names = re.sub(r"\{s\.([\w.]+)[^}]*\}", lambda it: f"*{_last(it[1])}*", sentence)
    return names.replace("|", r"\|")


def _last(path: str) -> str:
    return path.rpartition(".")[2].replace("_", " ")


PAGES = {DOCS / "how-it-works.md": mermaid, DOCS / "situations.md": situations}


def as_made(page: Path) -> str:
    """Return the page's text with what the table says now between its two marks."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + PAGES[page]() + END + after


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(as_made(page))
