"""What is true of one observation, as the rows of `sidecar.table` ask for it: `s.lease.is_free`.

Everything here is a question with an answer: nothing is decided and nothing is done. The facts are
grouped by what they are about, a module each, and each group is built on those before it:
lease → data → bootstrap → server → pod → fitness → set → replica → election → handover →
durability → failover → opt_out → start.
"""

from sidecar.observation import Observation
from sidecar.settings import Settings
from sidecar.situation.bootstrap import BootstrapFacts
from sidecar.situation.cached import cached
from sidecar.situation.data import DataFacts
from sidecar.situation.durability import DurabilityFacts
from sidecar.situation.election import ElectionFacts
from sidecar.situation.failover import FailoverFacts
from sidecar.situation.fitness import FitnessFacts
from sidecar.situation.handover import HandoverFacts
from sidecar.situation.lease import LeaseFacts
from sidecar.situation.opt_out import OptOutFacts
from sidecar.situation.pod import PodFacts
from sidecar.situation.replica import ReplicaFacts
from sidecar.situation.server import ServerFacts
from sidecar.situation.set import SetFacts
from sidecar.situation.start import StartFacts


class Situation:
    """The facts of one observation. It never changes, so each fact is computed once at the most."""

    def __init__(self, observation: Observation, settings: Settings) -> None:
        """Build the groups that every decision needs; the others wait until they are asked for."""
        self.observation = observation
        self.settings = settings
        self.lease = lease = LeaseFacts(observation, settings)
        self.data = data = DataFacts(lease)
        self.bootstrap = bootstrap = BootstrapFacts(lease)
        self.server = ServerFacts(bootstrap, data)
        self.pod = PodFacts(lease)
        self.set = SetFacts(data)

    @cached
    def fitness(self) -> FitnessFacts:
        """Whether this member can do a primary's work."""
        return FitnessFacts(self.data, self.server, self.pod)

    @cached
    def replica(self) -> ReplicaFacts:
        """How this member follows its primary."""
        return ReplicaFacts(self.server, self.pod, self.set)

    @cached
    def election(self) -> ElectionFacts:
        """Who may lead, and who should."""
        return ElectionFacts(self.server, self.set)

    @cached
    def handover(self) -> HandoverFacts:
        """Whether this primary should hand over, and to which member."""
        return HandoverFacts(self.election, self.fitness, self.pod)

    @cached
    def durability(self) -> DurabilityFacts:
        """What commits wait for, and what the Lease promises of them."""
        return DurabilityFacts(self.election)

    @cached
    def failover(self) -> FailoverFacts:
        """Whether this member leads because an operator wants it, whatever is lost."""
        return FailoverFacts(self.durability, self.pod)

    @cached
    def opt_out(self) -> OptOutFacts:
        """How a set ends whose annotation was taken away."""
        return OptOutFacts(self.server, self.pod, self.set)

    @cached
    def start(self) -> StartFacts:
        """How PostgreSQL starts if a standby's start would refuse its settings."""
        return StartFacts(self.election, self.pod)
