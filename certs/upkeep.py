"""One replica's upkeep: look, decide, do one step, look again, until there is nothing to do."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from certs.ca_bundle import Registered, Registrations
from certs.lifetimes import Lifetimes
from certs.renewal import Trust, authority_fault
from certs.rotation import Observation, Publish, Serve, Step, Store, decide
from certs.secret_store import SecretStore, Stored
from certs.serving_secret import Serving, ServingSecret
from certs.writes import ReadAgainError

STEPS: Final = 20
"""A first start takes three; the others are for when others write at the same time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """What a replica sees and changes, and its clocks."""

    store: SecretStore
    registrations: Registrations
    serving: ServingSecret
    now: Callable[[], datetime]
    """The wall clock, timezone-aware."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds."""


@dataclass(frozen=True, slots=True)
class _Look:
    """An observation, and the versions that what follows from it is bound to."""

    seen: Observation
    stored: Stored | None
    serving: Serving | None
    registered: Registered | None


class Upkeep:
    """Keeps the webhook's certificates; `check` is called at start, then repeatedly."""

    def __init__(self, adapters: Adapters, names: Sequence[str], lifetimes: Lifetimes) -> None:
        """Take the adapters, the DNS names to be served under, and the times."""
        self._adapters = adapters
        self._names = names
        self._lifetimes = lifetimes
        self._held: Trust | None = None
        self._view: object = None
        self._since = 0.0

    def check(self) -> bool:
        """Do one round; return whether there were registrations that could get the CA.

        Raises ApiException, ReadAgainError or OSError if it has to be tried again later.
        """
        try:
            return self._round()
        except BaseException:
            # If the API server is away, it is away for the others too: they will not have picked up
            # a new CA either.
            self._view = None
            raise

    def _round(self) -> bool:
        for _ in range(STEPS):
            look = self._look()
            step = decide(look.seen, self._names, self._lifetimes)
            if step is None:
                if look.registered is None:
                    _log.warning(
                        "there is no MutatingWebhookConfiguration yet, so nothing trusts the CA"
                    )
                return look.registered is not None
            try:
                self._take(step, look)
            except ReadAgainError as error:
                _log.info("%s", error)
        raise ReadAgainError(f"somebody else wrote first {STEPS} times in a row")

    def _look(self) -> _Look:
        registered = self._adapters.registrations.read()
        stored = self._adapters.store.read()
        serving = self._adapters.serving.read()
        bundles = tuple(registered.bundles.values()) if registered is not None else ()
        trust = stored.trust if stored is not None else None
        served = serving.served if serving is not None else None
        now = self._adapters.now()
        authorities = (trust and trust.authority.certificate, served and served.authority)
        seen = Observation(
            stored=trust,
            held=self._held,
            bundles=bundles,
            served=served,
            steady_for=self._steady_for((authorities, bundles)),
            now=now,
        )
        if not authority_fault(trust, now):
            self._held = trust
        return _Look(seen, stored, serving, registered)

    def _steady_for(self, view: object) -> timedelta:
        monotonic = self._adapters.monotonic()
        if view != self._view:
            self._view, self._since = view, monotonic
        return timedelta(seconds=monotonic - self._since)

    def _take(self, step: Step, look: _Look) -> None:
        match step:
            case Store(trust, reason):
                self._store(trust, look.stored)
                _log.info("stored the trust: %s", reason)
            case Publish(authorities):
                assert look.registered is not None  # noqa: S101 - there is no bundle without
                self._adapters.registrations.publish(authorities, look.registered)
                _log.info("every caBundle now holds %d CA(s)", len(authorities))
            case Serve(trust):
                self._adapters.serving.write(trust, look.serving)
                _log.info("wrote the certificate that is served")

    def _store(self, trust: Trust, read: Stored | None) -> None:
        if read is None:
            self._adapters.store.create(trust)
        else:
            self._adapters.store.replace(trust, read)
