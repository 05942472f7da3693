"""What happened to whom, which explains for a while that a primary stops leading (I6)."""

from collections.abc import Iterable


class Excuses:
    """Until when the faults explain things; times are of the world's clock."""

    def __init__(self) -> None:
        self._pods: dict[str, float] = {}
        self._fault = -1.0
        """Of any fault but the API server's outage."""
        self._api = -1.0

    def pods(self, names: Iterable[str], until: float) -> None:
        """Something happens to these pods."""
        for name in names:
            self._pods[name] = max(self._pods.get(name, -1.0), until)

    def any_fault(self, until: float) -> None:
        """Something is wrong: the API server's outage is no longer all."""
        self._fault = max(self._fault, until)

    def api(self, until: float) -> None:
        """The API server is away, slow or refuses; alone, that is no reason to stop."""
        self._api = max(self._api, until)

    def explain(self, pod: str, now: float) -> bool:
        """Whether this pod may stop leading."""
        return now < self._pods.get(pod, -1.0) or (now < self._api and now < self._fault)
