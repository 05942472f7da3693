"""One round of upkeep: the Secret is good, the registrations trust it, the files hold it."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from kubernetes import client

from certs import ca_bundle, files
from certs.ca_bundle import NotRegisteredError
from certs.renewal import Trust, authority_fault, renewed
from certs.secret_store import ReadAgainError, SecretStore

ATTEMPTS: Final = 10
"""How often a round begins anew when others write at the same time."""

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class Upkeep:
    """Keeps one webhook replica's trust; `check` is called at start and again and again."""

    def __init__(
        self,
        *,
        store: SecretStore,
        registrations: client.AdmissionregistrationV1Api,
        configuration: str,
        names: Sequence[str],
        directory: Path,
        now: Callable[[], datetime],
    ) -> None:
        """Take where the trust is kept, who has to know the CA, and where the files go."""
        self._store = store
        self._registrations = registrations
        self._configuration = configuration
        self._names = names
        self._directory = directory
        self._now = now
        self._held: Trust | None = None

    def check(self) -> bool:
        """Do one round; return whether the registrations were there to be told of the CA.

        The registrations come before the files: a certificate is served only once those who
        call can verify it. Raises ApiException or ReadAgainError where it has to be tried later.
        """
        held = self._held = _while_others_write(self._store_once)
        registered = _while_others_write(lambda: self._publish(held))
        changed = files.write(self._directory, self._held)
        if changed:
            _log.info("wrote %s", ", ".join(changed))
        return registered

    def _store_once(self) -> Trust:
        stored = self._store.read()
        present = stored.trust if stored is not None else None
        base = present if self._usable(present) else self._held
        trust, reason = renewed(base, self._names, self._now())
        if trust == present:
            return trust
        if stored is None:
            self._store.create(trust)
        else:
            self._store.replace(trust, stored)
        _log.info("stored the trust: %s", reason or "the Secret had lost what this replica serves")
        return trust

    def _usable(self, trust: Trust | None) -> bool:
        """Whether the CA is; where it isn't, the one that this replica serves with is put back.

        A deleted Secret thus changes nobody's trust, and no call fails for it.
        """
        return not authority_fault(trust, self._now())

    def _publish(self, trust: Trust) -> bool:
        try:
            changed = ca_bundle.publish(
                self._registrations, self._configuration, trust.authority.certificate
            )
        except NotRegisteredError as error:
            _log.warning("%s", error)
            return False
        if changed:
            _log.info("caBundle written into %s", ", ".join(changed))
        return True


def _while_others_write(step: Callable[[], Result]) -> Result:
    """Do a step that reads, decides and writes, anew for as long as another writes in between."""
    for _ in range(ATTEMPTS):
        try:
            return step()
        except ReadAgainError as error:
            _log.info("%s", error)
    raise ReadAgainError(f"others kept writing in {ATTEMPTS} attempts")
