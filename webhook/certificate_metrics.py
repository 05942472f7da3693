"""The serving certificate in /metrics: what this process serves, and what certs reports.

certs has no port of its own. It leaves its metrics as a file beside the certificate; with
cert-manager in its place there is none.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from webhook.tls import ServingCertificate

CERTS_FILE: Final = "certs.prom"

_log = logging.getLogger(__name__)


class CertificateMetrics(Collector):
    """Collected at every scrape."""

    def __init__(self, certificate: ServingCertificate, directory: Path) -> None:
        """Take what is served, and the directory that it comes from."""
        self._certificate = certificate
        self._certs = directory / CERTS_FILE

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of this process, then those of certs."""
        yield GaugeMetricFamily(
            "pgset_serving_certificate_expiry_timestamp_seconds",
            "When the certificate that this process serves expires; 0 while it has none.",
            self._certificate.expiry,
        )
        yield CounterMetricFamily(
            "pgset_serving_certificate_reload_errors",
            "How often the files could not be read and the last good pair stayed in service.",
            self._certificate.reload_errors,
        )
        yield from self._of_certs()

    def _of_certs(self) -> list[Metric]:
        try:
            return list(text_string_to_metric_families(self._certs.read_text()))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            _log.warning("cannot read the metrics of certs: %s", error)
            return []
