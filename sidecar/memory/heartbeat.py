"""Another pod's heartbeat in the data directory: does that pod still write there? (Rule 8.)"""


class Heartbeat:
    """What was seen of the heartbeat file, which a pod that writes there changes all the time."""

    def __init__(self, uid: str, silence: float) -> None:
        """`uid`: this pod's own. `silence`: seconds after which another pod counts as gone."""
        self._uid = uid
        self._silence = silence
        self._foreign: tuple[object, float] | None = None
        """The other's last beat, and when it was first seen."""
        self._stranger: str | None = None
        """The other pod that was seen last."""
        self._doubted_until = float("-inf")
        """Until when it counts as a writer after a stall, in which nobody's beat came through."""

    def look(
        self, beat: tuple[str, object] | None, now: float, *, started: bool, stalled: bool
    ) -> str | None:
        """Return the UID of another pod that may still write there; None if there is none.

        `beat`: the UID in the file and what changes with each beat; None where there is no file.
        `started`: PostgreSQL was told to start in this pod. `stalled`: the volume did not answer
        the look before. Silence counts while it answers: in a stall no beat comes through, and what
        has hung may come to pass after it, a beat of ours as well.
        """
        foreign = beat if beat is not None and beat[0] != self._uid else None
        if foreign is not None:
            self._stranger = foreign[0]
        if stalled and self._stranger is not None and not started:
            self._doubted_until = now + self._silence
        if foreign is None:
            self._foreign = None
        elif self._foreign is None or self._foreign[0] != foreign or stalled:
            self._foreign = (foreign, now)
        elif now - self._foreign[1] > self._silence:
            self._foreign = None
        if self._foreign is not None:
            return self._stranger
        return self._stranger if now < self._doubted_until else None

    @property
    def is_foreign(self) -> bool:
        """Whether the last beat was another's, and that pod is not known to be gone."""
        return self._foreign is not None
