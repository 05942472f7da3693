"""How this replica's upkeep goes, as a file that the webhook's /metrics passes on.

certs has no port: the webhook beside it is scraped already, and the two share a directory. So
there is no second port, no second scrape and no rule for it in a NetworkPolicy. What would
grow old in a file is given as a point in time, not as an age: if certs hangs, the expiry stays
true, and the last success shows the hang.
"""

from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from prometheus_client import CollectorRegistry, Counter, Gauge, write_to_textfile

from certs.authority import made_at
from certs.rotation import Served

METRICS_FILE: Final = "certs.prom"


class Metrics:
    """One process's metrics."""

    def __init__(self, directory: Path) -> None:
        """Take the directory that the webhook serves from."""
        self._path = directory / METRICS_FILE
        self._registry = CollectorRegistry()
        self._expiry = self._gauge(
            "pgset_certs_expiry_timestamp_seconds",
            "When what this replica serves expires: its CA (ca) and its certificate (leaf).",
            "certificate",
        )
        self._rotation = self._gauge(
            "pgset_certs_last_rotation_timestamp_seconds",
            "When the CA of the certificate that this replica serves was made.",
        )
        self._success = self._gauge(
            "pgset_certs_last_success_timestamp_seconds", "End of the last round without an error."
        )
        self._failures = Counter(
            "pgset_certs_failed_rounds", "Rounds of upkeep that failed.", registry=self._registry
        )

    def _gauge(self, name: str, says: str, *labels: str) -> Gauge:
        return Gauge(name, says, labels, registry=self._registry)

    def succeeded(self, now: datetime, served: Served | None) -> None:
        """Count a round without an error, after which this is served."""
        self._success.set(now.timestamp())
        if served is not None:
            self._note(served)

    def failed(self) -> None:
        """Count a round that has to be tried again."""
        self._failures.inc()

    def write(self) -> None:
        """Replace the file; OSError where that can't be done."""
        write_to_textfile(str(self._path), self._registry)

    def _note(self, served: Served) -> None:
        authority = x509.load_pem_x509_certificate(served.authority)
        leaf = x509.load_pem_x509_certificate(served.leaf.certificate)
        self._rotation.set(made_at(authority).timestamp())
        for name, certificate in (("ca", authority), ("leaf", leaf)):
            self._expiry.labels(name).set(certificate.not_valid_after_utc.timestamp())
