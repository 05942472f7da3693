"""The tree keeps its shape: no import cycle, and no module that is too long to be read at once.

An import that only type checkers follow counts, and one within a function, too: whoever reads the
one module has to know the other.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

MOST_LINES: Final = {
    **dict.fromkeys(("sidecar", "webhook", "certs", "cli", "deploy"), 400),
    "tests": 500,
}
"""By the folder that a module is in."""


def test_no_module_is_in_an_import_cycle() -> None:
    assert cycles(imports_in(ROOT)) == []


def test_no_module_is_too_long() -> None:
    assert too_long() == set()


def test_a_cycle_through_an_import_for_types_is_found(tmp_path: Path) -> None:
    sources = {
        "sidecar/a.py": "from sidecar.b import B",
        "sidecar/b.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  import sidecar.c",
        "sidecar/c.py": "def f():\n  from sidecar import a",
        "sidecar/d.py": "from sidecar import a",
    }
    for path, source in sources.items():
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(source)
    assert cycles(imports_in(tmp_path)) == [("sidecar.a", "sidecar.b", "sidecar.c")]


def too_long() -> set[str]:
    """Return the paths of the modules that have more lines than their folder allows."""
    return {
        str(path.relative_to(ROOT))
        for folder, most in MOST_LINES.items()
        for path in (ROOT / folder).rglob("*.py")
        if len(path.read_text().splitlines()) > most
    }


def imports_in(root: Path) -> dict[str, set[str]]:
    """Return for each of our modules those of ours that it imports, all by their full names."""
    sources = {
        _name(path.relative_to(root)): path.read_text()
        for folder in MOST_LINES
        for path in sorted((root / folder).rglob("*.py"))
    }
    return {
        name: {found for found in _imported(source, sources) if found != name}
        for name, source in sources.items()
    }


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


_OURS: Final = rf"(?:{'|'.join(MOST_LINES)})\b[\w.]*"
_IMPORT: Final = re.compile(
    rf"^[ \t]*(from {_OURS} import (?:\([^)]*\)|.+)|import {_OURS}(?: as \w+)?)$", re.MULTILINE
)
"""A statement that imports a module of ours. To parse whole files took seconds."""


def _imported(source: str, modules: Mapping[str, str]) -> Iterator[str]:
    statements = "\n".join(found.group(1) for found in _IMPORT.finditer(source))
    for node in ast.parse(statements).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, "we import by full names"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found = inner if inner in modules else node.module
                if found in modules:
                    yield found


def cycles(imports: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    """Return the groups of modules that all lead to each other, sorted."""
    reached = {name: _reached_from(name, imports) for name in imports}
    groups = {
        tuple(sorted(other for other in there if name in reached[other]))
        for name, there in reached.items()
        if name in there
    }
    return sorted(groups)


def _reached_from(name: str, imports: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    ahead = list(imports[name])
    while ahead:
        module = ahead.pop()
        if module not in found:
            found.add(module)
            ahead.extend(imports[module])
    return found
