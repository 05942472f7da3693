"""How PostgreSQL is to be started where a standby's start would refuse its settings."""

from collections.abc import Iterable

from sidecar.observation import Origin, RefusedSetting
from sidecar.situation.durability import DurabilityWords
from sidecar.situation.word import word


class StartWords(DurabilityWords):
    """Words about settings that a standby refuses, and the start that takes them."""

    @property
    def settings_are_refused(self) -> bool:
        """A standby's start would end at once."""
        return bool(self.seen.bootstrap.refused)

    @word
    def _raised(self) -> tuple[RefusedSetting, ...]:
        """What a file can raise."""
        return tuple(r for r in self.seen.bootstrap.refused if r.origin is Origin.FILE)

    @word
    def _raised_anyway(self) -> tuple[RefusedSetting, ...]:
        """`wal_level=minimal` of a file, which no set can run with, and what it goes with."""
        if not any(r.name == "wal_level" for r in self._raised):
            return ()
        return tuple(r for r in self._raised if r.name in ("wal_level", "max_wal_senders"))

    @word
    def _refused_for_good(self) -> tuple[RefusedSetting, ...]:
        """What no file can raise."""
        return tuple(r for r in self.seen.bootstrap.refused if r.origin is not Origin.FILE)

    @property
    def cannot_start_as_a_standby(self) -> bool:
        """Nothing that is written to a file helps."""
        return bool(self._refused_for_good)

    @property
    def raised_for_a_standby(self) -> tuple[tuple[str, str], ...]:
        """What has to stand in postgresql.auto.conf so that a standby starts."""
        return _needed(self._raised)

    @property
    def raised_for_a_primary(self) -> tuple[tuple[str, str], ...]:
        """The same for the start without standby.signal, which takes what an operator wants."""
        return _needed(self._raised_anyway)

    @word
    def is_the_only_member(self) -> bool:
        """Nobody else may lead by the record, and no other pod has data, or may have."""
        others = set(self.other_pods)
        if self.set_has_data:
            if not self.is_a_member:
                return False
        elif self.seen.wanted is None:
            return False
        else:
            others |= self.wanted_members - {self.seen.me.name}
        said_empty = all(
            (peer := self.seen.peers.get(name)) is not None and peer.has_data is False
            for name in others
        )
        return (
            self.seen.pods is not None
            and said_empty
            and not self.others_who_may_lead
            and self.recorded_promise.voters <= {self.seen.me.name}
        )

    @word
    def wants_a_writable_start(self) -> bool:
        """Rule 1's exception: this data, with these settings, on the only member."""
        refused = set(self.seen.bootstrap.refused) - set(self._raised_anyway)
        may_lead = self.last_leader == self.seen.me.name or not (
            (self.is_paused and self.set_has_data) or self.awaits_last_leader
        )
        return bool(refused) and self.is_the_only_member and may_lead and not self.is_leaving

    @word
    def may_start_writable(self) -> bool:
        """This member holds the Lease by a renewal of its own, which names nobody else."""
        return (
            self.wants_a_writable_start
            and self.holds_lease
            and self.is_alone
            and self.set_has_data
            and self.seen.renewal_failed_at is None
        )

    @word
    def is_starting_writable(self) -> bool:
        """Its one start without standby.signal is under way, and nobody else may lead by now.

        Also where the container is restarted before it has come up: as long as the record names no
        other member, which only this one can change, nobody else can be writable.
        """
        return (
            self.seen.bootstrap.started_writable
            and self.recorded_as_holder
            and self.is_alone
            and (self.is_down or self._stays_minimal)
        )

    @property
    def _stays_minimal(self) -> bool:
        """With this setting, of the command line, data is written that no standby takes; and
        nobody can copy it or stream from it, so nobody else can become a member."""
        return any(
            r.name == "wal_level" and r.origin is Origin.COMMAND_LINE
            for r in self.seen.bootstrap.refused
        )

    @property
    def refused_words(self) -> str:
        """For sentences: each parameter with both values."""
        return ", ".join(_words(r) for r in self.seen.bootstrap.refused)

    @property
    def raised_words(self) -> str:
        """For sentences: each parameter that is raised for this start."""
        return ", ".join(f"{r.name} is {r.needed} and not {r.value}" for r in self._raised)

    @property
    def remedy(self) -> str:
        """For sentences: what the operator can do."""
        if any(r.origin is Origin.DATA for r in self.seen.bootstrap.refused):
            return "start it once without pgset and with wal_level=replica, or alone in its set"
        return "give it at least the value that is needed there"


def _needed(refused: Iterable[RefusedSetting]) -> tuple[tuple[str, str], ...]:
    return tuple((r.name, r.needed) for r in refused)


def _words(refused: RefusedSetting) -> str:
    if refused.origin is Origin.DATA:
        return f"the data was written with {refused.name}={refused.value}"
    where = "on the command line " if refused.origin is Origin.COMMAND_LINE else ""
    return f"{refused.name} is {refused.value} {where}and must be at least {refused.needed}"
