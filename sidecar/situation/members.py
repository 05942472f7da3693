"""The set: its pods, its members, and who of them has told what."""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from sidecar.contract import slot_name
from sidecar.observation import Identity, LeaseRecord, Peer, Pod
from sidecar.situation.patience import READS_PATIENCE
from sidecar.situation.server import ServerWords
from sidecar.situation.word import word
from sidecar.synchronous import Place


def holder_address(record: LeaseRecord | None, pods: Iterable[Pod]) -> str | None:
    """Return the address of the pod that holds the Lease; None where it is not there."""
    if record is None:
        return None
    name, holder = record.holder_pod, record.holder
    for pod in pods:
        if pod.name == name and str(Identity(name, pod.uid)) == holder:
            return pod.ip
    return None


@lru_cache
def ordinal(pod: str) -> int:
    """Return the number at the end of a StatefulSet's pod's name."""
    return int(pod.rpartition("-")[2])


@lru_cache
def names(set_name: str, first: int, number: int) -> frozenset[str]:
    """Return the names of so many of a StatefulSet's pods, from the first ordinal on."""
    return frozenset(f"{set_name}-{ordinal}" for ordinal in range(first, first + number))


@lru_cache
def _slots_of(members: tuple[str, ...]) -> frozenset[str]:
    return frozenset(slot_name(member) for member in members)


def place_of(peer: Peer) -> Place:
    """Return where a peer's data ends."""
    return (peer.timeline or 0, peer.position or 0)


class MemberWords(ServerWords):
    """Words about the set."""

    @word
    def first_member(self) -> str:
        """The pod with the lowest ordinal."""
        return f"{self.settings.set_name}-{self.settings.first_ordinal}"

    @word
    def other_pods(self) -> tuple[str, ...]:
        """The set's other pods that there are."""
        return tuple(pod.name for pod in self.seen.pods or () if pod.name != self.seen.me.name)

    @word
    def my_pod(self) -> Pod | None:
        """This pod, as the API server shows it."""
        return next((p for p in self.seen.pods or () if p.uid == self.seen.me.uid), None)

    @property
    def is_leaving(self) -> bool:
        """This pod was deleted."""
        return self.my_pod is not None and self.my_pod.deleting

    @property
    def may_be_displaced(self) -> bool:
        """Another life of this pod may soon take the directory over (rule 8): the volume hangs, and
        with it the heartbeat, and the API server does not say that this pod is there."""
        since = self.seen.bootstrap.silent_since
        if since is None or self.seen.now - since < self.fence_after:
            return False
        return self.my_pod is None or self.api_heard_ago >= self.fence_after

    @word
    def leaving_for(self) -> float:
        """Seconds since this pod was deleted."""
        since = self.seen.leaving_since
        return 0.0 if since is None else self.seen.now - since

    @word
    def leader_address(self) -> str | None:
        """Where the holder of the Lease is, in the life that the Lease names."""
        return holder_address(self.record, self.seen.pods or ())

    @word
    def follows_another(self) -> bool:
        """It is set to follow somebody, or nobody, and the holder of the Lease is elsewhere."""
        postgres = self.seen.postgres
        if postgres.detached:
            return True
        return postgres.upstream is not None and postgres.upstream != self.leader_address

    @word
    def follows(self) -> bool:
        """It streams from the holder, on the recorded timeline, within the lag limit."""
        postgres = self.seen.postgres
        recorded = self.record.timeline if self.record else None
        return (
            self.is_in_recovery
            and postgres.streaming
            and (self.leader_address is None or not self.follows_another)
            and (postgres.lag or 0) <= self.settings.max_lag
            and (recorded is None or (postgres.timeline or 0) >= recorded)
        )

    @property
    def may_serve_reads(self) -> bool:
        """It follows, or did a moment ago: between two primaries nobody does, and each label that
        changes then keeps the Service of the primary from changing, by up to a second."""
        if self.follows:
            return True
        streamed_at = self.seen.postgres.streamed_at
        return (
            self.is_in_recovery
            and not self.seen.postgres.streaming
            and streamed_at is not None
            and self.seen.now - streamed_at < READS_PATIENCE
        )

    @word
    def wanted_members(self) -> frozenset[str]:
        """The pods that the StatefulSet wants."""
        settings = self.settings
        return names(settings.set_name, settings.first_ordinal, self.seen.wanted or 0)

    @word
    def peers_with_data(self) -> tuple[Peer, ...]:
        """Peers that answered and have a data directory."""
        return tuple(peer for peer in self.seen.peers.values() if peer.has_data)

    @word
    def silent(self) -> frozenset[str]:
        """Members that have yet to say what data they have, before a first leader is chosen.

        Who has some tells how much once its server has replayed it: a control file says less.
        """
        said = {
            name
            for name, peer in self.seen.peers.items()
            if peer.has_data is False or (peer.has_data and peer.running and peer.position)
        }
        return (self.wanted_members | set(self.other_pods)) - said - {self.seen.me.name}

    @word
    def silent_words(self) -> str:
        """For sentences."""
        return ", ".join(sorted(self.silent)) or "nobody"

    @word
    def initdb_is_ours(self) -> bool:
        """Rule 5. Every pod that there is has said that it has no data, and this is the first."""
        said_empty = all(
            (peer := self.seen.peers.get(name)) is not None and peer.has_data is False
            for name in self.other_pods
        )
        return (
            not self.set_has_data
            and self.has_no_data
            and self.seen.pods is not None
            and said_empty
            and self.seen.me.name == self.first_member
        )

    @word
    def members(self) -> tuple[str, ...]:
        """Who may take over: who streams from here, and who did and is still wanted."""
        if self.seen.opted_out:
            return (self.seen.me.name,)
        recorded = set(self.record.members) if self.record else set()
        if self.seen.wanted is not None:
            recorded &= self.wanted_members
        # While the API server is silent nobody is added: a renewal that gets no answer would leave
        # this holder with somebody to fear, and nobody asked.
        api_answers = self.seen.renewal_failed_at is None
        members = recorded | (self.streaming_members if api_answers else set())
        if self.set_has_data or self.system_identifier:
            members.add(self.seen.me.name)
        return tuple(sorted(members, key=ordinal))

    @word
    def streaming_members(self) -> frozenset[str]:
        """Members of this set that stream from this primary."""
        prefix = f"{self.settings.set_name}-"
        return frozenset(
            follower.name
            for follower in self.seen.postgres.followers
            if follower.name.startswith(prefix) and follower.name[len(prefix) :].isdecimal()
        )

    @property
    def wanted_slots(self) -> tuple[str, ...]:
        """The other members, each of which has a replication slot here."""
        others = {*self.members, *self.wanted_members} - {self.seen.me.name}
        if self.seen.wanted is not None:
            others &= self.wanted_members
        return tuple(sorted(others, key=ordinal))

    @property
    def slots_are_right(self) -> bool:
        """PostgreSQL has the slots that a primary keeps, and no other of ours."""
        return _slots_of(self.wanted_slots) == set(self.seen.postgres.slots)

    def pods_with_role(self, value: str) -> Iterator[Pod]:
        """Yield the other pods that carry this value of the role label."""
        for pod in self.seen.pods or ():
            if pod.name != self.seen.me.name and pod.role == value:
                yield pod
