"""Rules that are broken on purpose, one way each: what the simulator has to find."""

import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sidecar.action import (
    Action,
    AskToStay,
    Clone,
    Decision,
    DeleteOwnPod,
    Promote,
    Reclone,
    RunInitdb,
    SetRole,
    SetSynchronous,
    StopPostgres,
    TakeLease,
)
from sidecar.decide import decide
from sidecar.observation import DataState, Observation, ServerState
from sidecar.settings import Settings
from sidecar.table import TABLE
from sidecar.table.steps import Part
from tests.simulator.member.parts import Decide, Parts
from tests.simulator.schedule import Fault, Schedule
from tests.simulator.seeds import from_seed

SHOWN_BY: Final = {
    "no other pod is stripped of its label": 63,
    "no fencing": 40,
    "an order under way is forgotten": 49,
    "led by whoever is far behind": 50,
    "cloned over what there is": 25,
    "who has diverged stays so": 25,
    "no question whether to stay": 25,
    "a late renewal is given up": 25,
    "who starts again keeps its label": 48,
    "who does not start for another's history": 1,
    "departure: the Lease is left to the first": 13,
    "fork: nobody has diverged": 25,
    "orders: what is under way is forgotten": 49,
}
"""The seed that has shown a mutant, tried first: a search from the beginning takes long."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """Broken rules, and the invariant that does not hold with them."""

    name: str
    invariant: str
    rules: Decide = decide
    """The rules that are broken, or else `memory`."""
    faults: tuple[Fault, ...] = ()
    """What shows it; where empty, the schedules' own faults do."""
    durabilities: frozenset[str] = frozenset()
    """Empty: any."""
    circumstances: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the schedules that are to be so."""
    memory: Parts = Parts()  # noqa: RUF009 - frozen
    """What is broken of what a member remembers."""

    @property
    def parts(self) -> Parts:
        return replace(self.memory, decide=self.rules)

    def schedules(self, most: int) -> Iterator[Schedule]:
        """Yield schedules that may show it."""
        for seed in (SHOWN_BY.get(self.name, 0), *range(most)):
            schedule = from_seed(seed)
            if self.durabilities and schedule.durability not in self.durabilities:
                continue
            if self.faults:
                schedule = replace(schedule, faults=self.faults, **self.circumstances)
            yield schedule


def _without_rows(*names: str) -> Decide:
    table = tuple(
        replace(part, rows=tuple(row for row in part.rows if row.name not in names))
        for part in TABLE
    )
    assert _number_of_rows(table) == _number_of_rows(TABLE) - len(names)

    return lambda observation, settings: decide(observation, settings, table)


def _number_of_rows(table: tuple[Part, ...]) -> int:
    return sum(len(part.rows) for part in table)


def _each(change: Callable[[Action, Observation], Action | None]) -> Decide:
    def broken(observation: Observation, settings: Settings) -> Decision:
        decision = decide(observation, settings)
        if not decision.actions:
            return decision
        changed = (change(action, observation) for action in decision.actions)
        return decision._replace(actions=tuple(action for action in changed if action is not None))

    return broken


def _never(*kinds: type) -> Decide:
    return _each(lambda action, _: None if isinstance(action, kinds) else action)


def _strip_nobody(action: Action, observation: Observation) -> Action | None:
    others = isinstance(action, SetRole) and action.uid != observation.me.uid
    return None if others else action


def _label_all_replicas(action: Action, _: Observation) -> Action:
    if isinstance(action, SetRole) and action.value is None:
        return replace(action, value="replica")
    return action


def _label_before(observation: Observation, settings: Settings) -> Decision:
    """The label first, then the Lease."""
    decision = decide(observation, settings)
    if any(isinstance(action, TakeLease) for action in decision.actions):
        label = SetRole(observation.me.name, observation.me.uid, settings.primary_value)
        return decision._replace(actions=(label, *decision.actions))
    return decision


def _label_at_once(observation: Observation, settings: Settings) -> Decision:
    """Clients are let in before the standbys have all rows."""
    decision = decide(observation, settings)
    if decision.situation == "Settling":
        label = SetRole(observation.me.name, observation.me.uid, settings.primary_value)
        return decision._replace(actions=(label, *decision.actions))
    return decision


def _label_whoever_is_promoted(observation: Observation, settings: Settings) -> Decision:
    """Clients are let in while it is promoted, whatever others may lead without."""
    decision = decide(observation, settings)
    if any(isinstance(action, Promote) for action in decision.actions):
        label = SetRole(observation.me.name, observation.me.uid, settings.primary_value)
        return decision._replace(actions=(*decision.actions, label))
    return decision


def _keep_the_label(observation: Observation, settings: Settings) -> Decision:
    """A primary that starts again shows at once all that it comes up with."""
    decision = decide(observation, settings)
    if observation.postgres.state is ServerState.WRITABLE:
        return decision
    bare = SetRole(observation.me.name, observation.me.uid, None)
    return decision._replace(actions=tuple(a for a in decision.actions if a != bare))


def _only_fast_stops(action: Action, _: Observation) -> Action:
    return replace(action, signal=signal.SIGINT) if isinstance(action, StopPostgres) else action


def _believe_that_commits_wait(observation: Observation, settings: Settings) -> Decision:
    """Who streams is taken for one whom each commit waits for."""
    postgres = observation.postgres
    if postgres.state is not ServerState.WRITABLE:
        return decide(observation, settings)
    names = tuple(sorted(follower.name for follower in postgres.followers))
    believed = replace(postgres, waits_for=names, waits_for_number=len(names), waits_from=0)
    decision = decide(replace(observation, postgres=believed), settings)
    actions = tuple(a for a in decision.actions if not isinstance(a, SetSynchronous))
    return decision._replace(actions=(*actions, SetSynchronous((), 0)))


def _forget_what_was_ordered(observation: Observation, settings: Settings) -> Decision:
    """What PostgreSQL does now is taken for what it goes on to do."""
    return decide(
        replace(observation, postgres=replace(observation.postgres, ordered=None)), settings
    )


def _all_are_complete(observation: Observation, settings: Settings) -> Decision:
    """Whoever answers is taken for one that has everything."""
    return decide(replace(observation, complete_peers=frozenset(observation.peers or ())), settings)


def _initdb_when_empty(observation: Observation, settings: Settings) -> Decision:
    """An empty directory of the first pod is reason enough."""
    decision = decide(observation, settings)
    bootstrap = observation.bootstrap
    if (
        bootstrap.running
        and bootstrap.busy is None
        and bootstrap.data in (DataState.EMPTY, DataState.INTERRUPTED)
        and decision.situation in ("Cloning", "WaitingForLeader")
    ):
        return decision._replace(actions=(RunInitdb(),))
    return decision


def _forget_that_the_start_fails(observation: Observation, settings: Settings) -> Decision:
    """Each try is taken for the first one."""
    return decide(
        replace(observation, bootstrap=replace(observation.bootstrap, failures=None)), settings
    )


def _keep_to_an_old_wish(observation: Observation, settings: Settings) -> Decision:
    """What an operator wanted of one Lease holds for each that comes."""
    record = observation.lease.record if observation.lease is not None else None
    if record is None or observation.pods is None:
        return decide(observation, settings)
    pods = tuple(
        replace(pod, failover=pod.failover and record.resource_version) for pod in observation.pods
    )
    return decide(replace(observation, pods=pods), settings)


def _clone_over(action: Action, _: Observation) -> Action:
    return Clone(action.system_identifier) if isinstance(action, Reclone) else action


def _release_when_slow(observation: Observation, settings: Settings) -> Decision:
    """A holder whose watch is late gives up."""
    decision = decide(observation, settings)
    lease = observation.lease
    renewed_at = lease.renewed_at if lease else None
    if decision.situation == "Leading" and renewed_at is not None:
        late = observation.now - renewed_at > settings.renew_interval + 1.0
        return decision._replace(actions=(StopPostgres(signal.SIGINT),)) if late else decision
    return decision


LAGGARD: Final = (
    Fault(60.0, "slow_disk", 1, 60.0, "3.0"),
    Fault(80.0, "kill_postmaster", -1),
)
_A_REPORTING_REPLICA: Final = (
    Fault(45.0, "nofailover", 2, 60.0),
    Fault(58.0, "slow_disk", 1, 9.0, "30.0"),
    Fault(60.0, "cut_node", 0, 40.0),
)
"""pg-2 has shown what pg-1 does not have, and does not lead."""
_APART: Final = (Fault(60.0, "cut_from_peers", 1, 100.0),)
_ONE_HAS_LESS: Final = (
    Fault(60.0, "freeze_node", 1, 6.0),
    Fault(61.0, "cut_node", -1, 40.0),
)
_AN_OLD_WISH: Final = (
    Fault(45.0, "failover", 2),
    Fault(50.0, "slow_disk", 2, 30.0, "30.0"),
    Fault(60.0, "cut_node", 0, 80.0),
    Fault(60.1, "cut_node", 1, 80.0),
)
_ALONE_WITH_MORE: Final = (
    Fault(60.0, "cut_from_peers", 0, 30.0),
    Fault(61.0, "kill_postmaster", 0),
    Fault(64.5, "cut_node", 0, 60.0),
)
_ONE_HAS_SHOWN_MORE: Final = (
    Fault(60.0, "freeze_node", 1, 6.0),
    Fault(62.0, "cut_node", 0, 60.0),
)
_DEAF: Final = (
    Fault(59.0, "stop_kubelet", -1, 60.0),
    Fault(60.0, "cut_node", -1, 60.0),
    Fault(61.0, "hang_postmaster", -1, 60.0),
)
"""A postmaster that is stopped takes no signal but one, and its backends go on; nor is there a
kubelet to stop them."""
_FAR_BEHIND: Final = (
    Fault(50.0, "slow_disk", 1, 100.0, "30.0"),
    Fault(80.0, "cut_node", -1, 100.0),
)
FULL_AND_REBOOTED: Final = (
    Fault(60.0, "reboot_node", 0, 3.0),
    Fault(61.0, "disk_full", 0, 80.0),
)
_MORE_THAN_ITS_PRIMARY: Final = (
    Fault(45.0, "nofailover", 2, 60.0),
    Fault(56.0, "cut_from_peers", 1, 7.0),
    Fault(60.0, "cut_node", 0, 200.0),
    Fault(69.5, "delete_all_pods"),
    Fault(72.5, "delete_lease"),
)
"""pg-1 leads with less than pg-2 has, which fetches the history of its timeline."""
_ASYNC: Final = {
    "members": 3, "durability": "async", "ttl": 10, "renew_interval": 2, "parallel": True,
    "tick": 2.0, "commit_every": 0.5, "commit_size": 1000, "second_writer": None, "length": 150.0,
}  # fmt: skip
BACK_AT_ONCE: Final = (Fault(60.0, "kill_postmaster", 1), Fault(62.5, "cut_node", 0, 40.0))
SLOW_ORDERS: Final = {
    "members": 2, "parallel": True, "second_writer": None, "commit_every": 0.05,
    "orders": (1.0, 4.0), "length": 150.0,
}  # fmt: skip
SYNC: Final = frozenset({"sync", "sync-strict"})
QUORUM: Final = frozenset({"quorum"})

MUTANTS: Final = (
    Mutant("no other pod is stripped of its label", "I1", _each(_strip_nobody)),
    Mutant("who does not follow keeps its label", "I1", _each(_label_all_replicas), _APART),
    Mutant("the label comes before the Lease", "I1", _label_before),
    Mutant("the label comes before the standbys have everything", "I1",
           _label_at_once, _ONE_HAS_LESS, QUORUM | SYNC, {"members": 3, "length": 120.0}),
    Mutant("the label comes with the promotion, whatever has to settle", "I1",
           _label_whoever_is_promoted, _ONE_HAS_LESS, QUORUM | SYNC,
           {"members": 3, "length": 120.0}),
    Mutant("no fencing", "I2", _without_rows("Fencing", "Isolated", "Superseded")),
    Mutant("fencing by fast shutdown only", "I2", _each(_only_fast_stops), _DEAF),
    Mutant("in sync by record, not in fact", "I3", _believe_that_commits_wait, LAGGARD, SYNC,
           {"members": 2, "length": 120.0}),
    Mutant("an order under way is forgotten", "I3",
           _forget_what_was_ordered, BACK_AT_ONCE, SYNC, SLOW_ORDERS),
    Mutant("what others may have is not asked", "I3",
           _without_rows("MissingCommits", "YieldingToPeer", "FetchingWal"), _ONE_HAS_LESS, QUORUM,
           {"members": 3, "commit_every": 0.05, "length": 120.0}),
    Mutant("handed over to whoever is there", "I3", _all_are_complete, LAGGARD),
    Mutant("led by whoever is far behind", "I3",
           _without_rows("TooFarBehind", "YieldingToPeer", "FetchingWal"), _FAR_BEHIND,
           frozenset({"async"})),
    Mutant("an operator's wish is kept for later", "I3", _keep_to_an_old_wish, _AN_OLD_WISH, QUORUM,
           {"members": 3, "parallel": True, "commit_every": 0.5, "length": 150.0}),
    Mutant("initdb wherever it is empty", "I4", _initdb_when_empty),
    Mutant("cloned over what there is", "I4", _each(_clone_over)),
    Mutant("who has diverged stays so", "I5", _never(DeleteOwnPod)),
    Mutant("nobody takes an expired Lease", "I7",
           _each(lambda a, _: None if isinstance(a, TakeLease) and a.expired else a)),
    Mutant("no question whether to stay", "I6", _never(AskToStay)),
    Mutant("a late renewal is given up", "I6", _release_when_slow),
    Mutant("who starts again keeps its label", "I9", _keep_the_label, _ALONE_WITH_MORE, SYNC,
           {"members": 3, "parallel": True, "commit_every": 0.5, "length": 120.0}),
    Mutant("who has shown more is not waited for", "I9",
           _without_rows("YieldingToPeer", "FetchingWal"), _ONE_HAS_SHOWN_MORE, SYNC,
           {"members": 3, "parallel": True, "length": 120.0}),
    Mutant("who has shown more, and is not to lead, keeps it", "I9", _without_rows("FetchingWal"),
           _A_REPORTING_REPLICA, SYNC, {"members": 3, "parallel": True, "length": 110.0}),
    Mutant("who does not start for another's history", "I5",
           _without_rows("ReturningToReport", "FetchingWal"), _MORE_THAN_ITS_PRIMARY,
           circumstances=_ASYNC, memory=Parts(deletes_others_histories=False)),
    Mutant("who cannot start is waited for", "I7", _forget_that_the_start_fails, FULL_AND_REBOOTED),
)  # fmt: skip
