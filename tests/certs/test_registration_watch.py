"""The watch over real HTTP, by the real Kubernetes client."""

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from certs.registration_watch import RegistrationWatch
from tests.certs.api_server import CONFIGURATION, ApiServer, registration, serving


@pytest.fixture
def api():
    server = ApiServer()
    server.objects[CONFIGURATION] = registration("pods.pgset.dev")
    return server


def following(api, changed):
    with serving(api) as api_client:
        registrations = client.AdmissionregistrationV1Api(api_client)
        RegistrationWatch(registrations, "pgset", changed).follow()


def test_every_change_wakes_and_so_does_what_is_there_at_the_start(api):
    woken = []

    def changed():
        woken.append(len(woken))
        if len(woken) < 3:
            body = {"metadata": {}, "webhooks": []}
            api.patch(CONFIGURATION, body)
        else:
            api.end_watch()

    following(api, changed)
    assert woken == [0, 1, 2]


def test_who_may_not_watch_is_told(api):
    api.refuses_watches = True
    with pytest.raises(ApiException) as refusal:
        following(api, lambda: None)
    assert refusal.value.status == 403
