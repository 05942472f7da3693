"""The serving certificate in /metrics: what this process serves."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from webhook.tls import ServingCertificate


class CertificateMetrics(Collector):
    """Collected at every scrape."""

    def __init__(self, certificate: ServingCertificate) -> None:
        """Take what is served."""
        self._certificate = certificate

    def collect(self) -> Iterator[Metric]:
        """Yield when it expires, and how often it could not be read."""
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
