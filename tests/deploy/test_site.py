"""The pages as a site: each is there, its links lead somewhere, and it loads nothing else."""

import json
import re
from pathlib import Path

import pytest

from deploy.site.__main__ import build
from deploy.site.hooks import on_page_content
from deploy.site.pages import AT_THE_TOP, page

ROOT = Path(__file__).parents[2]


def made(text: str, path: str = "docs/operate.md") -> str:
    return page(path, text)[0]


@pytest.mark.parametrize(
    ("path", "link", "there"),
    [
        ("README.md", "[a](docs/operate.md)", "[a](operate.md)"),
        ("README.md", "[a](CONTRIBUTING.md#x)", "[a](contributing.md#x)"),
        ("docs/operate.md", "[a](opt-in.md#x)", "[a](opt-in.md#x)"),
        ("docs/operate.md", "[a](#x)", "[a](#x)"),
        ("docs/operate.md", "[a](../README.md#quick-start)", "[a](index.md#quick-start)"),
        ("docs/operate.md", "[`a` b](../deploy/base)", "`a` b"),
        ("docs/operate.md", "[a](https://example.com/)", "[a](https://example.com/)"),
        ("docs/operate.md", "```\n[a](../deploy)\n```\n", "```\n[a](../deploy)\n```\n"),
    ],
)
def test_a_link_leads_to_the_sites_page_or_is_none(path: str, link: str, there: str) -> None:
    assert made(link, path) == there


def test_a_picture_is_taken_along() -> None:
    text, pictures = page("docs/measured.md", "![A run](../tests/chaos/failover.svg)")
    assert (text, pictures) == ("![A run](failover.svg)", {"tests/chaos/failover.svg"})


def test_a_diagram_that_a_script_would_draw_becomes_a_list() -> None:
    text, _ = page("docs/how-it-works.md", (ROOT / "docs/how-it-works.md").read_text())
    assert "mermaid" not in text
    assert re.search(r"^1\. Replicas: `Diverged`, .*`NotFollowing`$", text, re.M)
    assert re.search(r"^1\. May PostgreSQL write at all\? `DirectoryTaken`, ", text, re.M)


def test_a_long_name_in_a_table_can_be_broken_between_its_parts_and_nowhere_else() -> None:
    name = "<code>tests/deploy/test_site.py::test_it</code>"
    broken = "<code>tests/<wbr>deploy/<wbr>test_<wbr>site.<wbr>py::<wbr>test_<wbr>it</code>"
    row = "<p>{0}</p><table><tr><td>{0}</td><td><code>pgset.dev/role</code></td></tr></table>"
    html = row.format(name)
    assert on_page_content(html) == html.replace(f"<td>{name}", f"<td>{broken}")


@pytest.mark.thorough
def test_it_is_built_with_every_page_and_its_browser_asks_no_other_host(tmp_path: Path) -> None:
    site = build(tmp_path)  # strict: a link or a heading that is not there, or a page left out
    pages = {it.stem for it in site.glob("*.html")} - {"404"}
    names = [*AT_THE_TOP.values(), *(it.name for it in (ROOT / "docs").glob("*.md"))]
    assert pages == {name.removesuffix(".md") for name in names}
    for it in site.rglob("*.html"):
        html = it.read_text()
        loads = re.findall(r"<(?:script|link|img|iframe)[^>]*?(?:src|href)=\"?([^\" >]+)", html)
        assert loads
        assert [to for to in loads if to.startswith(("http:", "https:", "//"))] == [], it.name
        assert 'class="mermaid"' not in html, "its script would be loaded from elsewhere"
        assert (site / re.findall(r'rel="?icon"? href="?([^" >]+)', html)[0].lstrip("/")).is_file()
    css = "".join(it.read_text() for it in site.rglob("*.css"))
    assert not re.search(r"url\([\"']?(?:https?:)?//", css)
    index = json.loads((site / "search/search_index.json").read_text())
    assert {it["location"].partition("#")[0] for it in index["docs"]} == {
        f"{it}.html" for it in pages
    }
