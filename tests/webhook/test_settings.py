from pathlib import Path

import pytest

from webhook import logs
from webhook.settings import InvalidEnvironmentError, WebhookSettings, log_level, port, probes_port

DEPLOYED = {"PGSET_POD_NAME": "pgset-webhook-0", "PGSET_POD_NAMESPACE": "pgset-system"}


def test_the_deployments_environment_is_read():
    assert WebhookSettings.from_environment(DEPLOYED) == WebhookSettings(
        pod_name="pgset-webhook-0",
        pod_namespace="pgset-system",
        tls_directory=Path("/etc/pgset/tls"),
    )


def test_the_tls_directory_can_be_another():
    settings = WebhookSettings.from_environment({**DEPLOYED, "PGSET_TLS_DIRECTORY": "/run/tls"})
    assert settings.tls_directory == Path("/run/tls")


@pytest.mark.parametrize("name", DEPLOYED)
def test_what_is_missing_is_named(name):
    with pytest.raises(InvalidEnvironmentError) as error:
        WebhookSettings.from_environment({**DEPLOYED, name: ""})
    assert f"env {name} is missing: the Deployment sets it by the downward API" == str(error.value)


def test_the_port_can_be_another():
    assert port({}) == 8443
    assert port({"PGSET_PORT": "10260"}) == 10260
    assert probes_port({}) == 8081
    assert probes_port({"PGSET_PROBES_PORT": "10261"}) == 10261


def test_the_kubelet_is_answered_on_another_port_than_the_api_servers():
    with pytest.raises(InvalidEnvironmentError) as error:
        probes_port({"PGSET_PORT": "8081"})
    assert (
        str(error.value) == 'env PGSET_PROBES_PORT: "8081" is not allowed: it is that of PGSET_PORT'
    )


@pytest.mark.parametrize("text", ["", "443", "65536", "https", "-1", "²"])
def test_a_port_that_cannot_be_listened_on_is_named(text):
    with pytest.raises(InvalidEnvironmentError) as error:
        port({"PGSET_PORT": text})
    assert str(error.value) == f'env PGSET_PORT: "{text}" is not allowed; allowed: 1024 to 65535'


def test_the_sidecars_resources_can_be_chosen_for_the_whole_installation():
    chosen = {**DEPLOYED, "PGSET_SIDECAR_RESOURCES": "requests.cpu=100m, limits.cpu=1"}
    resources = WebhookSettings.from_environment(chosen).sidecar_resources
    assert resources == {"requests.cpu": "100m", "limits.cpu": "1"}


def test_resources_that_cannot_be_read_are_named():
    with pytest.raises(InvalidEnvironmentError) as error:
        WebhookSettings.from_environment({**DEPLOYED, "PGSET_SIDECAR_RESOURCES": "cpu=1"})
    assert str(error.value).startswith('env PGSET_SIDECAR_RESOURCES: "cpu=1" is not allowed; ')


def test_less_can_be_logged_and_not_what_libraries_read():
    assert [log_level({}), log_level({"PGSET_LOG_LEVEL": "warning"})] == ["info", "warning"]
    with pytest.raises(InvalidEnvironmentError) as error:
        log_level({"PGSET_LOG_LEVEL": "debug"})
    assert str(error.value) == (
        'env PGSET_LOG_LEVEL: "debug" is not allowed; allowed: info, warning, error'
    )


def test_the_level_is_that_of_what_is_logged():
    configuration = logs.configuration("warning")
    assert configuration["root"]["level"] == "WARNING"
    assert configuration["loggers"]["gunicorn.error"]["level"] == "WARNING"
