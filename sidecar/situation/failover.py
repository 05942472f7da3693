"""An operator wants this member to lead where nobody may by the rules, whatever is lost by it."""

from collections.abc import Iterator
from typing import Final

from sidecar.situation.cached import cached
from sidecar.situation.durability import DurabilityFacts
from sidecar.situation.pod import PodFacts
from sidecar.situation.set import HAS_NOFAILOVER
from sidecar.situation.timing import FAILOVER_PATIENCE

_MOST_DIGITS: Final = 20
"""Of a version: etcd counts in 64 bits."""


class FailoverFacts:
    """Facts about that wish."""

    def __init__(self, durability: DurabilityFacts, pod: PodFacts) -> None:
        """Build on what is promised, and on this pod."""
        self.observation = durability.observation
        self.durability = durability
        self.lease = durability.lease
        self.data = durability.data
        self.server = durability.server
        self.set = durability.set
        self.election = durability.election
        self.me = durability.me
        self.pod = pod

    @cached
    def is_due(self) -> bool:
        """It leads, whatever the promise, max-lag, members that are not heard and those that are
        ahead stand for: the operator has looked at this very Lease, nobody has written it since,
        and who may lead by the rules has had the time.

        What keeps two members from being writable stays: the Lease is free, or has expired for a
        member that its holder knew, and nobody else says that it is writable.
        """
        record = self.lease.record
        return (
            record is not None
            and self.pod.failover_was_asked == record.resource_version
            and self.refusal is None
            and self.lease.is_free
            and self.lease.free_for >= FAILOVER_PATIENCE
            and not self.election.record_is_outdated
            and self.election.i_could_follow_on
            and not any(peer.writable for peer in self.set.peers.values())
        )

    @cached
    def refusal(self) -> str | None:
        """Why it does not lead for that, as a clause; None while it does or may yet."""
        return next(self._reasons_against(), None)

    def _reasons_against(self) -> Iterator[str]:
        record, asked = self.lease.record, self.pod.failover_was_asked or ""
        if self.observation.bootstrap.left_alone:
            yield "its database is none of the set's"
        if record is None or record.system_identifier is None:
            yield "no Lease says which database is the set's"
            return
        # Python turns no text of thousands of digits into a number.
        if not asked.isdecimal() or len(asked) > _MOST_DIGITS:
            yield "the annotation's value is not the Lease's resourceVersion"
        elif int(asked) < int(record.resource_version):
            yield "the Lease was written since: look at the set again"
        if self.pod.is_fenced:
            yield "it is fenced"
        if self.election.is_left_to_others:
            yield HAS_NOFAILOVER
        if self.lease.is_paused and record.last_leader != self.me:
            yield "the set is paused or opted out"
        if record.members and self.me not in record.members:
            # Whom the holder does not know it would not ask before it stays without the API server.
            yield "it is not recorded as a member"
        yield from self._reasons_of_its_data()

    def _reasons_of_its_data(self) -> Iterator[str]:
        if self.data.is_missing:
            yield "it has no data"
        if self.data.is_broken:
            yield "its data cannot be started as it is"
        if self.data.is_of_another_set:
            yield "its data belongs to another set"
        # Before PostgreSQL answers, its timeline may not be known.
        if not self.server.is_in_recovery:
            return
        if not self.election.i_could_follow_on:
            yield (
                "its data is not on the recorded timeline, and a primary that has led on that one "
                "would have begun another of the same number"
            )
        if (ahead := self._on_a_newer_timeline) is not None:
            yield (
                f"{ahead} is on a newer timeline, and that which this member would begin could "
                "have the same number"
            )

    @property
    def _on_a_newer_timeline(self) -> str | None:
        """A member that is, also on one that nobody has recorded. What it has by then is no part of
        a second timeline of that number, which nothing would tell it."""
        mine = self.data.timeline or 0
        newer = (
            peer.name
            for peer in self.set.peers_with_data
            if peer.system_identifier == self.set.system_identifier and (peer.timeline or 0) > mine
        )
        return next(newer, None)
