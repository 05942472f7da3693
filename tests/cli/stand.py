"""A kubectl for the commands' own process: it shows objects, and remembers what it was to do."""

from typing import Any

from cli.kubectl import CannotError, Kubectl


class Stand(Kubectl):
    """Shows these objects of namespace `shop`; some kinds may not be read."""

    def __init__(self, *objects: dict[str, Any], forbidden: tuple[str, ...] = ()) -> None:
        super().__init__([], "shop")
        self._objects = objects
        self._forbidden = forbidden
        self.done: list[str] = []

    def items(self, *words: str) -> list[dict[str, Any]]:
        if words[0] in self._forbidden:
            raise CannotError(f"kubectl: {words[0]} is forbidden")
        return [it for it in self._objects if f"{it['kind'].lower()}s" == words[0]]

    def run(self, *words: str, **_: object) -> str:
        self.done.append(" ".join(words))
        return ""
