"""What the upkeep tells, as a scraper reads it."""

from datetime import UTC, datetime, timedelta

from kubernetes import client
from prometheus_client.parser import text_string_to_metric_families

from certs.__main__ import checked
from certs.authority import make_leaf, service_names
from certs.ca_bundle import Registrations
from certs.files import Files
from certs.lifetimes import DEFAULT
from certs.metrics import METRICS_FILE, Metrics
from certs.renewal import Trust, renewed
from certs.rotation import served_of
from certs.secret_store import SecretStore
from certs.upkeep import Adapters, Upkeep
from tests.certs.api_server import CONFIGURATION, ApiServer, registration, serving

NAMES = service_names("pgset-webhook", "pgset-system")
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=100)


def told(directory):
    text = (directory / METRICS_FILE).read_text()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_a_round_tells_when_everything_ends_and_when_the_ca_came(tmp_path):
    trust, _ = renewed(None, NAMES, NOW)
    trust = Trust(trust.authority, make_leaf(trust.authority, NAMES, LATER))
    metrics = Metrics(tmp_path)
    metrics.succeeded(LATER, served_of(trust))
    metrics.write()
    assert told(tmp_path) == {
        ("pgset_certs_expiry_timestamp_seconds", "ca"): (NOW + DEFAULT.authority).timestamp(),
        ("pgset_certs_expiry_timestamp_seconds", "leaf"): (LATER + DEFAULT.leaf).timestamp(),
        ("pgset_certs_last_rotation_timestamp_seconds",): NOW.timestamp(),
        ("pgset_certs_last_success_timestamp_seconds",): LATER.timestamp(),
        ("pgset_certs_failed_rounds_total",): 0,
    }


def test_a_round_that_fails_is_counted_and_what_was_told_before_stays_told(tmp_path):
    api = ApiServer()
    api.objects[CONFIGURATION] = registration("pods.pgset.dev")
    metrics = Metrics(tmp_path)
    with serving(api) as api_client:
        adapters = Adapters(
            store=SecretStore(client.CoreV1Api(api_client), "pgset-system", "pgset-webhook-tls"),
            registrations=Registrations(client.AdmissionregistrationV1Api(api_client), "pgset"),
            files=Files(tmp_path),
            now=lambda: NOW,
        )
        upkeep = Upkeep(adapters, NAMES, DEFAULT)
        assert checked(upkeep, adapters, metrics) is True
        well = told(tmp_path)
        api.away = True
        assert checked(upkeep, adapters, metrics) is False
    failures = ("pgset_certs_failed_rounds_total",)
    assert told(tmp_path) == {**well, failures: well[failures] + 1}
