"""A set whose annotation was taken away: its pods are re-created without a sidecar."""

from sidecar.situation.cached import cached
from sidecar.situation.pod import PodFacts
from sidecar.situation.server import ServerFacts
from sidecar.situation.set import SetFacts


class OptOutFacts:
    """Facts about a set that was opted out."""

    def __init__(self, server: ServerFacts, pod: PodFacts, set_: SetFacts) -> None:
        """Build on the server, this pod and the set, and on what those build on."""
        self.observation = set_.observation
        self.lease = set_.lease
        self.data = set_.data
        self.server = server
        self.pod = pod
        self.set = set_

    @cached
    def next_pod_starts_writable(self) -> bool:
        """This pod leaves, and the next one, without a sidecar, has to start writable: this is the
        last primary, and by the record no other member may lead. Or no member ever led, and this
        data was writable before pgset came."""
        return (
            self.observation.opted_out
            and self.pod.is_leaving
            and self.server.has_stopped
            and ((self.lease.names_me and self.lease.lists_only_me) or self._is_as_it_was_found)
        )

    @property
    def _is_as_it_was_found(self) -> bool:
        """By the record no member leads or ever led. Without a record, only in a set of one, since
        somebody may have deleted the record of a set that was led."""
        observation, record = self.observation, self.lease.record
        if self.lease.view is None or observation.bootstrap.found_standby:
            return False
        if self.data.is_of_another_set:
            return False
        me = observation.me.name
        if record is None:
            alone = self.set.wanted_members <= {me} and not self.set.other_pods
            known = observation.wanted is not None
            return known and alone and not self.lease.was_just_deleted
        return (
            record.last_leader is None
            and record.timeline is None
            and record.holder_pod in ("", me)
            and not self.lease.others_who_may_lead
        )
