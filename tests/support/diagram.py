"""What of the pages is made from the table of situations: `make diagram` writes it there."""

import inspect
import re
from pathlib import Path

from sidecar import decide
from sidecar.action import Attention
from sidecar.table import TABLE

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- made from the table by `make diagram` -->\n", "<!-- end -->\n"

_BESIDE_EACH_OTHER = 5
TOLD = {
    "bootstrap.lease_runs_out": ", *and, if this pod holds the Lease, that it lets it run out*",
    "bootstrap.next_return_is_to": "*rewind it, or clone it again*",
    "bootstrap.retry_pause": "*so many*",
    "bootstrap.times_failed": "*once, or so many times in a row*",
    "bootstrap.why_it_failed": "*why it failed*",
    "data.reason_not_to_write": "*another member holds the Lease, or its data is another set's*",
    "data.system_identifier": "*number*",
    "election.source_name": "*another member*",
    "election.ahead_of_me": "*another member*",
    "handover.candidate_name": "*another member*",
    "handover.quicker_successor": "*another member*",
    "election.who_has_more": "*another member*",
    "handover.reason": "*why*",
    "handover.requested": "*the member asked for*",
    "handover.safe_successor": "*another member*",
    "handover.target": "*the member asked for*",
    "lease.heir_name": "*another member*",
    "lease.holder_name": "*the primary*",
    "lease.last_leader": "*the last primary*",
    "lease.name": "*name*",
    "lease.system_identifier": "*number*",
    "observation.me.name": "*this pod*",
    "settings.set_name": "*set*",
    "observation.bootstrap.busy": "*its order, such as clone*",
    "observation.bootstrap.other_writer": "*so and so*",
    "observation.bootstrap.write_failure": "*why its volume takes no writes*",
    "observation.bootstrap.refusal": "*why this image or this data cannot be used*",
    "pod.deletion_to_clone": ", *and whether this pod is deleted, to be cloned again*",
    "pod.deletion_to_wait": ", *and whether this pod is deleted, to wait for the other*",
    "set.cannot_be_created": "*a pod*",
    "set.first_member": "*the lowest ordinal*",
    "set.waits_for_reports": "*for the members that have not said yet what data they have*",
    "set.who_has_which_database": "*each pod with its number*",
    "set.whose_database_counts": "*a pod*",
    "start.objection": "*why not*",
    "start.raised_settings": "*each with both values*",
    "start.refused_settings": "*each setting with both values*",
    "start.remedy": "*what to do*",
}
"""What a page says in place of each fact that a sentence of the table tells."""

_EVENT = {Attention.NONE: "", Attention.NORMAL: "Normal", Attention.WARNING: "Warning"}


def how_it_works() -> str:
    """Return the rules, as the head of sidecar/decide.py has them, and the flowchart."""
    head = inspect.cleandoc(decide.__doc__ or "")
    about, rules = head[: head.index("\nPure: ")].split("\n\n1. ", maxsplit=1)
    assert about.endswith("in the order of what they protect:")
    return "\n".join(
        [
            "## The rules that make a set safe",
            "",
            "In the order of what they protect:",
            "",
            f"1. {rules}",
            "## The situations",
            "",
            "In the order in which they are tried; what a member says in each is in",
            "[situations](situations.md).",
            "",
            mermaid(),
        ]
    )


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
    """Return it with what each fact tells in place of the fact. Raises KeyError for a new one."""
    told = re.sub(r"\{s\.([\w.]+)[^}]*\}", lambda it: TOLD[it[1]], sentence)
    return told.replace("|", r"\|")


PAGES = {DOCS / "how-it-works.md": how_it_works, DOCS / "situations.md": situations}


def as_made(page: Path) -> str:
    """Return the page's text with what the table says now between its two marks."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + PAGES[page]() + END + after


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(as_made(page))
