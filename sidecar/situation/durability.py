"""What commits wait for, and what the Lease may promise of them.

The record and PostgreSQL's setting follow the members that are there, one step at a time, so that
the record is true at every moment (see `sidecar.synchronous`). With `sync`, on primary 0 of three
members, each promise by its voters:

                                      recorded   next    to record   to keep   in force
    2 has stopped streaming             0 1 2    0 1     0 1         0 1       0 1 2
    that is on record                   0 1      0 1     0 1         0 1       0 1 2
    commits wait for 1 alone            0 1      0 1     0 1         0 1       0 1
    2 streams again                     0 1      0 1 2   0 1         0 1 2     0 1
    commits wait for 1 and 2            0 1      0 1 2   0 1         0 1 2     0 1 2
    2 has all WAL from before that      0 1      0 1 2   0 1 2       0 1 2     0 1 2

The next promise is the first step towards the wanted one, which here needs no second. What is to be
kept is what PostgreSQL is told to wait for; what is in force is what it was seen to wait for.
"""

from sidecar.situation.cached import cached
from sidecar.situation.election import ElectionFacts
from sidecar.situation.set import names
from sidecar.situation.timing import (
    BLIND_PATIENCE,
    HUNG_PATIENCE,
    SETTLING_PATIENCE,
    STANDBY_PATIENCE,
)
from sidecar.synchronous import NONE, Promise, next_promise, promised


class DurabilityFacts:
    """Facts about acknowledged commits."""

    recorded: Promise
    """What the Lease promises now."""

    def __init__(self, election: ElectionFacts) -> None:
        """Build on the election, and on what that builds on."""
        self.election = election
        self.observation = election.observation
        self.settings = election.settings
        self.lease = election.lease
        self.data = election.data
        self.server = election.server
        self.set = election.set
        self.me = election.me
        self.recorded = election.recorded_promise

    @property
    def durability(self) -> str:
        """The durability asked for; 'async' once the set is opted out."""
        return "async" if self.observation.opted_out else self.settings.durability

    @cached
    def promise_in_force(self) -> Promise:
        """What PostgreSQL keeps by its present setting, with this member as the primary."""
        postgres = self.observation.postgres
        return Promise(frozenset((*postgres.waits_for, self.me)), 1 + postgres.waits_for_number)

    @property
    def _waits_from(self) -> int | None:
        """From which WAL position on commits have waited so; None while another order for
        PostgreSQL may come into force."""
        postgres = self.observation.postgres
        return postgres.waits_from if postgres.ordered is None else None

    @property
    def wanted_promise(self) -> Promise:
        """The promise that fits the members that are present."""
        durability = self.durability
        if durability == "async":
            return NONE
        if durability == "quorum":
            return promised({*self.set.members, self.me} - self._left_out, durability)
        standbys = self._standbys_in_step - self._left_out
        if durability == "sync-strict" and not standbys:
            wanted = self.set.wanted_members or self.recorded.voters
            return promised({*(self.recorded.voters & wanted), self.me}, durability)
        return promised({*standbys, self.me}, durability)

    @cached
    def _standbys_in_step(self) -> frozenset[str]:
        """Standbys that commits can wait for: those that stream without lag, or that have just lost
        their old primary."""
        postgres = self.observation.postgres
        position = postgres.position or 0
        recorded = self.recorded.voters
        streaming = {
            follower.name
            for follower in postgres.followers
            if follower.name in self.set.streaming_members
            and (follower.name in recorded or position - follower.position <= self.settings.max_lag)
        }
        if not self.server.is_writable or self.server.in_this_state_for < STANDBY_PATIENCE:
            there = {pod.name for pod in self.observation.pods or () if not pod.deleting}
            streaming |= (recorded & there) - {self.lease.last_leader}
        return frozenset(streaming) - {self.me}

    @property
    def _left_out(self) -> frozenset[str]:
        """Standbys that are not to take over, while commits can wait for another: whoever leads
        next needs what those are told, and could not get it from one that stays a replica."""
        others = {*self.set.members, *self._standbys_in_step} - {self.me}
        marked = frozenset(filter(self.set.has_nofailover, others))
        return marked if self._standbys_in_step - marked else frozenset()

    @cached
    def next_promise(self) -> Promise:
        """The next step from the recorded promise to the wanted one."""
        members = self.lease.record.members if self.lease.record else ()
        return next_promise(self.recorded, self.wanted_promise, self.durability, members)

    @cached
    def is_settled(self) -> bool:
        """As many standbys as commits wait for have all WAL from before commits waited so."""
        postgres = self.observation.postgres
        waits_from = self._waits_from
        if waits_from is None:
            return postgres.waits_for_number == 0
        settled = sum(
            follower.name in postgres.waits_for and follower.position >= waits_from
            for follower in postgres.followers
        )
        return settled >= postgres.waits_for_number

    @property
    def shows_what_may_be_lost(self) -> bool:
        """By the record others may lead without rows that came up with this server: a commit that
        was waiting for standbys when its primary crashed is seen by all after the restart."""
        return self.recorded.copies > 1

    def has_to_settle(self, promise: Promise) -> bool:
        """By this promise others may lead without what this server comes up with as the primary.

        Where it was handed over there is a second copy already, on the last primary's disk; but
        that counts only while the last primary may lead.
        """
        return promise.copies > 1 and self.lease.handed_over_by not in promise.voters

    @cached
    def is_settling(self) -> bool:
        """This server became writable a moment ago, and what it had then may be gone with it.

        Commits wait for the same standbys, which find it by its pod's address, not by the label.
        """
        return (
            self.server.is_writable
            and self.has_to_settle(self.recorded)
            and self.server.in_this_state_for < SETTLING_PATIENCE
            and not self.is_settled
        )

    @cached
    def promise_to_record(self) -> Promise:
        """The next promise as soon as it is true, until then the recorded one."""
        recorded, following = self.recorded, self.next_promise
        if not recorded.voters or recorded.implies(following, self.me):
            return following if recorded.voters else self.first_promise
        kept = self.promise_in_force.implies(following, self.me) and self.is_settled
        return following if kept else recorded

    @property
    def first_promise(self) -> Promise:
        """That of the primary alone, which is always true of what it acknowledges itself."""
        if self.durability == "async":
            return NONE
        return promised({self.me}, self.durability)

    @property
    def _promise_to_keep(self) -> Promise:
        """The next promise, or before the promotion the recorded one, where no order keeps both: to
        go from one to the other takes standbys that stream."""
        if not self.recorded.voters:
            return self.first_promise
        following, recorded = self.next_promise, self.recorded
        keeps_both = recorded.implies(following, self.me) or following.implies(recorded, self.me)
        return following if keeps_both or self.server.is_writable else recorded

    @property
    def standbys_to_wait_for(self) -> tuple[tuple[str, ...], int]:
        """The members that commits are to wait for now, and the number of them."""
        following = self._promise_to_keep
        standbys = following.names(self.me)
        if not standbys and self.durability == "sync-strict":
            return self._any_other
        return standbys, max(0, following.copies - 1)

    @property
    def _any_other(self) -> tuple[tuple[str, ...], int]:
        """For sync-strict, where nobody is in sync: the other members, one of which commits wait
        for. Only a set that is to have one member has none.

        While the StatefulSet is not known (it is gone, or was not read yet) or wants none, they are
        those on record and those that commits wait for already, or the first that there could be.
        """
        waits_for = self.observation.postgres.waits_for
        others = (
            self.set.wanted_members or {*self.set.members, *self.recorded.voters, *waits_for}
        ) - {self.me}
        if not others and self.observation.wanted is None:
            others = names(self.settings.set_name, self.settings.first_ordinal, 2) - {self.me}
        return tuple(sorted(others)), min(1, len(others))

    @property
    def setting_is_right(self) -> bool:
        """Commits wait for the right standbys, or have to go on as they do for now: what an
        unanswered renewal may have promised is kept until it is known."""
        names, number = self.standbys_to_wait_for
        wanted = Promise(frozenset((*names, self.me)), 1 + max(0, number))
        perhaps = self.lease.view.possible_promises if self.lease.view else ()
        return self._waits_for(names, number) or not all(
            wanted.implies(Promise(frozenset(voters), copies), self.me)
            for voters, copies in perhaps
        )

    def _waits_for(self, names: tuple[str, ...], number: int) -> bool:
        """Whether commits wait for these, and will: the last order was seen to be in force."""
        postgres = self.observation.postgres
        if postgres.ordered is not None:
            return False
        if number <= 0:
            return postgres.waits_for_number == 0
        return (set(names), number) == (set(postgres.waits_for), postgres.waits_for_number)

    @cached
    def would_keep_promise(self) -> bool:
        """Commits of this server would keep what is on record after the next renewal."""
        waits = self.observation.postgres.waits_for_number == 0 or self._waits_from is not None
        kept = self.promise_in_force if waits else Promise(frozenset({self.me}), 1)
        return kept.implies(self.promise_to_record, self.me)

    @property
    def cannot_be_promoted(self) -> bool:
        """This holder would only keep the Lease from others: a promotion is noted on the volume,
        and with a promise the sidecar has to set what commits wait for."""
        if not self.lease.others_who_may_lead:
            return False
        postgres, seconds = self.observation.postgres, self.server.in_this_state_for
        full = self.data.takes_no_writes and seconds > HUNG_PATIENCE
        if postgres.has_written:
            # A primary that has crashed for want of space is a standby when it comes up again. One
            # that was asked to be promoted may be about to.
            return full and postgres.promoting_since is None
        locked_out = self.server.is_blind and not self.would_keep_promise
        return (
            full
            or self.data.has_hung_for(HUNG_PATIENCE)
            or (locked_out and seconds > BLIND_PATIENCE)
        )

    @property
    def standbys_if_promoted(self) -> tuple[tuple[str, ...], int]:
        """The members that commits here would wait for, and the number of them.

        A replica is set so long before it is promoted: a reload takes its time to be in force.
        """
        voters, durability = self.recorded.voters, self.durability
        if durability == "async" or self.me not in voters:
            return (), 0
        staying = voters if durability == "quorum" else voters - {self.lease.holder_name}
        promise = promised(staying, durability)
        if durability == "sync-strict" and staying == {self.me}:
            return self._any_other
        return promise.names(self.me), max(0, promise.copies - 1)

    @property
    def setting_would_be_right(self) -> bool:
        """Commits would wait for the right standbys if this replica were promoted."""
        return self._waits_for(*self.standbys_if_promoted)
