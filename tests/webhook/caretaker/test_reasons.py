"""The page of situations has every reason of the caretaker's Events, and no other."""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

from webhook import caretaker

PAGE = Path(__file__).parents[3] / "docs" / "situations.md"


def reasons() -> Iterator[str]:
    """Yield what the modules of the caretaker give to `tell` and `Tell` as a reason."""
    for found in pkgutil.iter_modules(caretaker.__path__, f"{caretaker.__name__}."):
        module = importlib.import_module(found.name)
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                given = {it.arg: it.value for it in node.keywords}
                if node.func.id == "tell":
                    given["reason"] = node.args[1]
                reason = given.get("reason")
                if isinstance(reason, ast.Name) and hasattr(module, reason.id):
                    yield getattr(module, reason.id)


def test_the_page_has_each_of_them() -> None:
    _, _, section = PAGE.read_text().partition("## What the caretaker says")
    told = re.findall(r"^\| `(\w+)` \|", section, re.M)
    assert sorted(told) == sorted(set(reasons()))
