"""Handing over: why, when, and to whom."""

from collections.abc import Iterator

from sidecar.situation.cached import cached
from sidecar.situation.election import ElectionFacts
from sidecar.situation.fitness import FitnessFacts
from sidecar.situation.pod import PodFacts
from sidecar.situation.set import HAS_NOFAILOVER, ordinal, wal_position_of
from sidecar.situation.timing import (
    CHECKPOINT_PATIENCE,
    FRESH_CHECKPOINT,
    PRE_STOP,
    SLOW_MEMORY,
    SLOW_NOW,
)
from sidecar.synchronous import WalPosition, can_have_acknowledged


class HandoverFacts:
    """Facts about a primary that hands over, or should."""

    def __init__(self, election: ElectionFacts, fitness: FitnessFacts, pod: PodFacts) -> None:
        """Build on the election, this member's fitness and its pod, and on what those build on."""
        self.observation = election.observation
        self.settings = election.settings
        self.lease = election.lease
        self.server = election.server
        self.set = election.set
        self.election = election
        self.fitness = fitness
        self.pod = pod
        self.me = election.me

    @property
    def requested(self) -> str | None:
        """The pod that the operator wants to lead."""
        return self.lease.record.switchover_to if self.lease.record else None

    @property
    def heir(self) -> str | None:
        """The member to which this holder, by its own record, is handing over."""
        return self.lease.record.heir if self.lease.record and self.lease.names_me else None

    @property
    def target(self) -> str | None:
        """The member that was asked for, or that is being handed over to."""
        return self.requested or self.heir

    @cached
    def is_wanted(self) -> bool:
        """Another member should lead: an operator asked for it, or this pod is being deleted or
        fenced, cannot do a primary's work, or is not reached by new clients."""
        return not self.lease.is_paused and (
            self.is_urgent or self.heir is not None or self.pod.is_out_of_service
        )

    @property
    def is_urgent(self) -> bool:
        """This member will not lead for long, whoever comes next."""
        return self.pod.is_leaving or self.pod.is_fenced or self.fitness.is_sick

    @property
    def fence_waits(self) -> bool:
        """This pod is fenced, and its PostgreSQL, which holds the Lease and could write, stops when
        it hands over. Not if it can't, for long enough: then it is stopped all the same."""
        leads = self.server.could_write and self.lease.names_me
        can = self.is_wanted and bool(self.candidates)
        return leads and (can or not self.pod.is_fenced_without_delay)

    @property
    def is_under_way(self) -> bool:
        """It has begun, or it can begin: a member can take over, or has yet to be asked."""
        not_asked = self.observation.peers is None and not self._only_out_of_service
        return self.is_wanted and (self.server.is_silent or not_asked or bool(self.candidates))

    @property
    def _only_out_of_service(self) -> bool:
        """There is no other reason to hand over, and no hurry."""
        return not self.is_urgent and self.heir is None

    @property
    def _only_for_its_health(self) -> bool:
        """There is no other reason to hand over: a member that is as slow would be no better."""
        for_more = self.pod.is_leaving or self.pod.is_fenced or self.heir is not None
        return self.fitness.is_sick and not for_more

    @property
    def _slow_memory(self) -> float:
        """For how long others count as slow after they were. Not that long for a primary that has
        been unwell through it: an endless outage must not wait for a volume that stumbles at
        times."""
        since = self.observation.postgres.unwell_since or self.observation.now
        unwell_for = self.observation.now - since
        return SLOW_MEMORY if unwell_for < 2 * SLOW_MEMORY else SLOW_NOW

    @property
    def reason(self) -> str:
        """For messages: why another member should lead."""
        if self.pod.is_leaving:
            return "this pod is being deleted"
        if self.pod.is_fenced:
            return "this pod is fenced"
        if self.fitness.sick_because is not None:
            return self.fitness.sick_because
        if self.heir is not None:
            return "a switchover was requested"
        if self.pod.is_taken_out:
            return "Kubernetes does not hear from this pod's node and sends it no new clients"
        return "this pod is not ready, so no new clients reach it, although its PostgreSQL is well"

    @cached
    def candidates(self) -> tuple[str, ...]:
        """Members that could lead now, best first, of those that answered."""
        fit = [
            peer.name
            for peer in self.set.peers_with_data
            if peer.running
            and peer.reaches_api
            and peer.well
            and not (self._only_for_its_health and peer.slow_ago < self._slow_memory)
            and self.election.may_lead(peer.name)
            and peer.system_identifier == self.lease.system_identifier
            and wal_position_of(peer) >= self.election.recorded_timeline_begins
            and not self._goes_without_need(peer.name)
            and not self.set.is_fenced(peer.name)
            and not self.set.has_nofailover(peer.name)
            and (self.set.staying is None or peer.name in self.set.staying)
            and (not self._only_out_of_service or self._is_better_placed(peer.name))
        ]
        return tuple(sorted(fit, key=self._preference, reverse=True))

    def _goes_without_need(self, name: str) -> bool:
        """Whether that pod is about to go, too. Where all go, the first are there again however
        many come back, so one with a lower ordinal takes over all the same."""
        if self.set.is_scaled_to_zero:
            return ordinal(name) > ordinal(self.me)
        return self.set.is_being_deleted(name)

    def _is_better_placed(self, name: str) -> bool:
        """Whether new clients reach it, and it follows closely as long as that can be seen."""
        lag = self._lag_of(name)
        follows = lag is not None and lag <= self.settings.max_lag
        return self.set.is_in_service(name) and (follows or not self.server.is_writable)

    def _lag_of(self, name: str) -> int | None:
        """Bytes that this member has yet to flush; None if it does not stream from here."""
        postgres = self.observation.postgres
        follower = next((it for it in postgres.followers if it.name == name), None)
        return None if follower is None else (postgres.position or 0) - follower.position

    def _preference(
        self, name: str
    ) -> tuple[bool, bool, bool, int, bool, int, bool, WalPosition, int]:
        """The heir, then whoever new clients can reach, then whoever has everything; where all go,
        the one that is there again however many come back; then whoever can be writable soon; then
        the greatest priority; in a rolling update a pod that has been rolled already, or else the
        one that will be rolled last."""
        mine = self.pod.shown.revision if self.pod.shown else None
        pod = self.set.named(name)
        rolled = pod is not None and pod.revision != mine
        peer = self.set.peers[name]
        position, soon = wal_position_of(peer), self.election.replays_soon(peer.to_replay)
        complete = name in self.observation.complete_peers
        reached = self.set.is_in_service(name)
        first = -ordinal(name) if self.set.is_scaled_to_zero else 0
        may_be = (name == self.heir, reached, complete, first, soon)
        return (*may_be, self.set.failover_priority(name), rolled, position, -ordinal(name))

    @cached
    def candidate_name(self) -> str:
        """For messages: the member that is to take over."""
        return self.heir or next(iter(self.candidates), "nobody")

    @cached
    def safe_successor(self) -> str | None:
        """Who can take over without the loss of a commit, now that PostgreSQL has stopped here.

        A member that has all WAL or, where commits wait for standbys, everything that can have been
        acknowledged.
        """
        promise = self.election.recorded_promise
        positions = self.election.wal_positions
        others = {name: position for name, position in positions.items() if name != self.me}
        for name in self.candidates:
            if name in self.observation.complete_peers:
                return name
            if promise.voters and others.get(name, (0, 0)) >= can_have_acknowledged(
                promise, others
            ):
                return name
        return None

    @cached
    def quicker_successor(self) -> str | None:
        """A member that has all that this one has, and next to nothing left to replay."""
        for name in self.candidates:
            peer = self.set.peers[name]
            complete = wal_position_of(peer) >= self.election.data.wal_position
            if complete and self.election.replays_soon(peer.to_replay):
                return name
        return None

    @property
    def nobody_else_may_lead(self) -> bool:
        """By the recorded members and voters, and by what an unanswered renewal may have made of
        them."""
        return not any(map(self.election.may_lead, self.lease.others_who_may_lead)) and (
            not self.lease.view or not self.lease.view.possible_members
        )

    @property
    def may_go_on_recovering(self) -> bool:
        """PostgreSQL replays its WAL, and another leader would lack what is only here, or may not
        lead at all. Not if a member has everything, or if recovery makes no progress."""
        if not self.server.is_silent or self.observation.postgres.progress_at is None:
            return False
        return self.nobody_else_may_lead or (
            self.server.recovery_makes_progress and self.safe_successor is None
        )

    @cached
    def own_replacement(self) -> str | None:
        """This pod's own name, if the StatefulSet will re-create it, or may: its volume has what no
        other member has. A pod that was replaced does not know what the new one's volume has."""
        if self.set.was_replaced:
            return None
        return self.me if self.set.is_scaled_to_zero or self.me in self.set.wanted_members else None

    @cached
    def is_ready_to_stop(self) -> bool:
        """Stopping now is short, and clients find the next primary at once."""
        if self.server.is_unwell or self.pod.is_fenced_without_delay:
            return True
        if not self.pod.is_leaving:
            return self.has_fresh_checkpoint
        if all(map(self.set.is_being_deleted, self.candidates)):
            # No client finds any of them, and they still have to get all WAL before they stop.
            return True
        return self.pod.leaving_for >= PRE_STOP and (
            self.has_fresh_checkpoint or self.pod.leaving_for >= CHECKPOINT_PATIENCE
        )

    @cached
    def has_fresh_checkpoint(self) -> bool:
        """PostgreSQL's own checkpoint at its shutdown will be short."""
        done = self.observation.postgres.checkpointed_at
        return done is not None and self.observation.now - done < FRESH_CHECKPOINT

    @cached
    def refusal(self) -> str | None:
        """Why the target cannot take over, as a clause; None if it can."""
        if self.target is None:
            return None
        if self.server.is_blind:
            return "PostgreSQL does not let the sidecar look or change anything"
        return next(self._reasons_against(self.target), None)

    def _reasons_against(self, name: str) -> Iterator[str]:
        lag = self._lag_of(name)
        if name == self.me:
            yield "it leads already"
        if self.observation.paused:
            yield "the set is paused"
        if self.observation.opted_out:
            yield "the set is opted out"
        yield from self._reasons_of_its_pod(name)
        if lag is None:
            yield "it does not stream from the primary"
        elif lag > self.settings.max_lag:
            yield f"it lags {lag} bytes behind, more than max-lag"
        if not self.election.may_lead(name):
            voters = self.election.recorded_promise.voters
            yield "it is not in sync" if voters else "it is not a member yet"

    def _reasons_of_its_pod(self, name: str) -> Iterator[str]:
        if name not in self.set.other_pods:
            there = ", ".join(self.set.other_pods) or "none"
            yield f"there is no such pod in this set; there are: {there}"
        if self.set.is_being_deleted(name):
            yield "it is being deleted"
        if self.set.is_fenced(name):
            yield "it is fenced"
        if self.set.has_nofailover(name):
            yield HAS_NOFAILOVER

    @property
    def heir_to_record(self) -> str | None:
        """The member that this holder hands over to: the target, unless it is refused."""
        if not self.server.is_writable:
            return self.heir if self.server.is_silent else None
        return self.target if self.refusal is None else None

    @property
    def request_to_record(self) -> str | None:
        """What remains of the operator's request: a primary takes it up or refuses it, and clears
        it either way."""
        return None if self.server.is_writable else self.requested
