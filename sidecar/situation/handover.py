"""Handing over: why, when, and to whom."""

from collections.abc import Iterator

from sidecar.situation.election import ElectionWords
from sidecar.situation.members import ordinal, place_of
from sidecar.situation.patience import (
    AFTER_OUTAGE,
    CHECKPOINT_PATIENCE,
    FRESH_CHECKPOINT,
    PRE_STOP,
    TAKEN_OUT_PATIENCE,
)
from sidecar.situation.word import word
from sidecar.synchronous import Place, can_have_acknowledged


class HandOverWords(ElectionWords):
    """Words about a primary that gives its place to another."""

    @property
    def wish(self) -> str | None:
        """The pod that the operator wants to lead."""
        return self.record.switchover_to if self.record else None

    @property
    def chosen_heir(self) -> str | None:
        """Whom the holder, by its own record, is handing over to."""
        return self.record.heir if self.record and self.recorded_as_holder else None

    @word
    def wants_to_hand_over(self) -> bool:
        """Somebody else should lead: asked for, or this pod goes, or cannot do its work."""
        return not self.is_paused and (
            self.is_pressed or self.chosen_heir is not None or self.is_taken_out
        )

    @property
    def is_handing_over(self) -> bool:
        """That is under way. A member whose node is not heard may have nobody to hand over to, for
        as long as that lasts."""
        return self.wants_to_hand_over and not (self._only_for_its_node and not self.successors)

    @property
    def is_pressed(self) -> bool:
        """It won't lead for long, whoever comes next."""
        return self.is_leaving or self.is_unwell

    @property
    def in_service_until(self) -> float | None:
        """When this pod counts as taken out of its Services; None where it is in them."""
        since = self.my_pod.taken_out_since if self.my_pod else None
        return None if since is None else since + TAKEN_OUT_PATIENCE

    @property
    def is_taken_out(self) -> bool:
        """Kubernetes sends new clients elsewhere, because of this pod's node. Not where the API
        server has been away itself: then it takes any node for lost until it has heard of it."""
        return (
            self.in_service_until is not None
            and self.seen.now >= self.in_service_until
            and self.seen.now - self.seen.api_failed_at > AFTER_OUTAGE
        )

    @property
    def why_words(self) -> str:
        """For sentences."""
        if not self.is_taken_out or self.is_pressed:
            return ""
        return ": Kubernetes does not hear this pod's node, and sends it no new clients"

    @word
    def successors(self) -> tuple[str, ...]:
        """Who could lead now, best first, of those who answered."""
        fit = [
            peer.name
            for peer in self.peers_with_data
            if peer.running
            and peer.reaches_api
            and peer.well
            and not (peer.slow and self._leaves_for_its_health)
            and self.may_lead(peer.name)
            and peer.system_identifier == self.set_system_identifier
            and place_of(peer) >= self._recorded_timeline_begins
            and not self._is_deleted(peer.name)
            and (self.seen.wanted is None or peer.name in self.wanted_members)
            and (not self._only_for_its_node or self._is_better_placed(peer.name))
        ]
        return tuple(sorted(fit, key=self._preference, reverse=True))

    @property
    def _leaves_for_its_health(self) -> bool:
        """There is no other reason to hand over: who is as slow is no better."""
        return self.is_unwell and not self.is_leaving and self.chosen_heir is None

    @property
    def _only_for_its_node(self) -> bool:
        """There is no other reason to hand over, and no hurry."""
        return not self.is_pressed and self.chosen_heir is None

    def _is_better_placed(self, name: str) -> bool:
        """New clients reach it, and it follows closely as long as that can be seen."""
        follower = next((f for f in self.seen.postgres.followers if f.name == name), None)
        lag = (self.seen.postgres.position or 0) - (follower.position if follower else 0)
        follows = follower is not None and lag <= self.settings.max_lag
        return self._is_in_service(name) and (follows or not self.is_writable)

    def _is_in_service(self, name: str) -> bool:
        return not any(
            pod.taken_out_since is not None for pod in self.seen.pods or () if pod.name == name
        )

    def _preference(self, name: str) -> tuple[bool, bool, bool, bool, Place, int]:
        """The one that was asked for, then who can be reached by new clients, then who has
        everything; in a rolling update a pod that has been rolled, and else the one that will be
        rolled last."""
        mine = self.my_pod.revision if self.my_pod else None
        rolled = any(p.revision != mine for p in self.seen.pods or () if p.name == name)
        place = place_of(self.seen.peers[name])
        complete = name in self.seen.complete_peers
        reached = self._is_in_service(name)
        return (name == self.chosen_heir, reached, complete, rolled, place, -ordinal(name))

    @word
    def successor(self) -> str | None:
        """Who can take over without the loss of a commit, now that PostgreSQL has stopped here.

        Who has all WAL; or, where commits wait for standbys, all that can have been acknowledged.
        """
        promise = self.recorded_promise
        others = {name: place for name, place in self.places.items() if name != self.seen.me.name}
        for name in self.successors:
            if name in self.seen.complete_peers:
                return name
            if promise.voters and others.get(name, (0, 0)) >= can_have_acknowledged(
                promise, others
            ):
                return name
        return None

    @property
    def nobody_else_may_lead(self) -> bool:
        """By the record, members and voters, and by what a renewal without an answer may have made
        of it."""
        return not any(self.may_lead(name) for name in self.others_who_may_lead) and (
            not self.seen.lease or not self.seen.lease.perhaps_members
        )

    @property
    def may_go_on_recovering(self) -> bool:
        """PostgreSQL replays its WAL: whoever led meanwhile would lack what is only here, or may
        not lead at all. Not where somebody has everything, nor where it does not get on."""
        if not self.is_down or self.seen.postgres.progress_at is None:
            return False
        return self.nobody_else_may_lead or (self.makes_progress and self.successor is None)

    @word
    def own_next_life(self) -> str | None:
        """This pod, where the StatefulSet makes it anew: its volume has what nobody else has."""
        return self.seen.me.name if self.seen.me.name in self.wanted_members else None

    @word
    def successor_words(self) -> str:
        """For sentences."""
        return self.chosen_heir or next(iter(self.successors), "nobody")

    @property
    def is_left_writable(self) -> bool:
        """The last primary of a set that was opted out, whose pod goes: by the record nobody else
        may lead. Or nobody ever has, and this data was writable before pgset came."""
        return (
            self.seen.opted_out
            and self.is_leaving
            and self.has_stopped
            and ((self.recorded_as_holder and self.is_alone) or self._is_as_it_was_found)
        )

    @property
    def _is_as_it_was_found(self) -> bool:
        """Nobody leads or ever did, by the record; where there is none, in a set of one, since
        somebody may have deleted the record of a set that was led."""
        if self.seen.lease is None or self.seen.bootstrap.found_standby or self.is_of_another_set:
            return False
        if self.record is None:
            alone = self.wanted_members <= {self.seen.me.name} and not self.other_pods
            return self.seen.wanted is not None and alone and not self.just_vanished
        return (
            self.record.last_leader is None
            and self.record.timeline is None
            and self.record.holder_pod in ("", self.seen.me.name)
            and not self.others_who_may_lead
        )

    @word
    def is_ready_to_stop(self) -> bool:
        """Stopping now is short, and clients find the next primary at once."""
        if self.is_unwell:
            return True
        if not self.is_leaving:
            return self.has_fresh_checkpoint
        return self.leaving_for >= PRE_STOP and (
            self.has_fresh_checkpoint or self.leaving_for >= CHECKPOINT_PATIENCE
        )

    @word
    def has_fresh_checkpoint(self) -> bool:
        """PostgreSQL's own checkpoint at its shutdown will be short."""
        done = self.seen.postgres.checkpointed_at
        return done is not None and self.seen.now - done < FRESH_CHECKPOINT

    @property
    def candidate(self) -> str | None:
        """The pod that is asked for, or being handed over to."""
        return self.wish or self.chosen_heir

    @word
    def refusal(self) -> str | None:
        """What speaks against handing over to the candidate, as half a sentence."""
        if self.candidate is None:
            return None
        if self.is_blind:
            return "PostgreSQL here does not let the sidecar look or change anything"
        return next(self._reasons_against(self.candidate), None)

    def _reasons_against(self, name: str) -> Iterator[str]:
        position = self.seen.postgres.position or 0
        follower = next((f for f in self.seen.postgres.followers if f.name == name), None)
        if name == self.seen.me.name:
            yield "it leads already"
        if self.seen.paused:
            yield "the set is paused"
        if self.seen.opted_out:
            yield "the set is opted out"
        if name not in self.other_pods:
            there = ", ".join(self.other_pods) or "none"
            yield f"there is no such pod in this set; there are: {there}"
        if self._is_deleted(name):
            yield "it is being deleted"
        if follower is None:
            yield "it does not stream from the primary"
        elif position - follower.position > self.settings.max_lag:
            yield f"it lags {position - follower.position} bytes behind, more than max-lag"
        if not self.may_lead(name):
            yield "it is not in sync" if self.recorded_promise.voters else "it is no member yet"

    @property
    def heir_to_record(self) -> str | None:
        """Whom this holder hands over to: the candidate, unless something speaks against it."""
        if not self.is_writable:
            return self.chosen_heir if self.is_down else None
        return self.candidate if self.refusal is None else None

    @property
    def wish_to_record(self) -> str | None:
        """A wish is taken up or refused by a primary, and either way it is cleared."""
        return None if self.is_writable else self.wish
