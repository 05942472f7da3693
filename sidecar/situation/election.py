"""Rule 6: who may lead where nobody does."""

from collections.abc import Mapping

from sidecar.observation import Peer
from sidecar.situation.members import MemberWords, ordinal, place_of
from sidecar.situation.patience import COLD_START_PATIENCE, HEIR_PATIENCE, YIELD_PATIENCE
from sidecar.situation.word import word
from sidecar.synchronous import NONE, Place, Promise, can_have_acknowledged


class ElectionWords(MemberWords):
    """Words about a Lease that nobody holds."""

    @word
    def recorded_promise(self) -> Promise:
        """What an acknowledged commit survives, by the record."""
        if self.record is None or not self.record.voters:
            return NONE
        return Promise(frozenset(self.record.voters), self.record.copies)

    def may_lead(self, name: str) -> bool:
        """Rule 6, the part that the record tells: a member, and with a promise a voter."""
        if self.record is None:
            return False
        voters = self.recorded_promise.voters
        return (not self.record.members or name in self.record.members) and (
            not voters or name in voters
        )

    @word
    def is_a_member(self) -> bool:
        """Rule 6: of this set, recorded, and not on an older timeline."""
        return (
            not self.is_of_another_set
            and not self.has_a_timeline_of_its_own
            and self.may_lead(self.seen.me.name)
            and not self.is_behind_the_record
        )

    @word
    def places(self) -> Mapping[str, Place]:
        """Where each member's data ends, of those who told."""
        # What a control file tells is only where the last checkpoint was.
        told = {
            peer.name: place_of(peer)
            for peer in self.peers_with_data
            if peer.running
            and peer.position is not None
            and peer.well
            and (peer.detached or not self.commits_may_go_on)
        }
        return told | {self.seen.me.name: self.place}

    @word
    def commits_may_go_on(self) -> bool:
        """A primary whose Lease ran out may live on somewhere, frozen or slow to stop; with a
        majority of the voters it could go on acknowledging commits, until they are detached."""
        return self.lease_ran_out and self.needs_a_majority

    @word
    def needs_a_majority(self) -> bool:
        """Commits are on some of the voters, and not on each."""
        return 1 < self.recorded_promise.copies < len(self.recorded_promise.voters)

    @word
    def has_to_detach(self) -> bool:
        """This voter must not help to acknowledge anything more, before it is counted."""
        return (
            self.commits_may_go_on
            and self.seen.me.name in self.recorded_promise.voters
            and not self.seen.postgres.detached
        )

    @word
    def has_all_that_was_acknowledged(self) -> bool:
        """Rule 6: no commit can have been acknowledged that this member does not have."""
        if self.is_the_heir:
            return True
        return self.place >= can_have_acknowledged(self.recorded_promise, self.places)

    @word
    def is_too_far_behind(self) -> bool:
        """Without a promise: further behind the last primary's last word than the lag limit."""
        if self.record is None or self.recorded_promise.voters or self.is_the_heir:
            return False
        known = self.record.position or 0
        return self.record.timeline == self.timeline and (
            self.position < known - self.settings.max_lag
        )

    @word
    def is_the_heir(self) -> bool:
        """The holder has left the Lease to this member, knowing what it has."""
        return (
            self.record is not None
            and not self.record.holder
            and self.record.heir == self.seen.me.name
        )

    @word
    def waits_for_heir(self) -> bool:
        """The Lease was left to another member, which has not had its time yet."""
        return (
            self.record is not None
            and not self.record.holder
            and self.record.heir not in (None, self.seen.me.name)
            and self.free_for < self._patience_with_the_heir
        )

    @word
    def _patience_with_the_heir(self) -> float:
        """The last primary's pod was deleted where nobody had everything: it comes back."""
        returns = self.heir == self.last_leader
        return COLD_START_PATIENCE if returns else HEIR_PATIENCE

    @word
    def heir(self) -> str:
        """For sentences."""
        return (self.record.heir if self.record else None) or "nobody"

    @word
    def ahead_of_me(self) -> str | None:
        """A peer that should lead rather than this member: newer timeline, more WAL, first name."""
        mine = (self.place, self._precedence(self.seen.me.name))
        for peer in sorted(self.peers_with_data, key=lambda peer: ordinal(peer.name)):
            if self.set_has_data and not self.may_lead(peer.name):
                continue
            if self.set_system_identifier not in (None, peer.system_identifier):
                continue
            if peer.writable:
                return peer.name
            if self.set_has_data and not self._can_take(peer):
                continue
            if not peer.running and self.in_this_state_for >= COLD_START_PATIENCE:
                continue
            if place_of(peer) < self._recorded_timeline_begins:
                continue
            theirs = (place_of(peer), self._precedence(peer.name))
            if theirs > mine and not self._has_yielded_enough_to(peer):
                return peer.name
        return None

    def _can_take(self, peer: Peer) -> bool:
        """It makes sense to wait for it, where the record says how much there is to lose."""
        return peer.reaches_api and peer.well and not self._is_deleted(peer.name)

    @word
    def _recorded_timeline_begins(self) -> Place:
        return ((self.record.timeline if self.record else None) or 0, 0)

    def _precedence(self, name: str) -> tuple[bool, int]:
        """Of two who have the same: the last primary, then the lower ordinal."""
        return (name == self.last_leader, -ordinal(name))

    def _has_yielded_enough_to(self, peer: Peer) -> bool:
        """It may be kept from leading by what only it knows; nobody leading is no better."""
        near = (peer.position or 0) - self.position <= self.settings.max_lag
        return near and self.set_has_data and self.free_for > YIELD_PATIENCE and peer.running

    def _is_deleted(self, name: str) -> bool:
        return any(pod.deleting for pod in self.seen.pods or () if pod.name == name)

    @word
    def awaits_last_leader(self) -> bool:
        """A set that was all down: the last primary has the most, so it is given time to come."""
        if self.seen.lease is None or self.record is None or self.seen.lease.renewal_seen:
            return False
        if self.record.last_leader in (None, self.seen.me.name):
            return False
        all_said = not self.silent and self.seen.wanted is not None
        return not all_said and self.seen.now - self.seen.started_at < COLD_START_PATIENCE
