"""The README's state diagram, made from the table: `make diagram` writes it there."""

import sys
from pathlib import Path

from sidecar.table import TABLE

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- made from the table by `make diagram` -->\n", "<!-- end -->\n"

_BESIDE_EACH_OTHER = 5


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


def with_diagram(readme: str) -> str:
    """Return the README's text with the present diagram between its two marks."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + mermaid() + END + after


if __name__ == "__main__":
    README.write_text(with_diagram(README.read_text()))
    sys.exit(0)
