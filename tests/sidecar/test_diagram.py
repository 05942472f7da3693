"""The README's diagram is that of the table."""

from tests.support.diagram import README, with_diagram


def test_the_diagram_in_the_readme_is_up_to_date() -> None:
    """`make diagram` writes it."""
    text = README.read_text()
    assert text == with_diagram(text)
