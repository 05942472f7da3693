"""The set's Lease, as one member remembers it: what it said, when, and what this member wrote.

Expiry is judged by when this member saw the record change, on its own monotonic clock; the times
that stand in the Lease are for people (design, rule 2; client-go's leader election does so too).

A write that got no answer may have landed, and may still land. What it may have recorded counts as
recorded until the Lease says otherwise, and that it landed is proved by a mark in the record that
no other write has.
"""

import collections
import operator
from collections.abc import Hashable
from dataclasses import dataclass, fields, replace
from typing import Final

from sidecar.action import RenewLease, TakeLease
from sidecar.observation import Identity, Leadership, LeaseRecord, LeaseView
from sidecar.settings import Settings
from sidecar.situation.timing import LATE_RENEWAL

HISTORY_LENGTH: Final = 10
"""Entries that are kept."""

WRITES_REMEMBERED: Final = 100
"""Those of some minutes: one that lands later is not believed, and the next one is."""

_MERE_RENEWAL: Final = ("resource_version", "position", "lives", "followers")

_substance: Final = operator.attrgetter(
    *(f.name for f in fields(LeaseRecord) if f.name not in _MERE_RENEWAL)
)
"""A record without what each renewal changes, for which nobody need be woken."""


class HeldError(Exception):
    """Another member holds the Lease: it is not this member's to write."""


@dataclass(frozen=True, slots=True)
class _Write:
    """A write that was sent."""

    base: str
    """The version that it was to replace; empty where it was to create the Lease."""
    proof: Hashable
    sent_at: float


class LeaseMemory:
    """The Lease of one set, as one of its members knows it."""

    def __init__(self, me: Identity, settings: Settings) -> None:
        """Nothing has been heard yet."""
        self._me = str(me)
        self._name = me.name
        self._ttl = settings.ttl
        self._heard = False
        self._record: LeaseRecord | None = None
        self._proof: Hashable = None
        self._changed_at = 0.0
        self._renewal_seen = False
        self._went_back_at: float | None = None
        self._transitions = 0
        """The most that were seen."""
        self._view: LeaseView | None = None
        """What `peek` returned last; None where something is known that it does not have."""
        self._decided_on: LeaseView | None = None
        """What the loop has looked at and decides on: its writes act on this record."""
        self._answered_at = float("-inf")
        self._silence = settings.renew_interval + LATE_RENEWAL
        self._heard_at = self._heard_again_at = float("-inf")
        self._renewed_at: float | None = None
        self._lapsed = self._takes = False
        self._excused_at: float | None = None
        self._taken_expired = False
        self._released_by: str | None = None
        """Who was seen to hold it before it was released last."""
        self._handed_over_by: str | None = None
        self._fell_at: float | None = None
        self._released_after_fall: tuple[float, str] | None = None
        self._unanswered_renewals: list[tuple[str, RenewLease]] = []
        """The version that a renewal without an answer was to replace, and what it was to say."""
        self._unanswered_take: str | None = None
        """The version that a take without an answer was to replace."""
        self._taken_late = False
        self._gave_up_late_take = False
        """It was released again, and nobody else has held the Lease since."""
        self._sent: collections.deque[_Write] = collections.deque(maxlen=WRITES_REMEMBERED)
        """Our writes of which nothing is known yet."""

    # ── what the API server says ──────────────────────────────────────────────────────────

    def has_heard(self, version: str) -> bool:
        """Tell whether this version is the one that `hear` took in last, and would not be news."""
        return self._heard and version == _version(self._record)

    def hear(self, record: LeaseRecord | None, proof: Hashable, now: float) -> bool:
        """Take in the newest record, None where there is no Lease; return whether it is news.

        `proof`: the mark of its holder's write. A mere renewal by another is not news.
        """
        first, last = not self._heard, self._record
        if not first and _version(record) == _version(last):
            return False
        before, take_in_doubt = self._went_back_at, self._unanswered_take is not None
        if self._unanswered_take != _version(record):
            self._unanswered_take = None
        self._note_write(last, record, proof, now)
        if last is not None and record is not None:
            self._note_release(last, record, now)
        self._went_back_at = self._since_it_went_back(last, record, now)
        self._transitions = 0 if record is None else max(self._transitions, record.transitions)
        self._heard, self._view = True, None
        self._record, self._proof = record, proof
        landed = record is not None and self._has_landed(record)
        self._note_late_take(record, landed=landed and take_in_doubt)
        is_news = first or self._went_back_at != before or not _says_the_same(last, record)
        return landed or is_news

    def _note_write(
        self, last: LeaseRecord | None, record: LeaseRecord | None, proof: Hashable, now: float
    ) -> None:
        """Expiry counts from now, unless the holder's last write still stands there: whoever asks
        for a switchover writes to the Lease as well, and renews nobody's."""
        if last is None or record is None:
            self._changed_at = now
        elif (record.holder, proof) != (last.holder, self._proof):
            self._changed_at = now
            if record.holder and record.holder == last.holder:
                self._renewal_seen = True

    def _note_late_take(self, record: LeaseRecord | None, *, landed: bool) -> None:
        holder = record.holder if record is not None else ""
        if holder == self._me:
            self._taken_late = self._taken_late or (landed and not self._gave_up_late_take)
            return
        # It is given up once: who does not take it then is waited for no more.
        self._gave_up_late_take = not holder and (self._gave_up_late_take or self._taken_late)
        self._taken_late = False

    def _note_release(self, last: LeaseRecord, record: LeaseRecord, now: float) -> None:
        if int(record.resource_version) < int(last.resource_version):
            self._fell_at, self._released_after_fall = now, None
        elif last.holder and not record.holder and self._fell_at is not None:
            self._released_after_fall = (self._fell_at, last.holder)
        if last.holder and not record.holder:
            self._released_by = last.holder

    def _left_to_me_by(self, record: LeaseRecord | None) -> str | None:
        """Return who has left the Lease to this member, if it is so left and that was seen."""
        named = record is not None and not record.holder and record.heir == self._name
        return self._released_by if named else None

    def _since_it_went_back(
        self, last: LeaseRecord | None, record: LeaseRecord | None, now: float
    ) -> float | None:
        """Return when the Lease was seen to go back to an older record, as where etcd is restored
        from a backup; None if it did not, or is believed again. With a ttl of 10 s:

             1 s   version 70, transitions 5, timeline 3
             2 s   version 42, transitions 4, timeline 2   it has gone back: 2 s
             5 s   version 43, and else the same           still so
            13 s   version 47, and else the same           believed: None

        Its holder has renewed it for a ttl by then, and whoever knew better would have claimed it
        in that time, or has been stopped. If somebody takes it (a transition more) or leads (a
        newer timeline), it is believed at once.
        """
        if last is None or record is None or record.transitions > self._transitions:
            return None
        if self._is_mine_alone(last) and self._is_mine_alone(record):
            # Nobody can have taken it in between: the older record says all that there is to say.
            return None
        version, last_version = int(record.resource_version), int(last.resource_version)
        timeline, last_timeline = record.timeline or 0, last.timeline or 0
        if record.timeline is None:
            # An operator removes it where it asks for data that is lost (docs/limits.md).
            last_timeline = 0
        fewer_transitions = record.transitions < last.transitions
        if version < last_version or fewer_transitions or timeline < last_timeline:
            return now
        if record.transitions > last.transitions or timeline > last_timeline:
            return None
        since = self._went_back_at
        lasts = since is not None and now - since <= max(record.ttl, self._ttl)
        return since if lasts else None

    def _is_mine_alone(self, record: LeaseRecord) -> bool:
        """Tell whether this very pod holds it and is the only member, whatever has landed since."""
        said = (record.members, *(known.members for _, known in self._unanswered_renewals))
        return record.holder == self._me and {*said} == {(self._name,)}

    def answered(self, now: float) -> None:
        """The API server has answered, but told nothing newer of the Lease."""
        self._answered_at = now

    def _has_landed(self, record: LeaseRecord) -> bool:
        """Tell whether this record is a write of ours that got no answer, which it then proves.

        By the version alone somebody else may have changed the Lease. It counts as one that was
        answered does: from when it was sent.
        """
        found = next((write for write in self._sent if write.proof == self._proof), None)
        if found is None or record.holder != self._me or not _follows(record, found.base):
            return False
        self._note_renewal(max(self._renewed_at or found.sent_at, found.sent_at))
        return True

    def _note_renewal(self, sent_at: float) -> None:
        is_late = self._renewed_at is None or sent_at - self._renewed_at > self._ttl
        self._lapsed, self._takes = is_late and not self._takes, False
        self._renewed_at = sent_at
        self._sent.clear()

    # ── what is known ─────────────────────────────────────────────────────────────────────

    def look(self, heard_at: float) -> LeaseView | None:
        """Return the Lease as known now; what is written next acts on this record.

        `heard_at`: when the watch last said anything. None before the API server has answered once.
        """
        self._decided_on = self.peek(heard_at)
        return self._decided_on

    def peek(self, heard_at: float) -> LeaseView | None:
        """Return the same, and leave alone what the next write acts on."""
        heard_at = max(heard_at, self._answered_at)
        if self._view is not None and self._view.heard_at == heard_at:
            return self._view
        if self._heard_at + self._silence < heard_at and self._heard_at > float("-inf"):
            self._heard_again_at = heard_at
        self._heard_at = max(self._heard_at, heard_at)
        self._view = self._make_view(heard_at) if self._heard else None
        return self._view

    def _make_view(self, heard_at: float) -> LeaseView:
        version = _version(self._record)
        possible = [known for base, known in self._unanswered_renewals if base == version]
        return LeaseView(
            self._record,
            self._changed_at,
            renewed_at=self._renewed_at,
            lapsed=self._lapsed,
            renewal_seen=self._renewal_seen,
            taken_expired=self._taken_expired,
            handed_over_by=self._left_to_me_by(self._record) or self._handed_over_by,
            heard_at=heard_at,
            heard_again_at=self._heard_again_at,
            excused_at=self._excused_at,
            possible_members=tuple(sorted({name for it in possible for name in it.members})),
            possible_promises=tuple((known.voters, known.copies) for known in possible),
            uncertain_take=self._unanswered_take == version,
            taken_late=self._taken_late,
            released_after_fall=self._released_after_fall,
            went_back=self._went_back_at is not None,
        )

    def excuse(self, asked_at: float) -> None:
        """All members let this holder stay; `asked_at`: just before they were asked."""
        self._view = None
        self._excused_at = asked_at

    # ── what is to be written ─────────────────────────────────────────────────────────────

    def to_take(self, action: TakeLease, now: float) -> LeaseRecord:
        """Return the record that makes this member the holder. HeldError where another holds it.

        On the record that was decided on, not on a newer one: that may have a new holder by now.
        """
        view = self._decided_on
        record = view.record if view and view.record else LeaseRecord("", 0, "")
        held = view is not None and record.holder and now - view.changed_at <= record.ttl
        if view is not None and held and not view.went_back:
            raise HeldError(f"the Lease is held by {record.holder_pod}, and has not expired")
        self._view = self._excused_at = None
        # Before it is written: the answer may be lost, and the watch tell of the success.
        self._takes, self._taken_expired = True, action.expired
        self._handed_over_by = self._left_to_me_by(record)
        return replace(
            record,
            holder=self._me,
            ttl=self._ttl,
            # More than all others have seen, so that they believe it if the Lease went back.
            transitions=max(record.transitions, self._transitions) + 1,
            heir=None,
            voters=action.voters,
            copies=action.copies,
            # Another holder knew them; this one tells which it knows with its first renewal.
            lives=(),
        )

    def to_renew(self, known: RenewLease, since: str) -> LeaseRecord | None:
        """Return the record that says what is now known of the set; None where there is no Lease.

        `since`: RFC 3339, for the history. HeldError where another holds the Lease.
        """
        view = self._decided_on
        if view is None or view.record is None:
            return None
        last = view.record
        if last.holder != self._me:
            raise HeldError(f"the Lease is held by {last.holder_pod or 'nobody'}")
        self._takes = False
        history = last.history
        if known.timeline is not None and known.timeline != last.timeline:
            entry = Leadership(known.timeline, self._name, since)
            history = (*history, entry)[-HISTORY_LENGTH:]
        return replace(
            last,
            ttl=self._ttl,
            system_identifier=known.system_identifier,
            timeline=known.timeline,
            members=known.members,
            history=history,
            position=known.position,
            voters=known.voters,
            copies=known.copies,
            heir=known.heir,
            switchover_to=known.switchover_to,
            lives=known.lives,
            logical_slots=known.logical_slots,
            physical_slots=known.physical_slots,
            followers=known.followers,
        )

    def to_release(self, heir: str | None, lives: tuple[str, ...] = ()) -> LeaseRecord | None:
        """Return the record that gives the Lease up; None where this member doesn't hold it.

        `lives`: which pods the members are, the heir among them; empty where any pod of the heir's
        name is to take it.
        """
        view = self._decided_on
        if view is None or view.record is None or view.record.holder != self._me:
            return None
        # Before it is written: the answer may be lost, and the write land whenever it will. This
        # member acts as the holder again only after a renewal, beside which that cannot land.
        self._view = self._renewed_at = None
        return replace(view.record, holder="", heir=heir, lives=lives)

    # ── what came of it ───────────────────────────────────────────────────────────────────

    def sending(self, record: LeaseRecord, proof: Hashable, now: float) -> None:
        """A write is about to be sent; `proof`: its mark, by which a later record is told."""
        # Clocks can be set back to a time that was: what marks two writes proves neither.
        if proof != self._proof and all(write.proof != proof for write in self._sent):
            self._sent.append(_Write(record.resource_version, proof, now))

    def landed(self, sent_at: float) -> None:
        """A write was answered with success; `sent_at`: just before it was sent."""
        self._view = None
        self._note_renewal(sent_at)

    def released(self) -> None:
        """This member has given the Lease up."""
        self._view = None
        self._renewed_at = self._excused_at = None
        self._sent.clear()

    def take_unanswered(self, record: LeaseRecord) -> None:
        """A take of this record got no answer: it may have been done."""
        self._view = None
        self._unanswered_take = record.resource_version

    def renewal_unanswered(self, record: LeaseRecord, known: RenewLease) -> None:
        """A renewal got no answer: what it says of the set may be on record."""
        self._view = None
        base = record.resource_version
        # What is the same in another position is nothing else, and this may go on for long.
        said = replace(known, position=None)
        still = [entry for entry in self._unanswered_renewals if entry[0] == base]
        if (base, said) not in still:
            still.append((base, said))
        self._unanswered_renewals = still

    def may_recreate(self, record: LeaseRecord) -> bool:
        """Tell whether a Lease that is gone may be created as it was, where nobody else has.

        Its holder may: nobody else will take it for a ttl.
        """
        view = self._decided_on
        held = view.record.holder if view is not None and view.record is not None else ""
        return record.holder == held == self._me


def _version(record: LeaseRecord | None) -> str:
    return record.resource_version if record is not None else ""


def _follows(record: LeaseRecord, base: str) -> bool:
    return not base or int(record.resource_version) > int(base)


def _says_the_same(one: LeaseRecord | None, other: LeaseRecord | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(_substance(one) == _substance(other))
