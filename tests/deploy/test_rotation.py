"""CAs of a minute's life, replaced while pods are admitted: on the local cluster, no mocks."""

import base64
import contextlib
import itertools
import json
import threading
import time
from datetime import UTC, datetime

import pytest
from cryptography import x509
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from certs.authority import made_at
from deploy.local import cluster, paths
from tests.deploy.admissions import Admissions
from tests.deploy.cluster_tools import (
    SYSTEM,
    WEBHOOK_PODS,
    WEBHOOK_REPLICAS,
    Kubectl,
    make_namespace,
    served_certificate,
    wait_until,
    webhook_pods,
)
from tests.deploy.manifests import DEPLOY, document

pytestmark = pytest.mark.cluster

NAMESPACE = "test-rotation"
WEBHOOK, CERTS = "deployment/pgset-webhook", "deployment/pgset-certs"
CERTS_PODS = "app.kubernetes.io/name=pgset,app.kubernetes.io/component=certs"
SECRET, SERVING = "secret/pgset-webhook-tls", "secret/pgset-webhook-serving"
TIMES = (
    *("--ca-life=90s", "--leaf-life=70s", "--overlap=25s"),
    *("--settle=5s", "--delivery=15s", "--interval=1s"),
)
"""As short as it may be where an API server may hear of a CA some seconds late, and a kubelet bring
a leaf a dozen: on a busy machine they do."""
ROTATES_WITHIN = 240.0
"""Seconds: a CA is due 60 s after it was made, and its predecessor goes about 35 s later."""
HEALS_WITHIN = 180.0
AHEAD = 140.0
"""Seconds by which a clock is set ahead: two lives of a leaf, and no CA's."""
AHEAD_FILE = "/tmp/ahead"
WITH_A_CLOCK_TO_SET = f"""
import datetime, pathlib
import certs.__main__ as certs

class Settable(datetime.datetime):
    @classmethod
    def now(cls, timezone=None):
        file = pathlib.Path({AHEAD_FILE!r})
        ahead = float(file.read_text() or 0) if file.exists() else 0
        return datetime.datetime.now(timezone) + datetime.timedelta(seconds=ahead)

certs.datetime = Settable
certs.main()
"""


class Authorities:
    """The CAs in the registrations, looked at again and again."""

    def __init__(self, api: client.AdmissionregistrationV1Api) -> None:
        self._api = api
        self.most = 0
        """In one caBundle at one time."""
        self.alone: list[x509.Certificate] = []
        """Each one that came to be the only one, in turn."""

    def look(self) -> None:
        configuration = self._api.read_mutating_webhook_configuration("pgset")
        bundles = [
            x509.load_pem_x509_certificates(base64.b64decode(it.client_config.ca_bundle))
            for it in configuration.webhooks
        ]
        self.most = max(self.most, *map(len, bundles))
        present = {authority for bundle in bundles for authority in bundle}
        if len(present) == 1 and [*present] != self.alone[-1:]:
            self.alone += present

    def wait_for(self, rotations: int) -> None:
        """Return when so many have been replaced and are gone."""
        wanted = len(self.alone) + rotations

        def have_come():
            with contextlib.suppress(ApiException, HTTPError):  # it is busy, and looked at again
                self.look()
            return len(self.alone) >= wanted

        wait_until(have_come, rotations * ROTATES_WITHIN)


@pytest.fixture(scope="module")
def api_client():
    with config.new_client_from_config(str(paths.kubeconfig())) as api_client:
        yield api_client


@pytest.fixture(scope="module", autouse=True)
def delivered_at_once(api_client):
    """Kubelets bring a changed Secret into a pod when they next look at it, up to 90 s later.

    A changed annotation has them look now.
    """
    pods, ended = client.CoreV1Api(api_client), threading.Event()

    def have_them_look() -> None:
        for number in itertools.count():
            if ended.wait(1):
                return
            change = {"metadata": {"annotations": {"test/look": str(number)}}}
            # A pod may have gone meanwhile, and a busy API server refuse something.
            with contextlib.suppress(ApiException, HTTPError):
                for pod in pods.list_namespaced_pod(SYSTEM, label_selector=WEBHOOK_PODS).items:
                    with contextlib.suppress(ApiException, HTTPError):
                        pods.patch_namespaced_pod(pod.metadata.name, SYSTEM, change)

    thread = threading.Thread(target=have_them_look, daemon=True)
    thread.start()
    yield
    ended.set()
    thread.join()


@pytest.fixture(scope="module", autouse=True)
def short_lives():
    cluster.up()
    system, kubectl = Kubectl(SYSTEM), make_namespace(NAMESPACE)
    kubectl("create", "serviceaccount", "pgset-sa")
    system("apply", "-k", str(DEPLOY))
    set_command(("-m", "certs"), TIMES)
    yield
    kubectl("delete", "namespace", NAMESPACE)
    # Once nobody remembers the last CA, one of the usual life is made: tests that follow meet no
    # rotation.
    system("scale", CERTS, "--replicas=0")
    wait_until(lambda: not certs_pods(), 180)
    system("delete", SECRET, SERVING)
    system("apply", "-k", str(DEPLOY))
    all_replaced()


def certs_pods():
    pods = Kubectl(SYSTEM).json("get", "pods", "-l", CERTS_PODS)["items"]
    return [pod["metadata"]["name"] for pod in pods]


def set_command(start, arguments):
    """Have certs started otherwise than the manifest says, with more arguments."""
    (container,) = document("certs-deployment.yaml")["spec"]["template"]["spec"]["containers"]
    python, _, _, *given = container["command"]
    command = {"name": container["name"], "command": [python, *start, *given, *arguments]}
    patch = {"spec": {"template": {"spec": {"containers": [command]}}}}
    Kubectl(SYSTEM)("patch", CERTS, "--patch", json.dumps(patch))
    all_replaced()


def all_replaced():
    for deployment in (CERTS, WEBHOOK):
        Kubectl(SYSTEM)("rollout", "status", deployment, "--timeout=300s")
    wait_until(lambda: len(certs_pods()) == len(webhook_pods()) == WEBHOOK_REPLICAS, 180)


@pytest.fixture
def authorities(api_client):
    authorities = Authorities(client.AdmissionregistrationV1Api(api_client))
    authorities.wait_for(1)
    return authorities


# A minute each. The second shows that the new CA is replaced as the first was.
@pytest.mark.parametrize("rotations", [1, pytest.param(2, marks=pytest.mark.rarely)])
def test_rotations_fail_no_admission(api_client, authorities, rotations):
    first = authorities.alone[-1]
    with Admissions(client.CoreV1Api(api_client), NAMESPACE) as admissions:
        authorities.wait_for(rotations)
    admissions.assert_all_well()
    assert authorities.most == 2
    assert first not in authorities.alone[1:]
    assert len(set(authorities.alone)) == 1 + rotations


@pytest.mark.rarely
@pytest.mark.parametrize("secret", [SECRET, SERVING])
def test_a_secret_deleted_and_broken_again_and_again_fails_no_admission(
    api_client, authorities, secret
):
    system = Kubectl(SYSTEM)
    with Admissions(client.CoreV1Api(api_client), NAMESPACE) as admissions:
        for _ in range(3):
            system("delete", secret)
            wait_until(lambda: bool(system("get", secret, "--ignore-not-found")), HEALS_WITHIN)
            for key in ("tls.key", "tls.crt", "ca.crt"):
                broken = {"data": {key: base64.b64encode(b"nonsense").decode()}}
                system("patch", secret, "--patch", json.dumps(broken))
                time.sleep(4)
        authorities.wait_for(1)
    admissions.assert_all_well()


def test_a_rolling_update_fails_no_admission(api_client):
    # A busy kube-proxy may hear of an end later than the 5 s that a pod waits for it, but not each
    # time.
    for _ in range(3):
        with Admissions(client.CoreV1Api(api_client), NAMESPACE) as admissions:
            Kubectl(SYSTEM)("rollout", "restart", WEBHOOK, CERTS)
            all_replaced()
        if not admissions.failures:
            break
    admissions.assert_all_well()


def test_a_blanked_ca_bundle_is_mended_and_fails_no_admission_from_then_on(api_client):
    system = Kubectl(SYSTEM)
    registrations = client.AdmissionregistrationV1Api(api_client)

    def bundles():
        configuration = registrations.read_mutating_webhook_configuration("pgset")
        return [webhook.client_config.ca_bundle for webhook in configuration.webhooks]

    def none_fails():
        admissions.failures.clear()
        before = admissions.admitted
        time.sleep(2)
        return admissions.admitted > before and not admissions.failures

    blank = [{"op": "remove", "path": f"/webhooks/{it}/clientConfig/caBundle"} for it in (0, 1)]
    with Admissions(client.CoreV1Api(api_client), NAMESPACE) as admissions:
        for _ in range(3):
            system(
                *("patch", "mutatingwebhookconfiguration/pgset", "--type=json"),
                *("--patch", json.dumps(blank)),
            )
            wait_until(lambda: all(bundles()), HEALS_WITHIN)
            # The API server learns of it by its own watch.
            wait_until(none_fails, HEALS_WITHIN)


@pytest.fixture
def clocks_to_set():
    set_command(("-c", WITH_A_CLOCK_TO_SET), (*TIMES, f"--ca-life={10 * AHEAD}s"))


def set_clock(pod, ahead):
    Kubectl(SYSTEM)("exec", pod, "-c", "certs", "--", "sh", "-c", f"echo {ahead} > {AHEAD_FILE}")


def made_in_the_future(pod):
    served = x509.load_pem_x509_certificate(served_certificate(pod).encode())
    return (made_at(served) - datetime.now(UTC)).total_seconds() > AHEAD / 2


@pytest.mark.rarely
@pytest.mark.usefixtures("clocks_to_set")
def test_a_clock_stepped_past_expiry_and_back_fails_no_admission(api_client):
    first, second = certs_pods()
    with Admissions(client.CoreV1Api(api_client), NAMESPACE) as admissions:
        for ahead_of_the_others in (first, second):
            set_clock(ahead_of_the_others, AHEAD)
            for pod in webhook_pods():
                wait_until(lambda pod=pod: made_in_the_future(pod), HEALS_WITHIN)
            time.sleep(2)
            set_clock(ahead_of_the_others, 0)
            time.sleep(2)
        for pod_ahead in (first, second):
            set_clock(pod_ahead, AHEAD)
        time.sleep(5)
    admissions.assert_all_well()
