"""The SQL of our sources, and what of it PostgreSQL looks up by the search path: read from them,
so that a new query is covered without a word in a test."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sidecar import contract

SIDECAR: Final = Path(contract.__file__).parent

_BEGINS: Final = re.compile(r"\s*(SELECT|ALTER|CREATE|DROP|GRANT|REVOKE|SET|WITH|CHECKPOINT)\b")
_ASKED_BY_SHELL: Final = re.compile(r'ask_primary "\$1" "([^"]*)"')
_NO_SQL: Final = re.compile(
    r"--[^\n]*|'(?:[^']|'')*'|%s|%%"  # comments, literals, placeholders
    r"|(?<=\()\*(?=\))|(?<=SELECT )\*"  # count(*), SELECT *
)
_SIGNS: Final = re.compile(r"[-+*/<>=~!@#%^&|`?]+")
_WORDS: Final = {
    # What the grammar makes of a word is found by the search path all the same.
    *((r"\bNOT\s+IN\b", "<>"), (r"\bIN\s*\(", "="), (r"\bDISTINCT\s+FROM\b", "=")),
    *((r"\bLIKE\b", "~~"), (r"\bILIKE\b", "~~*"), (r"\bUSING\s*\(", "=")),
    *((r"\bBETWEEN\b", ">="), (r"\bBETWEEN\b", "<="), (r"\bNULLIF\s*\(", "=")),
}
_CAST: Final = re.compile(r"::\s*([a-z_][a-z0-9_]*)|\bAS\s+([a-z_][a-z0-9_]*)\s*\)")


def statements() -> list[str]:
    """Return each statement of the sidecar's and of bootstrap's; {} stands for what is put in."""
    found: list[str] = []
    for path in sorted(SIDECAR.rglob("*.py")):
        found += _texts(ast.parse(path.read_text()))
    for path in sorted(SIDECAR.glob("*.sh")):
        found += _ASKED_BY_SHELL.findall(path.read_text())
    return [text for text in found if _BEGINS.match(text)]


def _texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(it.value) if isinstance(it, ast.Constant) else "{}" for it in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
        yield node.value if isinstance(node.value, str) else node.value.decode()
    else:
        for child in ast.iter_child_nodes(node):
            yield from _texts(child)


def operators(sql: str) -> set[str]:
    """Return the names of the operators in a statement."""
    bare = _NO_SQL.sub(" ", sql)
    signs = {"<>" if sign == "!=" else sign for sign in _SIGNS.findall(bare)}
    # The name of an argument: immediately_reserve => true.
    return (signs - {"=>"}) | {sign for word, sign in _WORDS if re.search(word, bare, re.I)}


def types(sql: str) -> set[str]:
    """Return the names of the types that a statement casts to."""
    return {first or last for first, last in _CAST.findall(_NO_SQL.sub(" ", sql))}


def names(sql: str) -> set[str]:
    """Return every word that may be the name of a function or a relation."""
    return set(re.findall(r"\b[a-z_][a-z0-9_]*\b", _NO_SQL.sub(" ", sql)))
