"""The table of `make adopt`, and what must not be."""

from tests.adopt.judge import Numbers
from tests.adopt.kinds import KINDS
from tests.adopt.play import KILLED, OPTED_IN, Played
from tests.adopt.report import breaches, table

ROWS = 1000


def played(**facts: int) -> Played:
    steps = {OPTED_IN: Numbers(4.2, 40, 1), KILLED: Numbers(0.8, 7, 0)}
    facts = {"acknowledged": 500, "rows": ROWS, "takeovers": 1, **facts}
    return Played(KINDS["groundhog"], steps=steps, changes=["kubectl annotate it"], **facts)


def test_a_line_has_the_cost_of_each_step_that_was_played() -> None:
    (head, line) = (
        [cell.strip() for cell in it.split("|")] for it in table([played(lost=2)]).splitlines()
    )
    told = dict(zip(head, line, strict=True))
    assert (told["opted in"], told["killed"], told["drained"]) == ("4.2 s", "0.8 s", "-")
    assert (told["read-only"], told["lost"], told["takeovers"]) == ("1", "2 of 500", "1")
    assert told["what the user had to change"] == "kubectl annotate it"


def test_a_refusal_is_a_line_with_its_sentence() -> None:
    refused = Played(KINDS["repmgr"], refusal="it runs repmgr")
    assert table([refused]).splitlines()[-1] == "repmgr | refused: it runs repmgr"
    assert breaches(refused, ROWS) == []


def test_rows_that_are_gone_are_a_breach() -> None:
    assert breaches(played(), ROWS) == []
    assert len(breaches(played(lost=1), ROWS)) == 1
    assert len(breaches(played(rows=ROWS - 1), ROWS)) == 1
