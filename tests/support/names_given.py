"""The names under which code gives values to what it makes, as far as its text shows."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import fields


def names_given(source: str, views: Iterable[type]) -> Iterator[str]:
    """Yield the names under which this code gives values: keywords, keys, positional fields."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield from (it.arg for it in node.keywords if it.arg is not None)
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            kind = next((view for view in views if view.__name__ == called), None)
            if kind is not None:
                yield from (it.name for it in fields(kind)[: len(node.args)])
        elif isinstance(node, ast.Dict):
            yield from (it.value for it in node.keys if isinstance(it, ast.Constant))  # type: ignore[misc]
