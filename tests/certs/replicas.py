"""Replicas of the real `Upkeep` on an API server of values, moved on one call at a time.

Every call to the API server is a place where a replica may be held up for a while, or crash. What
the API server does about versions is real; reads may show what was there a moment ago, the API
servers that call the webhook act on a changed caBundle only a moment later, and a webhook may serve
what the Secret held until a kubelet has brought the next.
"""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from certs.authority import service_names
from certs.ca_bundle import Registered
from certs.lifetimes import Lifetimes
from certs.renewal import Trust
from certs.rotation import Authorities, Served, served_of
from certs.secret_store import Stored
from certs.serving_secret import Serving
from certs.upkeep import Adapters, Upkeep
from certs.writes import ReadAgainError

LIFETIMES = Lifetimes(
    authority=timedelta(seconds=15000),
    leaf=timedelta(seconds=3000),
    overlap=timedelta(seconds=300),
    settle=timedelta(seconds=5),
    delivery=timedelta(seconds=90),
    interval=timedelta(seconds=10),
)
LAG = 4.0
"""Seconds, less than it takes to settle: how old the caBundle is that an API server goes by."""
DELIVERY = 90.0
"""Seconds: for how long a webhook may serve what has been replaced."""
STALE = 30.0
"""Seconds: how old an answer to a read may be."""
BUSY, CALM = 70.0, 30.0
"""Seconds: a replica may be held up, crash and be deceived for so long; then it is well for a
while, or it would be one that the API server can't call either. Less than the overlap."""

NAMES = service_names("pgset-webhook", "pgset-system")
WEBHOOKS = ("statefulsets.pgset.dev", "pods.pgset.dev")
START = datetime(2026, 5, 4, 12, tzinfo=UTC)


class CrashError(BaseException):
    """The process ends here."""


@dataclass
class Clock:
    monotonic: float = 0.0
    stepped: timedelta = timedelta()
    moves: int = 0
    """Of all replicas: what comes first, where no time passes in between."""

    def wall(self) -> datetime:
        return START + self.stepped + timedelta(seconds=self.monotonic)


class Versioned:
    """One object: what it has been, and since when. None is an object that isn't there."""

    def __init__(self, clock: Clock, value: Any) -> None:
        self._clock = clock
        self.history = [(clock.monotonic, value)]

    @property
    def value(self) -> Any:
        return self.history[-1][1]

    @property
    def version(self) -> str:
        return str(len(self.history))

    def write(self, value: Any) -> None:
        self.history.append((self._clock.monotonic, value))

    def seen(self, age: float) -> tuple[Any, str]:
        """Return the value of `age` seconds ago, and its version."""
        moment = self._clock.monotonic - age
        known = [index for index, (since, _) in enumerate(self.history) if since <= moment]
        index = known[-1] if known else 0
        return self.history[index][1], str(index + 1)

    def in_force(self, age: float) -> list[Any]:
        """Return every value that someone may go by who is up to `age` seconds behind."""
        _, oldest = self.seen(age)
        return [value for _, value in self.history[int(oldest) - 1 :]]


@dataclass
class Server:
    """The Secrets and the registrations of one cluster."""

    clock: Clock
    is_away: bool = False
    secret: Versioned = field(init=False)
    serving: Versioned = field(init=False)
    mounted: Versioned = field(init=False)
    """What of `serving` a webhook takes: a pair that doesn't fit leaves the last one in service."""
    bundles: Versioned = field(init=False)

    def __post_init__(self) -> None:
        self.secret = Versioned(self.clock, None)
        self.serving = Versioned(self.clock, None)
        self.mounted = Versioned(self.clock, None)
        self.bundles = Versioned(self.clock, dict.fromkeys(WEBHOOKS, frozenset()))


class Replica:
    """One certs process, which may crash."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.clock = server.clock
        self.looked_at = self.clock.moves
        """The move at which the last round began that ended well."""
        self.stale = 0.0
        self.ahead = timedelta()
        """How much later it is by this node's clock than by those of the API servers."""
        self._thread: threading.Thread | None = None
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._crashing = False
        self._failure: BaseException | None = None
        self._begin_process()

    # ── From outside ──────────────────────────────────────────────────────────────────────

    def move(self, stale: float = 0.0) -> None:
        """Go on to the next call; what is read in this one is up to `stale` seconds old."""
        self.stale = stale
        self.clock.moves += 1
        if self._thread is None:
            self._thread = threading.Thread(target=self._run_round, daemon=True)
            self._thread.start()
        self._turn.release()
        self._back.acquire()
        if self._failure is not None:
            raise self._failure

    def crash(self) -> None:
        """End the process where it is, and start a new one."""
        if self._thread is not None:
            self._crashing = True
            self.move()
            self._crashing = False
        self._begin_process()

    def end_round(self) -> None:
        """Go on until a round that began from now on has ended well."""
        began = self.clock.moves
        while self.looked_at <= began:
            self.move()

    def fail(self) -> None:
        """Go on until a round has failed: the API server is away."""
        self.move()
        while self._thread is not None:
            self.move()

    # ── The process ───────────────────────────────────────────────────────────────────────

    def _begin_process(self) -> None:
        adapters = Adapters(
            store=self,
            registrations=_Registrations(self),
            serving=_ServingSecret(self),
            now=lambda: self.clock.wall() + self.ahead,
            monotonic=lambda: self.clock.monotonic,
        )
        self._upkeep = Upkeep(adapters, NAMES, LIFETIMES)

    def _run_round(self) -> None:
        self._turn.acquire()
        began = self.clock.moves
        try:
            self._upkeep.check()
            self.looked_at = began
        except (ReadAgainError, CrashError, OSError):
            pass
        except BaseException as failure:
            self._failure = failure
        self._thread = None
        self._back.release()

    def pause(self) -> None:
        """Hold the process up, until it is moved on."""
        self._back.release()
        self._turn.acquire()
        if self._crashing:
            raise CrashError
        if self.server.is_away:
            raise ConnectionRefusedError

    # ── What it does to the Secret (its `store`) ──────────────────────────────────────────

    def read(self) -> Stored | None:
        self.pause()
        trust, version = self.server.secret.seen(self.stale)
        return None if trust is None else Stored(trust, version)

    def create(self, trust: Trust) -> None:
        self.pause()
        if self.server.secret.value is not None:
            raise ReadAgainError("there is one by now")
        self.server.secret.write(trust)

    def replace(self, trust: Trust, read: Stored) -> None:
        self.pause()
        if self.server.secret.value is None or self.server.secret.version != read.resource_version:
            raise ReadAgainError("changed meanwhile")
        self.server.secret.write(trust)


@dataclass
class _Registrations:
    replica: Replica

    def read(self) -> Registered | None:
        self.replica.pause()
        return Registered(*self.replica.server.bundles.seen(self.replica.stale))

    def publish(self, authorities: Authorities, read: Registered) -> None:
        self.replica.pause()
        bundles = self.replica.server.bundles
        if bundles.version != read.resource_version:
            raise ReadAgainError("changed meanwhile")
        bundles.write(dict.fromkeys(WEBHOOKS, authorities))


@dataclass
class _ServingSecret:
    replica: Replica

    def read(self) -> Serving | None:
        self.replica.pause()
        served, version = self.replica.server.serving.seen(self.replica.stale)
        return None if served is None else Serving(served, version)

    def write(self, trust: Trust, read: Serving | None) -> None:
        self.replica.pause()
        server = self.replica.server
        version = server.serving.version if server.serving.value is not None else None
        if version != (read and read.resource_version):
            raise ReadAgainError("changed meanwhile")
        server.serving.write(served_of(trust))
        server.mounted.write(served_of(trust))


def refusals(server: Server) -> set[str]:
    """Say why who goes by one of the caBundles in force refuses what may be served."""
    bundles = {bundle for it in server.bundles.in_force(LAG) for bundle in it.values()}
    served = set(server.mounted.in_force(DELIVERY)) - {None}
    now = server.clock.wall()
    return {refusal(it, bundle, now) for it in served for bundle in bundles} - {""}


def refusal(served: Served, bundle: Authorities, now: datetime) -> str:
    """Say why someone who trusts the bundle refuses what is served; empty where they don't."""
    leaf = _certificate(served.leaf.certificate)
    signers = [authority for authority in bundle if _signs(authority, leaf)]
    if not signers:
        return "the caBundle does not hold the CA"
    for certificate in (leaf, *signers):
        if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
            return "a certificate is out of its time"
    return ""


@cache
def _certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


@cache
def _signs(authority: x509.Certificate, leaf: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, InvalidSignature):
        return False
    return True
