"""What a user expects of any cluster: Services, DNS, shared volumes, init containers."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import cluster, images, paths
from tests.support.waiting import wait_until

pytestmark = pytest.mark.cluster

NAMESPACE = "local-cluster-test"
MANIFEST = Path(__file__).parent / "usage.yaml"
FETCH = "import urllib.request as u; print(u.urlopen('http://{}/', timeout=60).status)"


def kubectl(*words: str, stdin: str = "") -> str:
    done = subprocess.run(
        [
            cluster.kubectl(),
            f"--kubeconfig={paths.kubeconfig()}",
            f"--namespace={NAMESPACE}",
            *words,
        ],
        input=stdin,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def _workload() -> Iterator[None]:
    cluster.up()
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
    kubectl("create", "namespace", NAMESPACE)
    text = MANIFEST.read_text().replace("VOLUMES", str(paths.volumes()))
    kubectl("apply", "-f", "-", stdin=text)
    kubectl("rollout", "status", "deployment/web", "--timeout=600s")
    kubectl("rollout", "status", "daemonset/client", "--timeout=600s")
    yield
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(params=["n1", "n2", "n3"])
def client(request: pytest.FixtureRequest) -> str:
    node = f"spec.nodeName={request.param}"
    pods = kubectl("get", "pods", "-l", "app=client", f"--field-selector={node}", "-o", "name")
    return pods.strip()


def test_a_service_is_reached_by_name_from_every_node(client: str) -> None:
    def fetch(name: str) -> str:
        words = ("exec", client, "-c", "sidecar", "--", "python", "-c", FETCH.format(name))
        return kubectl(*words).strip()

    def is_reached() -> bool:
        # A busy kube-proxy follows a moment later.
        with contextlib.suppress(AssertionError):
            return fetch("web") == "200"
        return False

    wait_until(is_reached, "the Service")
    for name in ("web", f"web.{NAMESPACE}.svc.cluster.local"):
        for _ in range(4):  # both replicas, one of which may be on the client's own node
            assert fetch(name) == "200"


def test_the_api_server_is_reached_from_every_node(client: str) -> None:
    connect = "import socket; socket.create_connection(('kubernetes.default', 443), 60)"
    kubectl("exec", client, "-c", "sidecar", "--", "python", "-c", connect)


def test_the_process_namespace_is_shared(client: str) -> None:
    # One of those that are listed may have ended before it is read.
    names = "cat /proc/[0-9]*/comm || true"
    listed = kubectl("exec", client, "-c", "sidecar", "--", "sh", "-c", names)
    assert {"pause", "python", "postgres"} <= set(listed.split())


ORPHAN = """
orphan=$(sh -c 'sleep 0.1 > /dev/null & echo $!')
for _ in $(seq 1000); do
    test -e /proc/$orphan || { echo reaped; exit; }
    sleep 0.1
done
cat /proc/$orphan/status
"""


def test_orphans_in_a_shared_process_namespace_are_reaped(client: str) -> None:
    told = kubectl("exec", client, "-c", "sidecar", "--", "sh", "-c", ORPHAN)
    assert told.strip() == "reaped"


def test_a_host_path_is_one_file_system_for_all_nodes(client: str) -> None:
    listed = kubectl("exec", client, "-c", "postgres", "--", "ls", "/shared")
    assert listed.split() == ["n1", "n2", "n3"]


def test_logs_are_shown(client: str) -> None:
    assert "ready to accept connections" in kubectl("logs", client, "-c", "postgres")


def test_the_api_server_reaches_pods_directly() -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/services/web:80/proxy/"
    assert "Directory listing" in kubectl("get", "--raw", path)


def test_our_image_runs_as_another_user_without_a_writable_root(client: str) -> None:
    assert "uid=999" in kubectl("exec", client, "-c", "sidecar", "--", "id")
    pods = json.loads(kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    assert all(pod["status"]["containerStatuses"][0]["restartCount"] == 0 for pod in pods)


def test_our_image_is_the_one_of_this_checkout() -> None:
    held = kubectl("get", "node", "n1", "-o", "jsonpath={.status.images[*].names}")
    assert images.PGSET in held
