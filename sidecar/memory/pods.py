"""Since when the set's pods are being deleted, taken out of their Services by Kubernetes, or fenced
by an operator."""

from collections.abc import Iterable


class PodsMemory:
    """Times on this member's clock: those of the API server are of another."""

    def __init__(self) -> None:
        """No pod was seen yet."""
        self._leaving: dict[str, float] = {}
        self._taken_out: dict[str, float] = {}
        self._fenced: dict[str, float] = {}
        self._unfenced: dict[str, float] = {}

    def see(
        self, leaving: Iterable[str], taken_out: Iterable[str], fenced: Iterable[str], now: float
    ) -> None:
        """Take in the UIDs of all pods that are being deleted, taken out or fenced."""
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
