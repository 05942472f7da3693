"""The bootstrap container: whether it still works, and what it has failed at."""

from sidecar.situation.lease import LeaseFacts
from sidecar.situation.timing import REFUSALS_IN_PASSING, seconds_before_retry


class BootstrapFacts:
    """Facts about the bootstrap container and the orders that it gets."""

    is_running: bool
    """PostgreSQL has not been started yet."""

    def __init__(self, lease: LeaseFacts) -> None:
        """Build on the Lease."""
        self.observation = observation = lease.observation
        self.lease = lease
        self.is_running = observation.bootstrap.running

    @property
    def retry_pause(self) -> float:
        """Seconds from the last failure of an order to bootstrap until it is given again."""
        failures = self.observation.bootstrap.failures
        if failures is None:
            return 0.0
        return seconds_before_retry(failures.number, refused=failures.refused)

    @property
    def retry_in(self) -> float:
        """Seconds until the order that has failed may be given again; 0 if it may be now."""
        failures = self.observation.bootstrap.failures
        if failures is None:
            return 0.0
        return max(0.0, failures.at + self.retry_pause - self.observation.now)

    def must_wait_to(self, verb: str) -> bool:
        """Whether this very order has just failed. From another holder it is not the same order."""
        failures = self.observation.bootstrap.failures
        if failures is None or failures.verb != verb or self.retry_in <= 0:
            return False
        holder = self.lease.record.holder if self.lease.record else ""
        return failures.holder in ("", holder)

    def has_failed_to(self, verb: str) -> bool:
        """The same, if it is worth an Event: not a primary that only needs a moment."""
        failures = self.observation.bootstrap.failures
        in_passing = failures and failures.refused and failures.number <= REFUSALS_IN_PASSING
        return self.must_wait_to(verb) and not in_passing

    @property
    def start_fails(self) -> bool:
        """PostgreSQL was not even started at the last try: a full volume, for one."""
        failures = self.observation.bootstrap.failures
        return failures is not None and failures.verb in ("start", "start-writable")

    @property
    def lease_runs_out(self) -> str:
        """For messages: what a holder whose start fails does about its Lease."""
        return ", and this pod lets its Lease run out meanwhile" if self.lease.names_me else ""

    @property
    def times_failed(self) -> str:
        """For messages: how often the last order has failed."""
        failures = self.observation.bootstrap.failures
        number = failures.number if failures else 0
        return "once" if number == 1 else f"{number} times in a row"

    @property
    def why_it_failed(self) -> str:
        """For messages: how the last order failed."""
        failures = self.observation.bootstrap.failures
        return failures.why if failures else ""

    @property
    def next_return_is_for_a_clone(self) -> bool:
        """One return to bootstrap was in vain already. Never for a second clone: it would take the
        place of the data directory that the first one has kept."""
        return self.observation.bootstrap.returns == 1

    @property
    def next_return_is_to(self) -> str:
        """For messages: what bootstrap is to do when this pod comes back."""
        if self.next_return_is_for_a_clone:
            return "clone it again, since nothing else has helped"
        if self.observation.bootstrap.returns:
            return "try once more, although a new clone has not helped: see PostgreSQL's own log"
        return "rewind it if necessary"
