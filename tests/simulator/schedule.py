"""A schedule: all that is done to a set, as a value, made from a seed and shrunk item by item."""

import json
import random
from dataclasses import asdict, dataclass, replace
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

    def __str__(self) -> str:
        words = [self.kind.replace("_", " ")]
        if self.kind == "scale":
            words.append(f"to {self.target}")
        elif self.kind not in _NO_TARGET:
            words.append("the primary" if self.target < 0 else f"{SET_NAME}-{self.target}")
        if self.detail:
            words.append(f"({self.detail})")
        if self.seconds:
            words.append(f"for {self.seconds:.1f} s")
        return " ".join(words)


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

    @property
    def only_wishes(self) -> bool:
        """Nothing goes wrong in it, and no second pod is taken away while one is not back yet."""
        taken = sum(fault.kind in ("delete_pod", "scale", "roll") for fault in self.faults)
        return taken <= 1 and all(fault.kind in WISHES for fault in self.faults)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Schedule":
        values: dict[str, Any] = json.loads(text)
        values["faults"] = tuple(Fault(**fault) for fault in values["faults"])
        values["orders"] = tuple(values.get("orders", (0.01, 0.01)))
        return cls(**values)


WISHES: Final = frozenset({"switchover", "pause", "scale", "roll", "delete_pod", "edit_lease"})

_NO_TARGET: Final = frozenset(
    {"split", "stall_storage", "api_outage", "slow_api", "refuse_writes", "delete_lease",
     "delete_all_pods", "pause",
     "scale", "roll", "lossy", "edit_lease"}
)  # fmt: skip

_KINDS: Final[dict[str, float]] = {
    # kind: how often, among the others
    "kill_postmaster": 3,
    "hang_postgres": 1.5,
    "hang_postmaster": 1,
    "disk_full": 1,
    "hang_at_stop": 1,
    "slow_promotion": 1,
    "slow_disk": 1,
    "remove_wal": 0.7,
    "lose_volume": 0.7,
    "kill_bootstrap": 0.7,
    "kill_sidecar": 2,
    "freeze_sidecar": 2.5,
    "freeze_node": 1,
    "cut_node": 2,
    "cut_from_api": 2,
    "cut_from_peers": 1,
    "split": 1.5,
    "lossy": 0.7,
    "stop_kubelet": 0.7,
    "reboot_node": 1.5,
    "api_outage": 2,
    "break_watch": 1,
    "slow_watch": 1,
    "delete_lease": 0.5,
    "edit_lease": 0.5,
    "delete_pod": 2,
    "force_delete_pod": 0.7,
    "delete_all_pods": 0.5,
    "switchover": 2.5,
    "pause": 0.5,
    "scale": 0.7,
    "roll": 0.7,
}

_FREEZE_BEFORE: Final = (
    "", "", "decide", "Promote", "TakeLease", "RenewLease", "SetRole", "StopPostgres",
    "ReleaseLease", "SetSynchronous",
)  # fmt: skip

_DIRECTIONS: Final = ("", "", "sends nothing", "hears nothing")

_WORLD: Final = (
    "stall_storage", "take_out", "slow_api", "refuse_writes", "spoil_data", "slow_recovery",
    "slow_recovery",
)  # fmt: skip
"""What an unfriendly world adds to the other faults; with it go disks on which orders take time."""

FAULTS_END: Final = 190.0
"""Seconds: nothing is wrong any more after that."""


def from_seed(seed: int, *, world: bool = False) -> Schedule:
    """Make the schedule of a seed; with `world`, the same with one or two of its faults more."""
    chance = random.Random(f"pgset {seed}")  # noqa: S311 - a simulation
    ttl = chance.choice((10, 20, 30))
    members = chance.choice((2, 3, 3, 4, 5))
    kinds = list(_KINDS)
    if chance.random() < 0.12:
        kinds = sorted(WISHES)
    if chance.random() < 0.5:
        # Together they may well take away all that knew of a commit.
        kinds.remove("scale")
    elif "delete_lease" in kinds:
        kinds.remove("delete_lease")
    weights = [_KINDS[kind] for kind in kinds]
    count = min(12, 1 + int(chance.expovariate(0.35)))
    start = 10.0 if chance.random() < 0.15 else 40.0
    # What comes at once, or into what the last one has begun, is what finds most.
    centres = [chance.uniform(start, FAULTS_END - 30) for _ in range(chance.randint(1, 3))]
    spread = chance.choice((1.0, 5.0, 15.0, 80.0))
    faults = sorted(
        (
            _fault(
                chance,
                kind,
                members,
                ttl,
                min(
                    FAULTS_END - 30,
                    max(start, chance.choice(centres) + chance.uniform(-spread, spread)),
                ),
            )
            for kind in chance.choices(kinds, weights, k=count)
        ),
        key=lambda fault: fault.at,
    )
    schedule = Schedule(
        seed=seed,
        members=members,
        durability=chance.choice(("async", "sync", "sync-strict", "quorum")),
        ttl=ttl,
        renew_interval={10: 2, 20: 5, 30: 7}[ttl],
        parallel=chance.random() < 0.6,
        tick=chance.choice((2.0, 5.0, 5.0, 5.0, 5.0, 10.0, 10.0, 10.0, 10.0, 10.0)),
        commit_every=chance.choice((0.5, 1.0, 2.0, 3.0)),
        commit_size=chance.choice((100, 100_000, 4_000_000)),
        second_writer=chance.randrange(members) if chance.random() < 0.4 else None,
        faults=tuple(faults),
    )
    return _in_the_world(schedule) if world else schedule


def _in_the_world(schedule: Schedule) -> Schedule:
    """Drawn apart, so that a seed has the other faults that it has without."""
    chance = random.Random(f"pgset world {schedule.seed}")  # noqa: S311 - a simulation
    more = [
        _fault(
            chance,
            kind,
            schedule.members,
            schedule.ttl,
            chance.uniform(40.0, FAULTS_END - 30),
        )
        for kind in chance.choices(_WORLD, k=chance.randint(1, 2))
    ]
    return replace(
        schedule,
        faults=tuple(sorted((*schedule.faults, *more), key=lambda fault: fault.at)),
        orders=chance.choice(((0.01, 0.5), (0.01, 0.5), (0.01, 0.5), (0.5, 4.0))),
    )


def _fault(chance: random.Random, kind: str, members: int, ttl: int, time: float) -> Fault:
    at = round(time, 3)
    about = chance.choice((0.5, 2.0, 0.6 * ttl, ttl, 1.5 * ttl, 3 * ttl))
    seconds = round(min(about * chance.uniform(0.5, 1.5), FAULTS_END - at), 3)
    # Most of what is interesting happens to the primary, which is pod 0 at first.
    target = 0 if chance.random() < 0.4 else chance.randrange(members)
    if chance.random() < 0.3:
        target = -1
    if kind == "switchover":
        target = chance.randrange(members + 1)
    elif kind == "scale":
        target = chance.randint(1, 5)
    elif kind == "kill_postmaster":
        seconds = chance.choice((0.0, 0.0, round(chance.uniform(0.1, 5.0), 3)))
    return Fault(at, kind, target, seconds, _detail(chance, kind, members))


def _detail(chance: random.Random, kind: str, members: int) -> str:
    one_of = {
        "freeze_sidecar": _FREEZE_BEFORE,
        "api_outage": ("refuse", "hang", "hang, and lands late"),
        "slow_api": ("2.1-2.8", "0.5-4.0", "0.2-1.0"),
        "cut_node": _DIRECTIONS,
        "cut_from_api": _DIRECTIONS,
        "cut_from_peers": _DIRECTIONS,
        "take_out": ("", "", "every node"),
        "slow_disk": ("0.2", "1.0", "3.0"),
        "slow_watch": ("0.5", "2.0", "5.0"),
    }
    if kind in one_of:
        detail = chance.choice(one_of[kind])
        worst = kind == "freeze_sidecar" and detail and chance.random() < 0.5
        return f"{detail}, until another leads" if worst else detail
    if kind == "split":
        inside = [str(n) for n in range(members) if chance.random() < 0.5] or ["0"]
        return ",".join(inside) + chance.choice((",api", "", ",client", ",api,client"))
    return ""
