"""Since when the set's pods are being deleted, taken out of their Services by Kubernetes, or fenced
by an operator."""

from collections.abc import Iterable, Mapping


class PodsMemory:
    """Times on this member's clock: those of the API server are of another."""

    def __init__(self) -> None:
        """No pod was seen yet."""
        self._leaving: dict[str, float] = {}
        self._taken_out: dict[str, float] = {}
        self._fenced: dict[str, float] = {}
        self._unfenced: dict[str, float] = {}
        self._reinit: dict[str, str | None] = {}
        self._answered: dict[str, str | None] = {}

    def see(
        self,
        leaving: Iterable[str],
        taken_out: Iterable[str],
        fenced: Iterable[str],
        reinit: Mapping[str, str | None],
        now: float,
    ) -> None:
        """Take in the UIDs of all pods that are being deleted, taken out or fenced.

        `reinit`: of every pod what asks for a new clone, or None. What is there at the first sight
        of a pod was answered by the sidecar before, or is about another time.
        """
        self._reinit = dict(reinit)
        kept = {uid: self._answered.get(uid, value) for uid, value in reinit.items()}
        # Once it was taken away, the same value asks again.
        self._answered = {uid: kept[uid] if value else None for uid, value in reinit.items()}
        before, self._fenced = self._fenced, {uid: self._fenced.get(uid, now) for uid in fenced}
        unfenced = self._unfenced | dict.fromkeys(before, now)
        self._unfenced = {uid: at for uid, at in unfenced.items() if uid not in self._fenced}
        self._leaving = {uid: self._leaving.get(uid, now) for uid in leaving}
        self._taken_out = {uid: self._taken_out.get(uid, now) for uid in taken_out}

    def leaving_since(self, uid: str) -> float | None:
        """Return when this pod was first seen to be deleted; None while it is not."""
        return self._leaving.get(uid)

    def taken_out_since(self, uid: str) -> float | None:
        """Return when this pod was first seen to be taken out because of its node."""
        return self._taken_out.get(uid)

    def fenced_since(self, uid: str) -> float | None:
        """Return when this pod was first seen to be fenced; None while it is not."""
        return self._fenced.get(uid)

    def unfenced_at(self, uid: str) -> float | None:
        """Return when this pod was seen to be fenced no more; None: it is, or never was."""
        return self._unfenced.get(uid)

    def reinit(self, uid: str) -> str | None:
        """Return what asks for a new clone of this pod's data, if it was not answered yet."""
        value = self._reinit.get(uid)
        return None if value == self._answered.get(uid) else value

    def reinit_is_answered(self, uid: str, value: str) -> None:
        """What asked for it was refused."""
        self._answered[uid] = value
