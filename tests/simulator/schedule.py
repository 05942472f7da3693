"""A schedule: all that is done to a set, as a value."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from sidecar.settings import Settings

SET_NAME: Final = "pg"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens, or that an operator wishes."""

    at: float
    kind: str
    target: int = 0
    """An ordinal, or where there is none for this kind, a choice of another sort."""
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One run's circumstances. Times are in seconds from the set's creation."""

    seed: int
    members: int
    durability: str = "async"
    ttl: int = 10
    renew_interval: int = 2
    parallel: bool = False
    tick: float = 5.0
    """Between two looks of a sidecar while nothing happens; it is one second in reality."""
    commit_every: float = 1.0
    commit_size: int = 1000
    second_writer: int | None = None
    """A node on which somebody else writes."""
    faults: tuple[Fault, ...] = ()
    length: float = 300.0
    orders: tuple[float, float] = (0.01, 0.01)
    """Seconds that PostgreSQL takes to carry an order out, from and to: each is fsynced."""

    @property
    def settings(self) -> Settings:
        return Settings(
            set_name=SET_NAME,
            durability=self.durability,
            ttl=self.ttl,
            renew_interval=self.renew_interval,
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Schedule":
        values: dict[str, Any] = json.loads(text)
        values["faults"] = tuple(Fault(**fault) for fault in values["faults"])
        values["orders"] = tuple(values.get("orders", (0.01, 0.01)))
        return cls(**values)
