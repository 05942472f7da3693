"""How the last attempts to reach others went."""

from dataclasses import replace
from typing import Final

from sidecar.deadlines import REFUSED_TICK, seconds_to_be_excused
from sidecar.observation import Identity, LeaseView, Observation
from sidecar.settings import Settings
from sidecar.situation.timing import LAST_QUESTION

_FIRST_TRY_SECONDS: Final = 0.6
"""What a request gets while the API server answers: that takes milliseconds, and a cut-off is
noticed the sooner."""

_TURN_SECONDS: Final = 3.0
"""What all requests of a turn get together where nothing is to be fenced: what happens meanwhile
is not seen."""

_TO_ASK_AGAIN: Final = REFUSED_TICK + LAST_QUESTION
"""Seconds from the end of such a request to the members' answers."""

_AT_ONCE: Final = 0.05
"""Seconds for acting that make no difference to when to look again."""

_LOOK_SECONDS: Final = 1.0
"""From one look at a silent Lease to the next."""


class Reach:
    """The API server, the other members and the primary, as far as this member reaches them."""

    def __init__(self) -> None:
        """Nothing was tried yet."""
        self.api_failed_at = float("-inf")
        self.question_failed_at: float | None = None
        self.members_heard_at = float("-inf")
        self.streamed_at: float | None = None
        self._renewal_failed_at: float | None = None
        self._renewal_sent_at = float("-inf")
        self._looked_at = float("-inf")

    # ── the API server ────────────────────────────────────────────────────────────────────

    def renewal_is_sent(self, now: float) -> None:
        """A renewal is about to be sent."""
        self._renewal_sent_at = now

    def renewal_succeeded(self) -> None:
        """It was answered with success."""
        self._renewal_failed_at = None

    def renewal_failed(
        self, lease: LeaseView | None, me: Identity, now: float, *, conflict: bool
    ) -> None:
        """It was refused, or got no answer. `lease`: the newest; `conflict`: somebody changed it.

        A refusal is as good as silence: the Lease goes on running out. But that another holds it
        is not a failure, it is news.
        """
        record = lease.record if lease else None
        is_news = conflict and (record is None or record.holder != str(me))
        self._renewal_failed_at = None if is_news else now
        self.api_failed_at = self._renewal_failed_at or self.api_failed_at

    def renewal_failed_at(self, lease: LeaseView | None) -> float | None:
        """Return when the last renewal failed, unless it was seen to have landed since."""
        renewed_at = lease.renewed_at if lease else None
        if renewed_at is not None and renewed_at >= self._renewal_sent_at:
            self._renewal_failed_at = None
        return self._renewal_failed_at

    def requests_end_at(self, now: float, fence_in: float | None, settings: Settings) -> float:
        """Return the moment at which requests that were decided on now are given up.

        `fence_in`: seconds; the loop that renews also fences, and has to be back. Once the API
        server has not answered, it gets all the time that there is until this holder has to be
        excused again by the members, so that the kubelet's probe does not fail meanwhile.
        """
        ends = [now + _TURN_SECONDS]
        if fence_in is not None:
            ends = [now + fence_in, now + seconds_to_be_excused(settings) - _TO_ASK_AGAIN]
        if self._renewal_failed_at is None:
            ends.append(now + _FIRST_TRY_SECONDS)
        return min(ends)

    def should_look(
        self, lease: LeaseView | None, me: Identity, settings: Settings, now: float
    ) -> bool:
        """Tell whether to ask for the Lease, and count that as done: its holder has gone silent.

        A watch says nothing while nothing changes, and one that is broken says nothing either.
        """
        if lease is None or lease.record is None or lease.record.holder == str(me):
            return False
        is_silent = now - lease.heard_at > settings.renew_interval + 1.0
        if not is_silent or now - self._looked_at <= _LOOK_SECONDS:
            return False
        self._looked_at = now
        return True

    def after_acting(
        self, observation: Observation, lease: LeaseView | None, now: float
    ) -> Observation:
        """Return it with what acting on it has come to: when to look again depends on that.

        Mostly that is nothing, and then it is the same observation, about which all is known.
        """
        renewal_failed_at = self.renewal_failed_at(lease)
        if (
            lease is observation.lease
            and renewal_failed_at == observation.renewal_failed_at
            and self.question_failed_at == observation.question_failed_at
            and now - observation.now < _AT_ONCE
        ):
            return observation
        return replace(
            observation,
            now=now,
            lease=lease,
            renewal_failed_at=renewal_failed_at,
            question_failed_at=self.question_failed_at,
        )

    # ── the other members ─────────────────────────────────────────────────────────────────

    def hear_members(self, at: float | None) -> None:
        """Some member said something at that moment: over replication or to our sidecar."""
        if at is not None:
            self.members_heard_at = max(self.members_heard_at, at)

    def question_was_asked(self, now: float, *, answered: bool) -> None:
        """All members were asked whether this holder may stay; `answered`: by any of them."""
        self.question_failed_at = None if answered else now

    def see_server(self, *, streams: bool, followers_heard_at: float | None, now: float) -> None:
        """Take in what a look at this member's PostgreSQL says."""
        if streams:
            self.streamed_at = now
        self.hear_members(followers_heard_at)
