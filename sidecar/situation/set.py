"""The set: its pods, its members, and what the peers have said of their data."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from sidecar import contract
from sidecar.observation import Follower, LeaseRecord, Peer, Pod
from sidecar.situation.cached import cached
from sidecar.situation.data import DataFacts
from sidecar.synchronous import WalPosition


def holder_address(record: LeaseRecord | None, pods: Iterable[Pod]) -> str | None:
    """Return the IP of the Lease holder's pod; None if that very pod (same UID) is gone."""
    if record is None:
        return None
    name, holder = record.holder_pod, record.holder
    for pod in pods:
        if pod.name == name and pod.identity == holder:
            return pod.ip
    return None


HAS_NOFAILOVER: Final = (
    f"its pod has annotation {contract.NOFAILOVER}, or {contract.FAILOVER_PRIORITY} 0"
)
"""For messages: why a member does not take over."""


@lru_cache
def ordinal(pod: str) -> int:
    """Return the number at the end of the name of a StatefulSet's pod."""
    return int(pod.rpartition("-")[2])


@lru_cache
def names(set_name: str, first: int, number: int) -> frozenset[str]:
    """Return the names of so many of a StatefulSet's pods, from the first ordinal on."""
    last = first + min(number, contract.MOST_PODS)
    return frozenset(f"{set_name}-{ordinal}" for ordinal in range(first, last))


@lru_cache
def _slots_of(members: frozenset[str]) -> frozenset[str]:
    return frozenset(contract.slot_name(member) for member in members)


def wal_position_of(peer: Peer) -> WalPosition:
    """Return where a peer's data ends."""
    return (peer.timeline or 0, peer.position or 0)


class SetFacts:
    """Facts about the set."""

    peers: Mapping[str, Peer]
    """Their answers by pod name; none where they were not asked."""

    def __init__(self, data: DataFacts) -> None:
        """Build on this member's data, and on what that builds on."""
        self.observation = observation = data.observation
        self.lease = lease = data.lease
        self.settings = lease.settings
        self.data = data
        self.me = observation.me.name
        self.peers = observation.peers or {}

    @cached
    def first_member(self) -> str:
        """The pod with the lowest ordinal."""
        return f"{self.settings.set_name}-{self.settings.first_ordinal}"

    @cached
    def other_pods(self) -> tuple[str, ...]:
        """Names of the set's other pods that exist."""
        return tuple(pod.name for pod in self.observation.pods or () if pod.name != self.me)

    @cached
    def leader_address(self) -> str | None:
        """The IP of the Lease holder's pod; None if that very pod (same UID) is gone."""
        return holder_address(self.lease.record, self.observation.pods or ())

    @cached
    def wanted_members(self) -> frozenset[str]:
        """The pods that the StatefulSet wants; none if that is not known."""
        settings = self.settings
        return names(settings.set_name, settings.first_ordinal, self.observation.wanted or 0)

    @property
    def is_scaled_to_zero(self) -> bool:
        """The StatefulSet is scaled to 0: nobody stays, and some will be back."""
        return self.observation.wanted == 0

    @cached
    def staying(self) -> frozenset[str] | None:
        """The pods that stay members; None where that is not known: from 0 a set comes back with as
        many as somebody wants by then."""
        return self.wanted_members if self.observation.wanted else None

    @cached
    def not_created(self) -> tuple[str, ...]:
        """The pods that are wanted and are not there, in the order of their ordinals."""
        return tuple(sorted(self.wanted_members - {self.me, *self.other_pods}, key=ordinal))

    @property
    def waits_for_me_to_create(self) -> bool:
        """The StatefulSet creates no other pod before this one is ready."""
        later = [name for name in self.not_created if ordinal(name) > ordinal(self.me)]
        return self.observation.ordered and bool(later)

    @cached
    def cannot_be_created(self) -> tuple[str, ...]:
        """The pods that have yet to say what data they have, and that wait for one to be ready
        which has none to start, and so waits for a primary to copy."""
        missing = self.not_created
        if not self.observation.ordered or not missing or self.yet_to_report - set(missing):
            return ()
        waits = [it.name for it in self.peers.values() if it.has_data is False or it.broken]
        return missing if any(ordinal(name) < ordinal(missing[0]) for name in waits) else ()

    @cached
    def peers_with_data(self) -> tuple[Peer, ...]:
        """Peers that answered and have a data directory."""
        return tuple(peer for peer in self.peers.values() if peer.has_data)

    @cached
    def databases(self) -> Mapping[str, str]:
        """The members' system identifiers by pod name, of those that have told one; the lowest
        ordinal first."""
        told = {it.name: it.system_identifier for it in self.peers_with_data if not it.broken}
        told[self.me] = self.data.system_identifier
        return {name: told[name] or "" for name in sorted(told, key=ordinal) if told[name]}

    @cached
    def system_identifier(self) -> str | None:
        """The set's: the recorded one or, where no Lease says so, that of the lowest ordinal."""
        return self.lease.system_identifier or next(iter(self.databases.values()), None)

    @property
    def databases_are_unrelated(self) -> bool:
        """No Lease says whose database is the set's, and there is more than one."""
        return not self.lease.set_has_data and len(set(self.databases.values())) > 1

    @property
    def who_has_which_database(self) -> str:
        """For messages."""
        return ", ".join(f"{name} has {found}" for name, found in self.databases.items())

    @property
    def whose_database_counts(self) -> str:
        """For messages: the pod whose database is the set's, where they are unrelated."""
        return next(iter(self.databases), "nobody")

    @property
    def leader_is_writable(self) -> bool:
        """The holder says so itself, and so can be copied."""
        leader = self.peers.get(self.lease.holder_name)
        return leader is not None and leader.writable

    @cached
    def yet_to_report(self) -> frozenset[str]:
        """Members that have yet to say what data they have, before a first leader is chosen.

        A member with data knows how much once its server has replayed it: a control file says less.
        What can only be cloned again is never started, and waits itself for who is to lead.
        """
        said = {
            name
            for name, peer in self.peers.items()
            if peer.has_data is False
            or peer.broken
            or (peer.has_data and peer.running and peer.position)
        }
        return (self.wanted_members | set(self.other_pods)) - said - {self.me}

    @property
    def nobody_has_data(self) -> bool:
        """Every pod that exists or is wanted has said that it has none."""
        others = (self.wanted_members | set(self.other_pods)) - {self.me}
        known = self.observation.wanted is not None
        return known and self.data.is_missing and self.have_no_data(others)

    @property
    def all_have_reported(self) -> bool:
        """Every pod that exists or is wanted has said what data it has."""
        return not self.yet_to_report and self.observation.wanted is not None

    @property
    def waits_for_reports(self) -> str:
        """For messages: what is waited for before a first leader is chosen."""
        if self.yet_to_report:
            return f"for {', '.join(sorted(self.yet_to_report))} to report what data they have"
        return "until the StatefulSet can be read"

    @cached
    def initdb_is_mine(self) -> bool:
        """Rule 5: every pod that exists has said that it has no data, and this is the first."""
        return (
            not self.lease.set_has_data
            and self.data.is_missing
            and self.observation.pods is not None
            and self.have_no_data(self.other_pods)
            and self.me == self.first_member
        )

    def have_no_data(self, pods: Iterable[str]) -> bool:
        """Whether each of these pods has said that it has no data."""
        peers = self.peers
        return all(
            (peer := peers.get(name)) is not None and peer.has_data is False for name in pods
        )

    @cached
    def members(self) -> tuple[str, ...]:
        """Who may take over: every member that streams from here, or did and is still one of the
        StatefulSet's replicas."""
        if self.observation.opted_out:
            return (self.me,)
        recorded = set(self.lease.record.members) if self.lease.record else set()
        if self.staying is not None:
            recorded &= self.staying
        # While the API server is silent nobody is added: a renewal that gets no answer would leave
        # this holder with a rival that it has not asked.
        api_answers = self.observation.renewal_failed_at is None
        members = recorded | (self.streaming_members if api_answers else set())
        if self.lease.set_has_data or self.data.system_identifier:
            members.add(self.me)
        return tuple(sorted(members, key=ordinal))

    @property
    def lives_of_members(self) -> tuple[str, ...]:
        """Each member's pod, by name and UID, as the API server shows them."""
        members = self.members
        return tuple(pod.identity for pod in self.observation.pods or () if pod.name in members)

    @property
    def lives_that_stay(self) -> tuple[str, ...]:
        """The same of the pods that nobody has deleted: the next pod of another's name may lead."""
        gone = {it.identity for it in self.observation.pods or () if it.deleting}
        return (
            ()
            if self.is_scaled_to_zero
            else tuple(it for it in self.lives_of_members if it not in gone)
        )

    @cached
    def was_replaced(self) -> bool:
        """The API server shows another pod of this name: this one was deleted by force, and runs
        on. It knows neither what the new one has nor who leads for whom."""
        pod = self.named(self.me)
        return pod is not None and pod.uid != self.observation.me.uid

    @cached
    def another_life_is_recorded(self) -> bool:
        """Whoever wrote the Lease last knew another pod under this name."""
        me, record = self.observation.me, self.lease.record
        lives = {live for live in record.lives if live.startswith(f"{me.name}_")} if record else ()
        return bool(lives) and str(me) not in lives

    def is_unknown_to_holder(self, name: str) -> bool:
        """Whether the Lease ran out under a holder that did not know this member's present pod.

        It may be cut off from the API server, and writable: the pod's former life, which runs on
        beside it, would go on agreeing to that. If the holder's pod is gone, somebody has decided.
        """
        record, pods = self.lease.record, self.observation.pods or ()
        lives = {pod.identity for pod in pods if pod.name == name}
        return (
            record is not None
            and bool(record.lives)
            and self.lease.has_expired
            and any(pod.identity == record.holder for pod in pods)
            and lives.isdisjoint(record.lives)
        )

    @cached
    def streaming_members(self) -> frozenset[str]:
        """Members of this set that stream from this primary."""
        prefix = f"{self.settings.set_name}-"
        return frozenset(
            follower.name
            for follower in self.observation.postgres.followers
            if follower.name.startswith(prefix) and follower.name[len(prefix) :].isdecimal()
        )

    @property
    def members_that_follow(self) -> tuple[Follower, ...]:
        """What this primary knows of each of them."""
        followers = self.observation.postgres.followers
        return tuple(it for it in followers if it.name in self.streaming_members)

    @cached
    def _slot_owners(self) -> frozenset[str]:
        """The other members, each of which has a replication slot here."""
        others = self.wanted_members.union(self.members) - {self.me}
        return others if self.staying is None else others & self.staying

    @property
    def wanted_slots(self) -> tuple[str, ...]:
        """The members for which a primary keeps a replication slot."""
        return tuple(sorted(self._slot_owners, key=ordinal))

    @property
    def slots_are_right(self) -> bool:
        """PostgreSQL has the slots that a primary keeps, and no other of ours."""
        return _slots_of(self._slot_owners) == set(self.observation.postgres.slots)

    def named(self, name: str) -> Pod | None:
        """Return the pod of this name; None if the API server does not show it."""
        return next((pod for pod in self.observation.pods or () if pod.name == name), None)

    def address_of(self, name: str) -> str | None:
        """Return the IP of the pod of this name; None if the API server shows none."""
        pod = self.named(name)
        return None if pod is None else pod.ip

    def is_being_deleted(self, name: str) -> bool:
        """Whether the pod of this name is being deleted."""
        pod = self.named(name)
        return pod is not None and pod.deleting

    def is_in_service(self, name: str) -> bool:
        """Whether Kubernetes sends new clients to the pod of this name, as far as it shows."""
        pod = self.named(name)
        return pod is None or pod.unready_since is None

    def is_fenced(self, name: str) -> bool:
        """Whether an operator wants the PostgreSQL of this pod stopped."""
        pod = self.named(name)
        return pod is not None and pod.fenced_since is not None

    def has_nofailover(self, name: str) -> bool:
        """Whether an operator does not want this pod's member to take over."""
        pod = self.named(name)
        return pod is not None and pod.nofailover

    def failover_priority(self, name: str) -> int:
        """An operator's order of members with the same data; the greatest goes first."""
        pod = self.named(name)
        return contract.DEFAULT_FAILOVER_PRIORITY if pod is None else pod.failover_priority

    def others_with_role(self, value: str) -> Iterator[Pod]:
        """Yield the other pods that carry this value of the role label."""
        for pod in self.observation.pods or ():
            if pod.name != self.me and pod.role == value:
                yield pod
