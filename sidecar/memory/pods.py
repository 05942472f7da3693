"""Since when the set's pods are being deleted, taken out of their Services by Kubernetes, or fenced
by an operator."""

from collections.abc import Iterable, Mapping


class _Wishes:
    """What an operator asks of pods by one annotation, once for each value.

    What is there at the first sight of a pod was answered by the sidecar before, or is about
    another time.
    """

    def __init__(self) -> None:
        self._asked: dict[str, str | None] = {}
        self._answered: dict[str, str | None] = {}

    def see(self, asked: Mapping[str, str | None]) -> None:
        """Take in the value of each pod, by UID; None where there is none."""
        self._asked = dict(asked)
        kept = {uid: self._answered.get(uid, value) for uid, value in asked.items()}
        # Once it was taken away, the same value asks again.
        self._answered = {uid: kept[uid] if value else None for uid, value in asked.items()}

    def of(self, uid: str) -> str | None:
        """Return the value, if it was not answered yet."""
        value = self._asked.get(uid)
        return None if value == self._answered.get(uid) else value

    def is_answered(self, uid: str, value: str) -> None:
        """What asked for it was refused."""
        self._answered[uid] = value


class PodsMemory:
    """Times on this member's clock: those of the API server are of another."""

    def __init__(self) -> None:
        """No pod was seen yet."""
        self._leaving: dict[str, float] = {}
        self._taken_out: dict[str, float] = {}
        self._unready: dict[str, float] = {}
        self._fenced: dict[str, float] = {}
        self._unfenced: dict[str, float] = {}
        self._reinit = _Wishes()
        self._failover = _Wishes()

    def see(
        self,
        *,
        leaving: Iterable[str],
        taken_out: Iterable[str],
        unready: Iterable[str],
        fenced: Iterable[str],
        reinit: Mapping[str, str | None],
        failover: Mapping[str, str | None],
        now: float,
    ) -> None:
        """Take in the UIDs of all pods that are being deleted, taken out, unready or fenced.

        `reinit`, `failover`: of every pod what asks for a new clone, or for it to lead; or None.
        """
        self._reinit.see(reinit)
        self._failover.see(failover)
        before, self._fenced = self._fenced, {uid: self._fenced.get(uid, now) for uid in fenced}
        unfenced = self._unfenced | dict.fromkeys(before, now)
        self._unfenced = {uid: at for uid, at in unfenced.items() if uid not in self._fenced}
        self._leaving = {uid: self._leaving.get(uid, now) for uid in leaving}
        self._taken_out = {uid: self._taken_out.get(uid, now) for uid in taken_out}
        self._unready = {uid: self._unready.get(uid, now) for uid in unready}

    def leaving_since(self, uid: str) -> float | None:
        """Return when this pod was first seen to be deleted; None while it is not."""
        return self._leaving.get(uid)

    def taken_out_since(self, uid: str) -> float | None:
        """Return when this pod was first seen to be taken out because of its node."""
        return self._taken_out.get(uid)

    def unready_since(self, uid: str) -> float | None:
        """Return when this pod was first seen not to be ready; None while it is."""
        return self._unready.get(uid)

    def fenced_since(self, uid: str) -> float | None:
        """Return when this pod was first seen to be fenced; None while it is not."""
        return self._fenced.get(uid)

    def unfenced_at(self, uid: str) -> float | None:
        """Return when this pod was seen to be fenced no more; None: it is, or never was."""
        return self._unfenced.get(uid)

    def reinit(self, uid: str) -> str | None:
        """Return what asks for a new clone of this pod's data, if it was not answered yet."""
        return self._reinit.of(uid)

    def reinit_is_answered(self, uid: str, value: str) -> None:
        """What asked for it was refused, or done."""
        self._reinit.is_answered(uid, value)

    def failover(self, uid: str) -> str | None:
        """Return what asks for this pod to lead, if it was not answered yet."""
        return self._failover.of(uid)

    def failover_is_answered(self, uid: str, value: str) -> None:
        """What asked for it was refused."""
        self._failover.is_answered(uid, value)
