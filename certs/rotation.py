"""The next step towards a CA that everybody trusts. Pure: values in, one step out.

The order is what keeps every call verified while a CA is replaced:

1. The new CA and its leaf are stored in the Secret; nobody serves them yet.
2. The new CA is written into every caBundle, beside the old one.
3. A replica reads the caBundles back, gives the API servers the time to act on them, and writes
   the new leaf into the Secret that the webhook's pods serve from. The kubelets bring it there in
   their own time; until then a pod serves the old one.
4. Once the overlap is over, the old CA is taken out of the caBundles.

There is no record of where a rotation stands: each replica decides from what it sees, does
one step and looks again. So any replica may do a step, do it twice, or crash right after it.
Three rules make it safe with any number of replicas:

* What is written is bound to the version that was read.
* A CA is only ever added to a caBundle, unless a replica has seen the same CA in both Secrets
  and the same caBundles for a whole overlap. So nobody takes anything away because of what it
  read long ago, or while a pod may still serve a leaf of before; and a replica that finds the CA of
  the leaf that is served missing adds it back.
* Each replica measures that time itself, and not by the wall clock. A new process begins at
  0, and so does one whose round has failed: the others may have been as blind.

Where the CA itself has expired, nothing is worth a wait: the new leaf is served as soon as the
caBundles are seen to hold its CA. An expired leaf alone says less (it may be this node's clock
that is ahead), and its successor is of the same CA anyway. Nor is there a wait while the
caBundles hold no other CA, as when a replica starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from certs.authority import UNREADABLE, Pair
from certs.lifetimes import Lifetimes
from certs.renewal import Trust, authority_fault, has_ended, renewed

Authorities = frozenset[x509.Certificate]


@dataclass(frozen=True, slots=True)
class Served:
    """What the webhook's pods serve, or soon will, and the CA (PEM) that signed it.

    Either may be of another round than the other, or broken: somebody else may have written it.
    """

    authority: bytes
    leaf: Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """All that one replica sees at one moment."""

    stored: Trust | None
    """What the Secret holds; None where there is none or a key of it is missing."""

    held: Trust | None
    """What this process has last known the Secret to hold."""

    bundles: tuple[Authorities, ...]
    """Of every webhook in the registrations; empty where one can't be read."""

    served: Served | None
    """None while there is nothing to serve."""

    steady_for: timedelta
    """How long this process has seen the same CA in both Secrets and the same caBundles."""

    now: datetime
    """Timezone-aware, from the wall clock: that is what callers verify by."""


@dataclass(frozen=True, slots=True)
class Store:
    """Write the Secret."""

    trust: Trust
    reason: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Make every caBundle hold these CAs and no other."""

    authorities: Authorities


@dataclass(frozen=True, slots=True)
class Serve:
    """Write the Secret that the webhook's pods serve from."""

    trust: Trust


Step = Store | Publish | Serve


def decide(seen: Observation, names: Sequence[str], lifetimes: Lifetimes) -> Step | None:
    """Return the next step for DNS `names`; None if there is nothing to do now."""
    trust, reason = renewed(_base(seen), names, seen.now, lifetimes, _known(seen))
    if trust != seen.stored:
        return Store(trust, reason or "the Secret had lost what this replica knows")
    authorities = _wanted(seen, trust, lifetimes)
    if any(bundle != authorities for bundle in seen.bundles):
        return Publish(authorities)
    if seen.served == served_of(trust) or _is_early(seen, trust, lifetimes):
        return None
    return Serve(trust)


def served_of(trust: Trust) -> Served:
    """Return what is served once this trust is adopted."""
    return Served(trust.authority.certificate, trust.leaf)


def _base(seen: Observation) -> Trust | None:
    """What to go on from: a lost or broken Secret is restored, which changes nobody's trust."""
    usable = (it for it in (seen.stored, seen.held) if not authority_fault(it, seen.now))
    return next(usable, seen.stored)


def _wanted(seen: Observation, trust: Trust, lifetimes: Lifetimes) -> Authorities:
    needed = authorities_in(trust.authority.certificate) | _served(seen)
    return needed if seen.steady_for >= lifetimes.overlap else needed.union(*seen.bundles)


def _known(seen: Observation) -> Authorities:
    return _served(seen).union(*seen.bundles)


def _served(seen: Observation) -> Authorities:
    return authorities_in(seen.served.authority) if seen.served is not None else frozenset()


def _is_early(seen: Observation, trust: Trust, lifetimes: Lifetimes) -> bool:
    """Whether an API server may not know the new leaf's CA yet, and waiting helps."""
    if seen.steady_for >= lifetimes.settle or not any(len(it) > 1 for it in seen.bundles):
        return False
    if seen.served is None:
        return True
    is_known = seen.served.authority == trust.authority.certificate
    return not is_known and not has_ended(seen.served.authority, seen.now)


def authorities_in(pem: bytes) -> Authorities:
    """Return the certificates of a PEM bundle; none where it can't be read."""
    try:
        return frozenset(x509.load_pem_x509_certificates(pem))
    except UNREADABLE:
        return frozenset()
