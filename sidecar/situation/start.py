"""How PostgreSQL is to be started where a standby's start would refuse its settings."""

from collections.abc import Iterable, Set

from sidecar import contract
from sidecar.refused_setting import Origin, RefusedSetting
from sidecar.situation.cached import cached
from sidecar.situation.election import ElectionFacts
from sidecar.situation.pod import PodFacts


class StartFacts:
    """Facts about settings that a standby's start refuses, and about the start that takes them."""

    refused: tuple[RefusedSetting, ...]
    """What a standby's start would refuse."""

    def __init__(self, election: ElectionFacts, pod: PodFacts) -> None:
        """Build on the election and this pod, and on what those build on."""
        self.observation = observation = election.observation
        self.lease = election.lease
        self.server = election.server
        self.set = election.set
        self.election = election
        self.pod = pod
        self.me = election.me
        self.refused = observation.bootstrap.refused

    @property
    def is_refused(self) -> bool:
        """A standby's start would end at once."""
        return bool(self.refused)

    @cached
    def _of_files(self) -> tuple[RefusedSetting, ...]:
        """Settings that another file can override."""
        return tuple(r for r in self.refused if r.origin is Origin.FILE)

    @cached
    def _raised_in_any_case(self) -> tuple[RefusedSetting, ...]:
        """`wal_level=minimal` in a file, with which no set can run, and what depends on it."""
        if not any(r.name == "wal_level" for r in self._of_files):
            return ()
        return tuple(r for r in self._of_files if r.name in ("wal_level", "max_wal_senders"))

    @property
    def cannot_be_standby(self) -> bool:
        """Nothing that is written to a file helps."""
        return any(r.origin is not Origin.FILE for r in self.refused)

    @property
    def raised_for_standby(self) -> tuple[tuple[str, str], ...]:
        """What has to be in postgresql.auto.conf so that a standby starts."""
        return _needed(self._of_files)

    @property
    def raised_for_primary(self) -> tuple[tuple[str, str], ...]:
        """The same for the start without standby.signal, where the operator's settings count."""
        return _needed(self._raised_in_any_case)

    @cached
    def _is_only_member(self) -> bool:
        """No other member may lead by the record, and no other pod has data, or may have."""
        others = set(self.set.other_pods)
        if self.lease.set_has_data:
            if not self.election.i_may_lead:
                return False
        elif self.observation.wanted is None:
            return False
        else:
            others |= self.set.wanted_members - {self.me}
        return (
            self.observation.pods is not None
            and self.set.have_no_data(others)
            and not self.lease.others_who_may_lead
            and self.election.recorded_promise.voters <= {self.me}
        )

    @cached
    def should_be_writable(self) -> bool:
        """Rule 1's exception: this data, with these settings, on the only member."""
        if not self.refused:
            return False
        refused = set(self.refused) - set(self._raised_in_any_case)
        may_lead = self.lease.last_leader == self.me or not (
            (self.lease.is_paused and self.lease.set_has_data)
            or self.election.waits_for_last_leader
        )
        return bool(refused) and self._is_only_member and may_lead and not self.pod.is_leaving

    @property
    def may_be_writable(self) -> bool:
        """This member holds the Lease by a renewal of its own, which records no other member."""
        return (
            self.should_be_writable
            and self.lease.is_mine
            and self.lease.lists_only_me
            and self.lease.set_has_data
            and self.observation.renewal_failed_at is None
        )

    @property
    def is_writable(self) -> bool:
        """The one start without standby.signal is under way, and still no other member may lead.

        Also if the container is restarted before it has come up: as long as the record names no
        other member, which only this one can change, nobody else can be writable.
        """
        return (
            self.observation.bootstrap.started_writable
            and self.lease.names_me
            and self.lease.lists_only_me
            and (self.server.is_silent or self._stays_minimal)
        )

    @property
    def _stays_minimal(self) -> bool:
        """`wal_level=minimal` on the command line: no standby takes data that was written with it,
        and no member can copy it or stream from it, so no other can become a member."""
        return any(r.name == "wal_level" and r.origin is Origin.COMMAND_LINE for r in self.refused)

    @cached
    def must_be_left_alone(self) -> bool:
        """This data can't become a set's, and was a database of its own until now: nobody ever led,
        and no other pod that exists or is wanted has data, which could be a copy of it. Or it
        follows a server outside of the set: started as it is, it stays read-only."""
        observation = self.observation
        return (
            self.lease.view is not None
            and not (self.lease.set_has_data or self.lease.was_just_deleted)
            and not self.lease.names_me
            and observation.wanted is not None
            and observation.pods is not None
            and (
                self._follows_outside
                or (
                    observation.bootstrap.objection is not None
                    and self.set.have_no_data(self._others)
                )
            )
        )

    @property
    def _others(self) -> Set[str]:
        return self.set.wanted_members.union(self.set.other_pods) - {self.me}

    @property
    def _follows_outside(self) -> bool:
        """By its host, the primary of this data is no member. Where the set is this pod alone, no
        host is one's."""
        host = self.observation.bootstrap.follows
        if host is None:
            return False
        name, set_name = host.partition(".")[0], self.lease.settings.set_name
        pod, _, ordinal = name.rpartition("-")
        services = (
            set_name,
            contract.primary_service(set_name),
            contract.replica_service(set_name),
        )
        is_ours = name in services or (pod == set_name and ordinal.isdecimal())
        return not (is_ours and self._others)

    @property
    def should_join(self) -> bool:
        """Left alone, it follows a server whose data is the set's: that was a member by another
        name, or a member has been made of a standby of the same server."""
        return (
            self.observation.bootstrap.follows is not None
            and self.server.is_in_recovery
            and self.lease.is_anothers
            and self.lease.system_identifier == self.server.data.system_identifier
            and self.pod.shown is not None
            and not (self.lease.is_paused or self.pod.is_leaving)
        )

    @property
    def objection(self) -> str | None:
        """For messages: why this data is left alone."""
        if not self._follows_outside:
            return self.observation.bootstrap.objection
        return (
            f"it is a standby of {self.observation.bootstrap.follows}, which by its name is no "
            "member of this set, and as a member it would follow that no more; it joins by itself "
            "once another member leads that has the same data; if it is to be this set's first "
            "primary, promote it by hand (SELECT pg_promote())"
        )

    @property
    def refused_settings(self) -> str:
        """For messages: each refused setting with both values."""
        return ", ".join(map(_describe, self.refused))

    @property
    def raised_settings(self) -> str:
        """For messages: each setting that is raised for this start."""
        return ", ".join(f"{r.name} is {r.needed} instead of {r.value}" for r in self._of_files)

    @property
    def remedy(self) -> str:
        """For messages: what the operator can do."""
        if any(r.origin is Origin.DATA for r in self.refused):
            return "start it once without pgset and with wal_level=replica, or alone in its set"
        return "raise each setting to at least the value that it must have"


def _needed(refused: Iterable[RefusedSetting]) -> tuple[tuple[str, str], ...]:
    return tuple((r.name, r.needed) for r in refused)


def _describe(refused: RefusedSetting) -> str:
    if refused.origin is Origin.DATA:
        return f"the data was written with {refused.name}={refused.value}"
    where = "on the command line " if refused.origin is Origin.COMMAND_LINE else ""
    return f"{refused.name} is {refused.value} {where}and must be at least {refused.needed}"
