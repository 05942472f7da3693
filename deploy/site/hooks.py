"""What mkdocs asks while it builds the site."""

import re
from typing import Final

_CELL: Final = re.compile(r"<td.*?</td>", re.S)
_CODE: Final = re.compile(r"(?<=<code>)[^<]{20,}(?=</code>)")
_PART: Final = re.compile(r"[./:_=]+(?=\w)")


def on_page_content(html: str, **_: object) -> str:
    """Let long names in tables be broken, after a dot, say, and nowhere else."""
    return _CELL.sub(lambda cell: _CODE.sub(_breakable, cell[0]), html)


def _breakable(name: re.Match[str]) -> str:
    return _PART.sub(r"\g<0><wbr>", name[0])
