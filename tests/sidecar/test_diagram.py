"""What the pages have from the table is what the table says."""

from pathlib import Path

import pytest

from tests.support.diagram import PAGES, as_made


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_is_up_to_date(page: Path) -> None:
    """`make diagram` writes it."""
    assert page.read_text() == as_made(page)
