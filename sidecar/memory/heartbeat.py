"""Another pod's heartbeat in the data directory: does that pod still write there? (Rule 8.)"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Beat:
    """What the heartbeat file says."""

    uid: str
    """Of the pod that has written it."""
    count: str
    """Another one with each beat."""
    generation: int | None = None
    """How many pods have taken the directory over, one from the other, up to this one. None: its
    sidecar is of an older version."""
    ttl: int = 0
    """Seconds without a renewal after which that pod's server is stopped. 0: its sidecar is of an
    older version."""


class HeartbeatMemory:
    """What was seen of the heartbeat file, which a pod that writes there changes all the time.

    Who takes a directory over counts on from who was there before. So of two pods that meet in one
    after a stall, the one that was there first knows that it has been replaced, and for good: its
    successor may have written since.
    """

    def __init__(self, uid: str, ttl: int) -> None:
        """`uid`: this pod's own. `ttl`: seconds without a beat after which another pod counts as
        gone, unless its own ttl is longer."""
        self._uid = uid
        self._ttl = ttl
        self.generation: int | None = None
        """This pod's own; None before it has the directory."""
        self._other_uid: str | None = None
        """The other pod that was seen last."""
        self._other_ttl = ttl
        """Seconds without a beat after which that one counts as gone."""
        self._newest = 0
        """The highest generation that was seen of another pod."""
        self._other_beat: tuple[Beat, float] | None = None
        """Its last beat, and since when nothing else was heard; None if it is gone."""
        self._doubted_until = float("-inf")
        """Until when it counts as a writer after a stall, in which nobody's beat came through."""

    def look(self, beat: Beat | None, now: float, *, started: bool, stalled: bool) -> str | None:
        """Return the UID of another pod that may still write there; None if there is none.

        `beat`: None where there is no file. `started`: PostgreSQL was told to start in this pod.
        `stalled`: the volume did not answer the look before. With a ttl of 10 s:

             0 s   beat 5 of pod old, generation 1         old
             8 s   beat 6 of old                           old
            18 s   beat 6 of old                           old
            19 s   beat 6 of old                           None: this pod has it, as generation 2
            20 s   beat 7 of old, which came late          None if `started`; else old, as at first
            30 s   beat 1 of pod new, generation 3         new, for ever
        """
        other = self._from_another(beat, started=started)
        if other is not None:
            self._other_uid = other.uid
            self._other_ttl = max(self._ttl, other.ttl)
            self._newest = max(self._newest, other.generation or 0)
        self._note_silence(other, now, stalled=stalled)
        if stalled and self._other_uid is not None and not started:
            # What has hung may come to pass after the stall: a beat of ours over the other's, too.
            self._doubted_until = now + self._other_ttl
        if self.is_foreign or now < self._doubted_until:
            return self._other_uid
        if self.generation is None:
            self.generation = self._newest + 1
        return None

    def _note_silence(self, other: Beat | None, now: float, *, stalled: bool) -> None:
        """Silence counts only while the volume answers: in a stall no beat comes through."""
        last = self._other_beat
        if other is None:
            self._other_beat = None
        elif last is None or last[0] != other or stalled:
            self._other_beat = (other, now)
        elif now - last[1] > self._other_ttl:
            self._other_beat = None

    def _from_another(self, beat: Beat | None, *, started: bool) -> Beat | None:
        """Return the beat if it is another pod's that counts."""
        if beat is None:
            return None
        if beat.uid == self._uid:
            if self.generation is None:
                # This sidecar was restarted.
                self.generation = beat.generation or 1
            return None
        if not started:
            return beat
        if self.generation is None:
            # Likewise, and where this pod had started PostgreSQL another one is at work.
            self.generation = 0
        # The last beat of a pod from which this one has taken the directory over may come late.
        is_former = beat.generation is not None and beat.generation < self.generation
        return None if is_former else beat

    @property
    def is_foreign(self) -> bool:
        """Whether the last beat was another's, and that pod is not known to be gone; or another pod
        has taken the directory over from this one."""
        replaced = self.generation is not None and self._newest > self.generation
        return self._other_beat is not None or replaced
