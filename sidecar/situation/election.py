"""Rule 6: who may lead, and who should, while nobody holds the Lease."""

from collections.abc import Mapping

from sidecar.observation import Peer
from sidecar.situation.cached import cached
from sidecar.situation.server import ServerFacts
from sidecar.situation.set import SetFacts, ordinal, wal_position_of
from sidecar.situation.timing import (
    COLD_START_PATIENCE,
    FETCH_PATIENCE,
    FETCH_PATIENCE_FOR_COMMITS,
    HEIR_PATIENCE,
    YIELD_PATIENCE,
)
from sidecar.synchronous import NONE, Promise, WalPosition, can_have_acknowledged


class ElectionFacts:
    """Facts about who may take the Lease."""

    def __init__(self, server: ServerFacts, set_: SetFacts) -> None:
        """Build on the server and the set, and on what those build on."""
        self.observation = set_.observation
        self.settings = set_.settings
        self.lease = set_.lease
        self.data = set_.data
        self.server = server
        self.set = set_
        self.me = set_.me

    @cached
    def record_is_outdated(self) -> bool:
        """The Lease has gone back to an older record, which counts no more than a lost one.

        A sidecar that has been restarted, or has renewed only after its time was over, knows it
        where a member is on a newer timeline than a Lease that names this one, or that nobody
        holds, and this one has noted no promotion of its own.
        """
        record = self.lease.record
        if self.lease.went_back or record is None or record.timeline is None:
            return self.lease.went_back
        if (self.lease.is_mine and not self.lease.has_lapsed) or self.server.could_write:
            return False
        if not (self.lease.names_me or self._the_set_was_down):
            return False
        theirs = (
            peer.timeline or 0
            for peer in self.set.peers_with_data
            if peer.system_identifier == record.system_identifier
            and (self.lease.names_me or peer.name not in (record.holder_pod, record.last_leader))
        )
        newest = max(self.data.newest_timeline or 0, *theirs, 0)
        return newest > record.timeline and self.observation.bootstrap.promoting_from is None

    @property
    def _the_set_was_down(self) -> bool:
        """Nobody leads, and this sidecar has seen nobody renew. One that has may know a timeline
        that nobody has recorded: its primary was lost right after its promotion."""
        view = self.lease.view
        return view is not None and not view.renewal_seen and self.lease.is_free

    @property
    def _record_counts(self) -> bool:
        """The set has been initialised, and its record is not outdated."""
        return self.lease.set_has_data and not self.record_is_outdated

    @cached
    def must_not_lead_yet(self) -> bool:
        """By an outdated record, or against its own pledge: a newer one may name a primary that
        lives on, and claims the Lease."""
        if self.lease.names_me and self.lease.is_pledged:
            return True
        if not self.record_is_outdated or self.set.leader_is_writable:
            return False
        return (
            not self.set.all_have_reported
            or any(peer.writable for peer in self.set.peers.values())
            or (self.lease.names_me and self.ahead_of_me is not None)
        )

    @cached
    def recorded_promise(self) -> Promise:
        """What an acknowledged commit survives, by the record."""
        record = self.lease.record
        if record is None or not record.voters or self.record_is_outdated:
            return NONE
        return Promise(frozenset(record.voters), record.copies)

    def may_lead(self, name: str) -> bool:
        """Rule 6, as far as the record says: a member, and where there is a promise, a voter."""
        record = self.lease.record
        if record is None:
            return False
        if self.record_is_outdated:
            return True
        voters = self.recorded_promise.voters
        return (not record.members or name in record.members) and (not voters or name in voters)

    @cached
    def i_may_lead(self) -> bool:
        """Rule 6: of this set, recorded, and not on an older timeline."""
        return self.i_could_follow_on and self.may_lead(self.me)

    @cached
    def is_left_to_others(self) -> bool:
        """An operator wants others to lead, and by a record that counts there are some."""
        return (
            self._record_counts
            and self.set.has_nofailover(self.me)
            and bool(self.lease.others_who_may_lead)
        )

    @cached
    def i_could_follow_on(self) -> bool:
        """Rule 6 but for what is on record of members: what no operator can wave through, since
        the timelines of two databases could then have one number."""
        return not (
            self.set.was_replaced
            or self.data.is_of_another_set
            or self.data.has_its_own_timeline
            or self.data.is_on_old_timeline
        )

    @cached
    def wal_positions(self) -> Mapping[str, WalPosition]:
        """Where each member's data ends, of those that said so."""
        # A control file says only where the last checkpoint was.
        said = {
            peer.name: wal_position_of(peer)
            for peer in self.set.peers_with_data
            if peer.running
            and peer.position is not None
            and peer.system_identifier == self.set.system_identifier
            and peer.well
            and (peer.detached or not self.commits_may_go_on)
        }
        return said | {self.me: self.data.wal_position}

    @cached
    def commits_may_go_on(self) -> bool:
        """A primary whose Lease has expired may live on somewhere, frozen or slow to stop; with a
        majority of the voters it could go on acknowledging commits, until they are detached."""
        return self.lease.has_expired and self._needs_a_majority

    @cached
    def _needs_a_majority(self) -> bool:
        """Commits are on some of the voters, and not on each."""
        return 1 < self.recorded_promise.copies < len(self.recorded_promise.voters)

    @cached
    def must_detach(self) -> bool:
        """This voter must not help to acknowledge anything more before it is counted."""
        return (
            self._is_counted(self.me)
            and not self.observation.postgres.detached
            and not self._is_fetching
        )

    @cached
    def i_have_every_commit(self) -> bool:
        """Rule 6: no commit can have been acknowledged that this member does not have."""
        if self.i_am_heir:
            return True
        return self.data.wal_position >= can_have_acknowledged(
            self.recorded_promise, self.wal_positions
        )

    @cached
    def lags_too_much(self) -> bool:
        """Without a promise: it is further behind what the last primary last recorded than max-lag
        allows."""
        record = self.lease.record
        if record is None or self.recorded_promise.voters or self.i_am_heir:
            return False
        timeline, position = self.data.wal_position
        return record.timeline == timeline and (
            position < (record.position or 0) - self.settings.max_lag
        )

    @cached
    def i_am_heir(self) -> bool:
        """The last holder handed the Lease to this member, and to this pod, knowing what it has."""
        record = self.lease.record
        handed_over = record is not None and not record.holder and record.heir == self.me
        return handed_over and not self.set.another_life_is_recorded and not self.record_is_outdated

    @cached
    def waits_for_heir(self) -> bool:
        """The Lease was handed to another member that still has time to take it."""
        record = self.lease.record
        return (
            record is not None
            and not record.holder
            and record.heir is not None
            and (record.heir != self.me or self.set.another_life_is_recorded)
            and self.lease.free_for < self._patience_with_the_heir
        )

    @property
    def _patience_with_the_heir(self) -> float:
        """A last primary that hands the Lease to itself comes back with what nobody else has."""
        returns = self.lease.heir_name == self.lease.last_leader
        return COLD_START_PATIENCE if returns else HEIR_PATIENCE

    @cached
    def ahead_of_me(self) -> str | None:
        """A peer that should lead rather than this member: a primary, or one that can take the
        Lease and goes first, by its timeline, then its WAL, then `_precedence`."""
        for peer in sorted(self.set.peers_with_data, key=lambda peer: ordinal(peer.name)):
            if not self._may_lead_by_record(peer):
                continue
            if peer.writable or (
                self._has_the_data(peer) and self._can_take(peer) and self._goes_first(peer)
            ):
                return peer.name
        return None

    def _may_lead_by_record(self, peer: Peer) -> bool:
        """Rule 6, as far as there is a record and it counts."""
        may_lead = not self._record_counts or self.may_lead(peer.name)
        return may_lead and self.lease.system_identifier in (None, peer.system_identifier)

    def _has_the_data(self, peer: Peer) -> bool:
        """Whether it has the set's database, on the recorded timeline at least. One that does not
        run is waited for, but not for ever."""
        return (
            peer.system_identifier == self.set.system_identifier
            and not peer.broken
            and (peer.running or self.server.in_this_state_for < COLD_START_PATIENCE)
            and wal_position_of(peer) >= self.recorded_timeline_begins
        )

    def _goes_first(self, peer: Peer) -> bool:
        if self.set.is_unknown_to_holder(peer.name):
            # It does not take the Lease before somebody deletes the holder's pod.
            return wal_position_of(peer) > self.data.wal_position
        to_replay = self.observation.postgres.to_replay
        mine = (self.data.wal_position, self._precedence(self.me, to_replay))
        theirs = (wal_position_of(peer), self._precedence(peer.name, peer.to_replay))
        return theirs > mine and not self._has_yielded_enough_to(peer)

    @cached
    def who_has_more(self) -> str | None:
        """The running member that could lead and has most WAL, some of which this one does not
        have. It may have been as cut off from the API server as this one was."""
        more = [
            peer
            for peer in self.set.peers_with_data
            if peer.running
            and not peer.writable
            and peer.system_identifier == self.set.system_identifier
            and wal_position_of(peer) > self.data.wal_position
            and self.may_lead(peer.name)
            and self._is_fit(peer)
        ]
        best = max(more, key=lambda it: (wal_position_of(it), -ordinal(it.name)), default=None)
        return None if best is None else best.name

    @cached
    def source(self) -> Peer | None:
        """The standby from which this member receives what it lacks before it leads: whoever has
        most, and does not go first. It would have to give that up, although it may have shown it,
        and without a promise it may be all that has some commits.

        Both have followed the last primary, by the record, so that their timeline is one and the
        same. While commits may go on, what a voter says counts once it is detached.
        """
        record = self.lease.record
        if record is None or not self._record_counts or self._has_fetched_for_long_enough:
            return None
        followed = {record.last_leader, *(it.name for it in record.followers)}
        timeline, position = self.data.wal_position
        more = [
            peer
            for peer in self.set.peers_with_data
            if peer.gives_wal
            and peer.running
            and peer.system_identifier == self.data.system_identifier
            and peer.timeline == timeline
            and (peer.position or 0) > position
            and followed.issuperset((self.me, peer.name))
            and (peer.detached or not self._is_counted(peer.name))
            and self.set.address_of(peer.name) is not None
        ]
        return max(more, key=lambda it: (it.position, -ordinal(it.name)), default=None)

    def _is_counted(self, name: str) -> bool:
        """Whether a commit may be acknowledged because this member gets it."""
        return self.commits_may_go_on and name in self.recorded_promise.voters

    @property
    def _has_fetched_for_long_enough(self) -> bool:
        could_lead = self.i_have_every_commit and not self.lags_too_much
        patience = FETCH_PATIENCE if could_lead else FETCH_PATIENCE_FOR_COMMITS
        return min(self._could_be_taken_for, self.server.in_this_state_for) > patience

    @property
    def source_name(self) -> str:
        """For messages."""
        return self.source.name if self.source is not None else "nobody"

    @property
    def source_address(self) -> str | None:
        """Where it is."""
        return None if self.source is None else self.set.address_of(self.source.name)

    @property
    def _is_fetching(self) -> bool:
        """It receives from there, or was told to a moment ago, and so from no primary."""
        upstream = self.observation.postgres.upstream
        return self.source is not None and upstream in ("", self.source_address)

    @property
    def _could_be_taken_for(self) -> float:
        """For how many seconds; while the API server is silent nobody can."""
        return min(self.lease.free_for, self.lease.api_is_back_for)

    def _can_take(self, peer: Peer) -> bool:
        """Whether waiting for this peer can pay off: it is fit, and reaches the API server, or may
        soon. Where no record counts, any data is waited for."""
        if not self._record_counts:
            return True
        return self._is_fit(peer) and (peer.reaches_api or self._may_soon_reach_the_api(peer))

    def _is_fit(self, peer: Peer) -> bool:
        """Its volume takes writes, and its pod stays, is not fenced, may take over and was known to
        the last holder."""
        return (
            peer.well
            and not self.set.is_being_deleted(peer.name)
            and not self.set.is_fenced(peer.name)
            and not self.set.has_nofailover(peer.name)
            and not self.set.is_unknown_to_holder(peer.name)
        )

    def _may_soon_reach_the_api(self, peer: Peer) -> bool:
        """It has more, and was silent about no other API server than this member does not hear
        either, or has only just heard again."""
        return (
            wal_position_of(peer) > self.data.wal_position
            and self.lease.api_is_back_for < YIELD_PATIENCE
        )

    @cached
    def recorded_timeline_begins(self) -> WalPosition:
        """What is before this ends on an older timeline than the recorded one."""
        record = self.lease.record
        return ((record.timeline if record else None) or 0, 0)

    def _precedence(self, name: str, to_replay: int | None) -> tuple[bool, int, bool, int]:
        """Of two members with the same data: who can be writable soon, then the greater priority,
        then the last primary, then the lower ordinal."""
        soon, priority = self.replays_soon(to_replay), self.set.failover_priority(name)
        return (soon, priority, name == self.lease.last_leader, -ordinal(name))

    def replays_soon(self, to_replay: int | None) -> bool:
        """Whether so many bytes are no reason to let another member lead."""
        return (to_replay or 0) <= self.settings.max_lag

    def _has_yielded_enough_to(self, peer: Peer) -> bool:
        """Whether this peer, slightly ahead, has left the Lease free for YIELD_PATIENCE (5 s): it
        must not block the set for ever.

        Where it is on a newer timeline, no position tells how far ahead that is; where nobody can
        look into its server, the promise alone tells whether this member has each commit.
        """
        (timeline, position), theirs = self.data.wal_position, wal_position_of(peer)
        if peer.position is None:
            near = bool(self.recorded_promise.voters)
        else:
            near = theirs[0] == timeline and theirs[1] - position <= self.settings.max_lag
        waited = self._record_counts and self._could_be_taken_for > YIELD_PATIENCE
        return near and waited and peer.running

    @cached
    def waits_for_last_leader(self) -> bool:
        """After a full outage the last primary usually has the most WAL: give it time to come
        back."""
        view, record = self.lease.view, self.lease.record
        if view is None or record is None or view.renewal_seen:
            return False
        if record.last_leader in (None, self.me) or self.set.all_have_reported:
            return False
        return self.observation.now - self.observation.started_at < COLD_START_PATIENCE
