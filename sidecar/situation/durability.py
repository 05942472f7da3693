"""What commits wait for, and what the Lease may promise of them."""

from sidecar.situation.handover import HandOverWords
from sidecar.situation.patience import BLIND_PATIENCE, HUNG_PATIENCE, STANDBY_PATIENCE
from sidecar.situation.word import word
from sidecar.synchronous import NONE, Promise, next_promise, promised


class DurabilityWords(HandOverWords):
    """Words about acknowledged commits."""

    @property
    def durability(self) -> str:
        """What is wanted; nothing is promised any more by a primary that will be alone."""
        return "async" if self.seen.opted_out else self.settings.durability

    @word
    def promise_in_force(self) -> Promise:
        """What PostgreSQL keeps by its present setting, with this member as the primary."""
        postgres = self.seen.postgres
        return Promise(
            frozenset((*postgres.waits_for, self.seen.me.name)), 1 + postgres.waits_for_number
        )

    @property
    def _waits_from(self) -> int | None:
        """From where on commits wait so, and go on to: not while they have been told otherwise."""
        postgres = self.seen.postgres
        return postgres.waits_from if postgres.ordered is None else None

    @property
    def wanted_promise(self) -> Promise:
        """What the record should promise, by who is there."""
        me = self.seen.me.name
        durability = self.durability
        if durability == "async":
            return NONE
        if durability == "quorum":
            return promised({*self.members, me}, durability)
        standbys = self._standbys_in_step
        if durability == "sync-strict" and not standbys:
            wanted = self.wanted_members or self.recorded_promise.voters
            return promised({*(self.recorded_promise.voters & wanted), me}, durability)
        return promised({*standbys, me}, durability)

    @word
    def _standbys_in_step(self) -> frozenset[str]:
        """Who commits can wait for: who streams without lag, or has just lost its old primary."""
        position = self.seen.postgres.position or 0
        recorded = self.recorded_promise.voters
        streaming = {
            follower.name
            for follower in self.seen.postgres.followers
            if follower.name in self.streaming_members
            and (follower.name in recorded or position - follower.position <= self.settings.max_lag)
        }
        if not self.is_writable or self.in_this_state_for < STANDBY_PATIENCE:
            there = {pod.name for pod in self.seen.pods or () if not pod.deleting}
            streaming |= (recorded & there) - {self.last_leader}
        return frozenset(streaming) - {self.seen.me.name}

    @word
    def next_promise(self) -> Promise:
        """The next step from the recorded promise to the wanted one."""
        return next_promise(
            self.recorded_promise,
            self.wanted_promise,
            self.durability,
            self.record.members if self.record else (),
        )

    @word
    def is_settled(self) -> bool:
        """As many standbys as commits wait for have all WAL from before they waited so."""
        postgres = self.seen.postgres
        if self._waits_from is None:
            return postgres.waits_for_number == 0
        settled = sum(
            follower.name in postgres.waits_for and follower.position >= self._waits_from
            for follower in postgres.followers
        )
        return settled >= postgres.waits_for_number

    @word
    def promise_to_record(self) -> Promise:
        """The next one as soon as it is true, until then the recorded one."""
        me = self.seen.me.name
        recorded, following = self.recorded_promise, self.next_promise
        if not recorded.voters or recorded.implies(following, me):
            # A promise is taken up from none as that of the primary alone, which is always true.
            return following if recorded.voters else self._first_promise
        kept = self.promise_in_force.implies(following, me) and self.is_settled
        return following if kept else recorded

    @word
    def _first_promise(self) -> Promise:
        if self.durability == "async":
            return NONE
        return promised({self.seen.me.name}, self.durability)

    @property
    def standbys_to_wait_for(self) -> tuple[tuple[str, ...], int]:
        """The members and the number of them that commits are to wait for now."""
        me = self.seen.me.name
        following = self.next_promise if self.recorded_promise.voters else self._first_promise
        names = following.names(me)
        if not names and self.durability == "sync-strict":
            # Where the StatefulSet is gone, the record still tells of members.
            others = (self.wanted_members or {*self.members}) - {me}
            return tuple(sorted(others)), min(1, len(others))
        return names, max(0, following.copies - 1)

    @property
    def waits_as_it_should(self) -> bool:
        """PostgreSQL's setting is the one that is wanted, or has to stay for now.

        What a renewal without an answer may have promised is kept until it is known.
        """
        names, number = self.standbys_to_wait_for
        wanted = Promise(frozenset((*names, self.seen.me.name)), 1 + max(0, number))
        perhaps = self.seen.lease.perhaps_promised if self.seen.lease else ()
        return self._waits_for(names, number) or not all(
            wanted.implies(Promise(frozenset(voters), copies), self.seen.me.name)
            for voters, copies in perhaps
        )

    def _waits_for(self, names: tuple[str, ...], number: int) -> bool:
        """Whether that is the setting, and stays it: the last order was it, and was seen to be."""
        postgres = self.seen.postgres
        if postgres.ordered is not None:
            return False
        if number <= 0:
            return postgres.waits_for_number == 0
        return (set(names), number) == (set(postgres.waits_for), postgres.waits_for_number)

    @word
    def would_keep_the_promise(self) -> bool:
        """Commits of this server would keep what is on record after the next renewal."""
        waits = self.seen.postgres.waits_for_number == 0 or self._waits_from is not None
        kept = self.promise_in_force if waits else Promise(frozenset({self.seen.me.name}), 1)
        return kept.implies(self.promise_to_record, self.seen.me.name)

    @property
    def cannot_be_promoted(self) -> bool:
        """This holder would only keep the Lease from others: a promotion is noted on the volume,
        and with a promise PostgreSQL has to be told whom commits wait for."""
        if self.seen.postgres.has_written or not self.others_who_may_lead:
            return False
        locked_out = self.is_blind and not self.would_keep_the_promise
        return self.has_hung_for(HUNG_PATIENCE) or (
            locked_out and self.in_this_state_for > BLIND_PATIENCE
        )

    @property
    def standbys_if_it_led(self) -> tuple[tuple[str, ...], int]:
        """The members and the number of them that commits here would wait for.

        A replica has that set long before it is promoted: a reload takes its time to be in force.
        """
        voters, me = self.recorded_promise.voters, self.seen.me.name
        durability = self.durability
        if durability == "async" or me not in voters:
            return (), 0
        staying = voters if durability == "quorum" else voters - {self.leader}
        promise = promised(staying, durability)
        if durability == "sync-strict" and staying == {me}:
            others = self.wanted_members - {me}
            return tuple(sorted(others)), min(1, len(others))
        return promise.names(me), max(0, promise.copies - 1)

    @property
    def would_wait_as_it_should(self) -> bool:
        """PostgreSQL's setting is the one that it would have to have as a primary."""
        return self._waits_for(*self.standbys_if_it_led)
