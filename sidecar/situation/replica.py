"""How this member follows its primary, and what is wrong where it does not."""

from sidecar.contract import slot_name
from sidecar.situation.cached import cached
from sidecar.situation.pod import PodFacts
from sidecar.situation.server import ServerFacts
from sidecar.situation.set import SetFacts
from sidecar.situation.timing import (
    BACK_OFF_PATIENCE,
    COPY_PAUSE,
    READS_PATIENCE,
    REATTACH_PATIENCE,
)


class ReplicaFacts:
    """Facts about this member as a standby."""

    def __init__(self, server: ServerFacts, pod: PodFacts, set_: SetFacts) -> None:
        """Build on the server, this pod and the set, and on what those build on."""
        self.observation = set_.observation
        self.settings = set_.settings
        self.lease = set_.lease
        self.data = set_.data
        self.server = server
        self.pod = pod
        self.set = set_

    @property
    def waits_for_its_kubelet(self) -> bool:
        """PostgreSQL has stopped, and starts only after a second back-off, or a later one."""
        return (
            self.server.has_stopped
            and self.server.in_this_state_for > BACK_OFF_PATIENCE
            and self.pod.is_back_sooner_if_deleted
        )

    @cached
    def follows_wrong_primary(self) -> bool:
        """Its primary_conninfo points at somebody other than the Lease holder, or at nobody."""
        postgres = self.observation.postgres
        if postgres.detached:
            return True
        return postgres.upstream is not None and postgres.upstream != self.set.leader_address

    @property
    def has_other_wal(self) -> bool:
        """It is new to the set, and the end of its WAL is not the primary's."""
        return self.data.is_new_to_set and self.observation.wal_matches is False

    @property
    def may_attach(self) -> bool:
        """What it has is the set's. Where it streams once, its own WAL is overwritten, and nobody
        can compare it any more."""
        return self.observation.wal_matches is True or not self.data.is_new_to_set

    @property
    def gives_wal(self) -> bool:
        """What the others are told: it is a standby, and what it has is the set's, to its end."""
        return (
            self.server.is_in_recovery
            and not self.server.is_blind
            and not self.data.is_new_to_set
            and not self.data.has_its_own_timeline
            and self.data.left_set_at is None
        )

    @cached
    def uses_wrong_slot(self) -> bool:
        """Its primary_slot_name is not its own slot: the primary may remove WAL that it needs."""
        name = self.observation.postgres.primary_slot_name
        return name is not None and name != slot_name(self.observation.me.name)

    @cached
    def follows_leader(self) -> bool:
        """It streams from the Lease holder, on the recorded timeline, within max-lag."""
        postgres = self.observation.postgres
        recorded = self.lease.record.timeline if self.lease.record else None
        return (
            self.server.is_in_recovery
            and postgres.streaming
            and (self.set.leader_address is None or not self.follows_wrong_primary)
            and (postgres.lag or 0) <= self.settings.max_lag
            and (recorded is None or (postgres.timeline or 0) >= recorded)
        )

    @property
    def may_serve_reads(self) -> bool:
        """It follows, or did a moment ago: between two primaries no standby does, and each label
        that changes then delays the Service of the primary, by up to a second.

        A label that it has lost it gets back only by following: it lagged, or has diverged.
        """
        if self.follows_leader:
            return True
        streamed_at = self.observation.postgres.streamed_at
        return (
            self.server.is_in_recovery
            and self.pod.has_role(self.settings.replica_value)
            and not self.observation.postgres.streaming
            and streamed_at is not None
            and self.observation.now - streamed_at < READS_PATIENCE
        )

    @property
    def is_not_streaming(self) -> bool:
        """A standby that does not stream, and has had time to find its way."""
        return (
            self.server.is_in_recovery
            # Of a server that does not let the sidecar look, nobody knows whether it streams.
            and not self.server.is_blind
            and not self.observation.postgres.streaming
            and self.server.in_this_state_for > REATTACH_PATIENCE
        )

    @property
    def needs_removed_wal(self) -> bool:
        """The primary no longer has the WAL that this member needs next."""
        if not self.is_not_streaming:
            return False
        primary = self.set.peers.get(self.lease.holder_name)
        return (
            primary is not None
            and primary.writable
            and primary.oldest_wal is not None
            and primary.oldest_wal > self.data.position
        )

    @property
    def was_outrun(self) -> bool:
        """It needs removed WAL, and was copied from this very primary just before: that removed it
        while the copy was replayed. Another primary has begun another timeline."""
        record = self.lease.record
        return (
            self.needs_removed_wal
            and self.observation.bootstrap.copied
            and self.observation.postgres.streamed_at is None
            and record is not None
            and record.timeline == self.data.timeline
            and self.server.in_this_state_for < COPY_PAUSE
        )

    @property
    def has_diverged(self) -> bool:
        """It has WAL on its timeline that the primary's history does not have."""
        fork = self.observation.fork
        return (
            fork is not None
            and not self.server.is_blind
            and fork.timeline == self.data.timeline
            and self.data.position > fork.position
            and self.may_attach
        )

    @property
    def may_return(self) -> bool:
        """Somebody has promoted it, and the holder leads on the timeline that it has left."""
        leader, left_at = self.set.peers.get(self.lease.holder_name), self.data.left_set_at
        if not self.data.must_return or leader is None or left_at is None:
            return False
        return leader.writable and leader.timeline == left_at[0]

    @property
    def was_rewound_in_vain(self) -> bool:
        """A rewind has succeeded before this start of PostgreSQL, which has not streamed since."""
        return self.observation.bootstrap.rewound and self.observation.postgres.streamed_at is None

    @property
    def reinit_was_asked(self) -> str | None:
        """What an operator's wish says that this member is cloned again, if it is not answered."""
        return None if self.pod.shown is None else self.pod.shown.reinit

    @property
    def is_reinitialized(self) -> bool:
        """An operator wants it to be cloned again, and it can be: not while somebody is at work in
        the directory."""
        bootstrap = self.observation.bootstrap
        free = bootstrap.busy is None and bootstrap.other_writer is None
        can = self.reinit_refusal is None and bootstrap.data is not None and free
        return self.reinit_was_asked is not None and can

    @property
    def reinit_refusal(self) -> str | None:
        """Why this member can't be cloned again, as a clause. The primary has to say itself that it
        leads: without it, this member may be the one that has to take over."""
        if self.lease.names_me:
            return "it leads: let another member lead first"
        if self.observation.bootstrap.left_alone:
            return "its database is none of the set's"
        if not (self.lease.is_anothers and self.set.leader_is_writable):
            return "there is no primary to clone it from"
        if self.pod.is_fenced:
            return "it is fenced"
        if self.observation.opted_out:
            return "the set is opted out"
        return "it has no data yet" if self.data.is_missing else None

    @property
    def replaced_logical_slots(self) -> tuple[str, ...]:
        """Those that it had as a primary and that its primary has as well, which could be copied
        but for these. Where that one lacks a slot, this is all that its subscriber has."""
        record = self.lease.record
        # What is on record may still be what this member has recorded itself.
        if record is None or record.last_leader != record.holder_pod:
            return ()
        mine = self.observation.postgres.logical_slots
        return tuple(name for name in mine if name in record.logical_slots)

    @property
    def promotion_note_is_obsolete(self) -> bool:
        """The promotion that this member noted did not happen, or has long been on record."""
        before = self.observation.bootstrap.promoting_from
        if before is None or not self.observation.postgres.streaming:
            return False
        return self.data.timeline == before or self.data.promotion_is_on_record
