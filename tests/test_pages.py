"""README and docs: short enough to be read, and every link leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def headings(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    without_code = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.S | re.M)
    titles = re.findall(r"^#+ (.+)$", without_code, re.M)
    return {re.sub(r"[^\w\- ]", "", it.lower()).replace(" ", "-") for it in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("https:", "http:")):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in headings(there), f"{page.name}: {target}"


def test_the_readme_is_read_in_one_go_and_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 160
    for page in ROOT.glob("docs/*.md"):
        assert f"(docs/{page.name})" in readme


def test_each_test_that_a_page_names_is_there() -> None:
    pages = "".join(page.read_text() for page in PAGES)
    named = re.findall(r"`(tests/\S+)::(\w+)`", pages)
    assert len(named) > 40
    gone = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).exists()
        or not re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.M)
    ]
    assert gone == []


KUBERNETES_OWN = {"CrashLoopBackOff", "OnDelete"}


def test_each_reason_that_a_page_names_is_one_of_the_situations_page() -> None:
    told = set(re.findall(r"`([A-Z]\w+)`", (ROOT / "docs/situations.md").read_text()))
    for page in PAGES:
        # The changelog tells of what has passed, and CONTRIBUTING.md of classes.
        if page.name not in ("CHANGELOG.md", "CONTRIBUTING.md"):
            named = set(re.findall(r"`((?:[A-Z][a-z]+){2,})`", page.read_text()))
            assert named - told <= KUBERNETES_OWN, page.name
