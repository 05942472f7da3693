"""Since when the set's pods are being deleted, or taken out of their Services by Kubernetes."""

from collections.abc import Iterable


class PodsMemory:
    """Times on this member's clock: those of the API server are of another."""

    def __init__(self) -> None:
        """No pod was seen yet."""
        self._leaving: dict[str, float] = {}
        self._taken_out: dict[str, float] = {}

    def see(self, leaving: Iterable[str], taken_out: Iterable[str], now: float) -> None:
        """Take in the UIDs of all pods that are being deleted, and of all that are taken out."""
        self._leaving = {uid: self._leaving.get(uid, now) for uid in leaving}
        self._taken_out = {uid: self._taken_out.get(uid, now) for uid in taken_out}

    def leaving_since(self, uid: str) -> float | None:
        """Return when this pod was first seen to be deleted; None while it is not."""
        return self._leaving.get(uid)

    def taken_out_since(self, uid: str) -> float | None:
        """Return when this pod was first seen to be taken out because of its node."""
        return self._taken_out.get(uid)
