"""Makes the pages of the site of those of the repository: links, and what no browser draws."""

import posixpath
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

AT_THE_TOP: Final[Mapping[str, str]] = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages outside of docs/: path in the repository → page of the site."""

OF_THE_PROJECT: Final = ("CONTRIBUTING.md", "CHANGELOG.md")
"""Pages that a search finds last."""

_LINK: Final = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_BLOCK: Final = re.compile(r"(^```.*?^```$)", re.S | re.M)
_DIAGRAM: Final = re.compile(r"^```mermaid\n(.*?)^```$", re.S | re.M)


def page_of(path: str) -> str | None:
    """Return what a file of the repository is called on the site; None if it is no page of it."""
    folder, _, name = path.rpartition("/")
    if folder == "docs" and name.endswith(".md"):
        return name
    return AT_THE_TOP.get(path)


def page(path: str, text: str) -> tuple[str, frozenset[str]]:
    """Return a page as the site has it, and the pictures that it shows, by their paths.

    `path`: in the repository, as those of the pictures are.
    """
    pictures: set[str] = set()

    def linked(found: re.Match[str]) -> str:
        shown, words, target = found.groups()
        if re.match(r"[a-z]+:", target):
            return found[0]
        where, _, anchor = target.partition("#")
        there = posixpath.normpath(posixpath.join(posixpath.dirname(path), where)) if where else ""
        if shown:
            pictures.add(there)
            return f"![{words}]({PurePosixPath(there).name})"
        name = page_of(there) if where else ""
        if name is None:
            return words  # a file: the site is read without the repository
        return f"[{words}]({name}{f'#{anchor}' if anchor else ''})"

    text = _DIAGRAM.sub(lambda found: _as_list(found[1]), text)
    parts = _BLOCK.split(text)  # every second one is a block of code, in which nothing is a link
    parts[::2] = [_LINK.sub(linked, part) for part in parts[::2]]
    head = "---\nsearch: {boost: 0.2}\n---\n" if path in OF_THE_PROJECT else ""
    return head + "".join(parts), frozenset(pictures)


def _as_list(diagram: str) -> str:
    """What the diagram has, in its order; a script from elsewhere would have to draw it."""
    titles = re.findall(r'^ *part\d+\["(?:\d+\. )?(.*)"\]$', diagram, re.M)
    parts = re.findall(r"^ *subgraph .*?\n *direction .*?\n(.*?)^ *end$", diagram, re.S | re.M)
    names = (", ".join(f"`{it}`" for it in re.findall(r"\w+", part)) for part in parts)
    heads = (it if it.endswith("?") else f"{it}:" for it in titles)
    return "\n".join(f"1. {head} {of}" for head, of in zip(heads, names, strict=True))
