"""This member's data directory: what is in it, and how it fits the set's record."""

from collections.abc import Callable

from sidecar.observation import BootstrapView, DataState, LeaseRecord, PostgresView
from sidecar.situation.cached import cached
from sidecar.situation.lease import LeaseFacts
from sidecar.synchronous import WalPosition


def is_new_to_set(
    record: LeaseRecord | None, member: str, timeline: int | None, bootstrap: BootstrapView
) -> bool:
    """Return whether nothing says that this data is the set's.

    It may be a copy that was written to apart from the others, with the same system identifier and
    the same timeline: then PostgreSQL may stream onto it, and the rows differ for ever.
    """
    if bootstrap.copied or bootstrap.rewound:
        return False
    if record is None:
        return True
    has_led = any((it.pod, it.timeline) == (member, timeline) for it in record.history)
    return not (has_led or member in record.members or record.holder_pod == member)


class DataFacts:
    """Facts about the data directory."""

    def __init__(self, lease: LeaseFacts) -> None:
        """Build on the Lease."""
        self.observation = lease.observation
        self.lease = lease

    @property
    def is_missing(self) -> bool:
        """The directory is empty, or holds an initdb or a clone that did not finish."""
        return self.observation.bootstrap.data in (DataState.EMPTY, DataState.INTERRUPTED)

    @property
    def is_present(self) -> bool:
        """A data directory that can be started."""
        return self.observation.bootstrap.data is DataState.PRESENT

    @property
    def is_broken(self) -> bool:
        """A data directory that cannot be started as it is."""
        return self.observation.bootstrap.data is DataState.BROKEN

    @property
    def has_vanished(self) -> bool:
        """PostgreSQL was started on a database that is not in its directory any more. Does not
        count where it was left alone: then it is none of a set's."""
        bootstrap = self.observation.bootstrap
        return bootstrap.vanished and not bootstrap.left_alone

    @property
    def is_taken_over(self) -> bool:
        """PostgreSQL was started in its directory, in which another pod is at work now (rule 8)."""
        bootstrap = self.observation.bootstrap
        return not bootstrap.running and bootstrap.other_writer is not None

    @property
    def must_not_run(self) -> bool:
        """Whatever is started in its directory must be killed: it is not this pod's database."""
        return self.has_vanished or self.is_taken_over

    def has_hung_for(self, seconds: float) -> bool:
        """Whether the data volume has not answered at all for so long."""
        since = self.observation.bootstrap.silent_since
        return since is not None and self.observation.now - since >= seconds

    @property
    def takes_no_writes(self) -> bool:
        """The data volume is full or read-only, say: a promotion could not be noted there."""
        return self.observation.bootstrap.write_failure is not None

    @property
    def system_identifier(self) -> str | None:
        """The database's own."""
        observation = self.observation
        return observation.postgres.system_identifier or observation.bootstrap.system_identifier

    @property
    def timeline(self) -> int | None:
        """The timeline that it is on, or ends on."""
        return self.observation.postgres.timeline or self.observation.bootstrap.timeline

    @property
    def newest_timeline(self) -> int | None:
        """The same; of a server that is down, the one that it was seen on since bootstrap has read
        the files."""
        postgres, bootstrap = self.observation.postgres, self.observation.bootstrap
        return postgres.timeline or postgres.last_timeline or bootstrap.timeline

    @cached
    def position(self) -> int:
        """Its newest WAL."""
        return self.observation.postgres.position or self.observation.bootstrap.position or 0

    @cached
    def left_set_at(self) -> WalPosition | None:
        """Where somebody's promotion, while another member led, has parted it from the set; None:
        none has. What it has after that is none of the set's, unless it has led since: version
        0.2.0 leaves such a note as it is."""
        bootstrap = self.observation.bootstrap
        before, at = bootstrap.promoting_from, bootstrap.promoted_by_hand_at
        if before is None or at is None or (self.timeline or 0) <= before:
            return None
        if self.promotion_is_on_record:
            return None
        return before, at

    @cached
    def wal_position(self) -> WalPosition:
        """Where it ends, as far as the set goes."""
        return self.left_set_at or (self.timeline or 0, self.position)

    @cached
    def must_return(self) -> bool:
        """Somebody has promoted it, and the set goes on without, on the timeline that it has left.

        Where that is not the recorded one, the record may be too old, or nobody may have recorded
        what began since.
        """
        record = self.lease.record
        return (
            self.left_set_at is not None
            and record is not None
            and record.timeline == self.left_set_at[0]
            and self.lease.is_anothers
            and not self.lease.went_back
        )

    @cached
    def is_of_another_set(self) -> bool:
        """Its system identifier is not the recorded one."""
        recorded = self.lease.system_identifier
        mine = self.system_identifier
        return recorded is not None and mine is not None and mine != recorded

    @cached
    def is_new_to_set(self) -> bool:
        """It has not been a member with this data yet, as far as is known: it does not join before
        its WAL was compared with the primary's."""
        observation = self.observation
        return is_new_to_set(
            self.lease.record, observation.me.name, self.timeline, observation.bootstrap
        )

    @property
    def reason_not_to_write(self) -> str:
        """For messages: why this member must not be the primary."""
        if self.is_of_another_set:
            return "its data belongs to another set"
        return f"{self.lease.holder_name} holds the Lease"

    @cached
    def is_on_old_timeline(self) -> bool:
        """It ends on a timeline that a newer primary has left."""
        record = self.lease.record
        recorded = record.timeline if record else None
        return recorded is not None and (self.timeline or 0) < recorded

    @property
    def timeline_is_mine_on_record(self) -> bool:
        """The newest history entry is this member on its present timeline."""
        record = self.lease.record
        last = record.history[-1:] if record else ()
        return any((e.pod, e.timeline) == (self.observation.me.name, self.timeline) for e in last)

    @property
    def timeline_is_anothers_on_record(self) -> bool:
        """Another member has begun the timeline that PostgreSQL says it is on, and not this one."""
        history = self.lease.record.history if self.lease.record else ()
        mine = self.observation.postgres.timeline
        pods = {e.pod for e in history if e.timeline == mine}
        return bool(pods) and self.observation.me.name not in pods

    @property
    def lost_logical_slots(self) -> tuple[str, ...]:
        """Those of the former primary that this one lacks, as long as its timeline is not on
        record."""
        return self._lost(lambda it: it.logical_slots)

    @property
    def lost_physical_slots(self) -> tuple[str, ...]:
        """Likewise, of those that are no member's."""
        return self._lost(lambda it: it.physical_slots)

    def _lost(
        self, slots: Callable[[LeaseRecord | PostgresView], tuple[str, ...]]
    ) -> tuple[str, ...]:
        record = self.lease.record
        if record is None or not self._begins_to_lead:
            return ()
        present = slots(self.observation.postgres)
        return tuple(name for name in slots(record) if name not in present)

    @property
    def unsafe_settings(self) -> tuple[str, ...]:
        """What the operator should know of this primary's settings, told once, as it begins."""
        unsafe = self.observation.postgres.unsafe if self._begins_to_lead else ()
        return tuple(name for name in unsafe if name != "synchronous_standby_names")

    @property
    def commits_may_hang(self) -> bool:
        """The operator has standbys named that commits wait for, and pgset does not change that."""
        is_set = "synchronous_standby_names" in self.observation.postgres.unsafe
        ours_to_set = self.lease.settings.durability != "async"
        return is_set and self._begins_to_lead and not ours_to_set

    @property
    def _begins_to_lead(self) -> bool:
        """Its timeline is not on record yet, and it has told of itself."""
        record = self.lease.record
        recorded = (record.timeline if record else None) or 0
        return not self.observation.postgres.blind and (self.timeline or 0) > recorded

    @property
    def promotion_is_on_record(self) -> bool:
        """The history has a timeline that this member began by the promotion it noted."""
        before = self.observation.bootstrap.promoting_from or 0
        history = self.lease.record.history if self.lease.record else ()
        return any(e.pod == self.observation.me.name and e.timeline > before for e in history)

    @property
    def has_its_own_timeline(self) -> bool:
        """It may have begun a timeline that is not on record, and another member has begun one
        since; or it has written on the other's, which is noted in the same way.

        The two can have the same number, and then neither PostgreSQL nor pg_rewind tells them
        apart.
        """
        before = self.observation.bootstrap.promoting_from
        if before is None:
            return False
        recorded = self.lease.record.timeline if self.lease.record else None
        return recorded is not None and recorded > before and not self.promotion_is_on_record

    @cached
    def must_be_rewound(self) -> bool:
        """It may have WAL that the primary does not have; pg_rewind finds out, where it can run.

        It looks at timelines alone: what is new to the set is started first, and compared.
        """
        bootstrap = self.observation.bootstrap
        if bootstrap.rewound or bootstrap.rewind_failed:
            return False
        diverged = (self.is_on_old_timeline or self.must_return) and not self.is_new_to_set
        return self.is_broken or (diverged and bootstrap.can_rewind is True)

    @cached
    def must_be_cloned_again(self) -> bool:
        """It cannot be rewound, and is broken or has diverged."""
        diverged = self.is_present and (self.is_on_old_timeline or self.must_return)
        return (self.observation.bootstrap.rewind_failed and (diverged or self.is_broken)) or (
            self.is_present and self.has_its_own_timeline
        )
