"""The page of situations has every reason of the caretaker's Events, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]


def reasons() -> Iterator[str]:
    """Yield what the modules of the caretaker give to `tell` and `Tell` as a reason."""
    for module in (ROOT / "webhook" / "caretaker").glob("*.py"):
        tree = ast.parse(module.read_text())
        constants = {
            node.target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                given = {it.arg: it.value for it in node.keywords}
                reason = node.args[1] if node.func.id == "tell" else given.get("reason")
                # `tell` itself passes on what it was given.
                if isinstance(reason, ast.Name) and reason.id.isupper():
                    yield str(constants[reason.id])


def test_the_page_has_each_of_them() -> None:
    page = (ROOT / "docs" / "situations.md").read_text()
    _, _, section = page.partition("## What the caretaker says")
    told = re.findall(r"^\| `(\w+)` \|", section, re.M)
    assert sorted(told) == sorted(set(reasons()))
