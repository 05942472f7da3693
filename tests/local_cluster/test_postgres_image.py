"""The test image keeps the contract of the official `postgres` image."""

import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.local import cluster, images, paths
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube"), pytest.mark.rarely]

NAMESPACE = "postgres-image-test"
PASSWORD = {"name": "POSTGRES_PASSWORD", "value": 'secret\'s "word"'}
StartPod = Callable[..., "Pod"]


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


class Pod:
    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, script: str) -> str:
        return kubectl("exec", self.name, "--", "bash", "-c", script).strip()

    def query(self, sql: str, user: str = "postgres", database: str = "postgres") -> str:
        return self.run(f"psql -U {user} -d {database} -Atc {json.dumps(sql)}")

    def logs(self) -> str:
        return kubectl("logs", self.name)

    def wait_until_ready(self) -> None:
        kubectl("wait", f"pod/{self.name}", "--for=condition=Ready", "--timeout=360s")

    def wait_until_ended(self) -> int:
        deadline = time.monotonic() + 360
        while time.monotonic() < deadline:
            status = json.loads(kubectl("get", "pod", self.name, "-o", "json"))["status"]
            for container in status.get("containerStatuses", []):
                if ended := container["state"].get("terminated"):
                    return int(ended["exitCode"])
            time.sleep(0.2)
        raise AssertionError("the container did not end")


@pytest.fixture(scope="module", autouse=True)
def _namespace() -> Iterator[None]:
    cluster.up()
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
    kubectl("create", "namespace", NAMESPACE)
    # No pod is let in before, and a busy controller manager makes it after a while.
    account = ("get", "serviceaccount", "default", "--ignore-not-found", "-o", "name")
    wait_until(lambda: kubectl(*account) != "", "the namespace's own service account")
    yield
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def start_pod() -> Iterator[StartPod]:
    names: list[str] = []

    def start(
        *environment: dict[str, str],
        files: dict[str, str] | None = None,
        ready: bool = True,
        **container: Any,
    ) -> Pod:
        name = f"postgres-{uuid.uuid4().hex[:8]}"
        names.append(name)
        kubectl("create", "configmap", name, "--from-literal=empty=")
        data = json.dumps({"data": {"empty": "", **(files or {})}})
        kubectl("patch", "configmap", name, "-p", data)
        manifest = _manifest(name, list(environment), container, list(files or {}))
        kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        pod = Pod(name)
        if ready:
            pod.wait_until_ready()
        return pod

    yield start
    kubectl("delete", "pod", "--wait=false", "--ignore-not-found", *names)


def _manifest(
    name: str, environment: list[dict[str, str]], container: dict[str, Any], files: list[str]
) -> dict[str, Any]:
    scripts = [
        {"name": "files", "mountPath": f"/docker-entrypoint-initdb.d/{file}", "subPath": file}
        for file in files
    ]
    postgres = {
        "name": "postgres",
        "image": images.POSTGRES,
        "env": environment,
        "readinessProbe": {"exec": {"command": ["pg_isready", "-h", "127.0.0.1", "-U", "postgres"]}}
        | {"periodSeconds": 1, "timeoutSeconds": 30},
        "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"}, *scripts],
        **container,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "containers": [postgres],
            "volumes": [
                {"name": "data", "emptyDir": {}},
                {"name": "files", "configMap": {"name": name}},
            ],
        },
    }


def setting(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value": value}


def test_root_becomes_uid_999_and_owns_a_private_data_directory(start_pod: StartPod) -> None:
    pod = start_pod(PASSWORD)
    assert pod.run("stat -c %u:%a /proc/1 $PGDATA") == "999:555\n999:700"
    assert pod.run("stat -c %U /var/run/postgresql") == "postgres"
    assert pod.run("id -u postgres; id -g postgres") == "999\n999"


def test_user_database_and_arguments_are_taken_from_the_environment(start_pod: StartPod) -> None:
    pod = start_pod(
        PASSWORD,
        setting("POSTGRES_USER", "alice"),
        setting("POSTGRES_DB", "shop"),
        setting("POSTGRES_INITDB_ARGS", "--data-checksums --encoding='UTF8'"),
        setting("PGDATA", "/var/lib/postgresql/data/sub/folder"),
    )
    query = "select current_user, current_database(), rolsuper from pg_roles where rolname='alice'"
    assert pod.query(query, "alice", "shop") == "alice|shop|t"
    assert pod.query("show data_checksums", "alice", "shop") == "on"
    assert pod.run("ls $PGDATA/PG_VERSION") == "/var/lib/postgresql/data/sub/folder/PG_VERSION"


def test_the_password_is_asked_from_the_network(start_pod: StartPod) -> None:
    pod = start_pod(PASSWORD)
    login = "psql -h $(hostname -i) -U postgres -Atc 'select 1'"
    assert pod.run(f'PGPASSWORD="$POSTGRES_PASSWORD" {login}') == "1"
    assert "password authentication failed" in pod.run(f"PGPASSWORD=wrong {login} 2>&1 || :")
    assert pod.run("tail -n 1 $PGDATA/pg_hba.conf") == "host all all all scram-sha-256"


def test_settings_come_from_files_too(start_pod: StartPod) -> None:
    pod = start_pod(
        setting("POSTGRES_PASSWORD_FILE", "/docker-entrypoint-initdb.d/word"),
        setting("POSTGRES_USER_FILE", "/docker-entrypoint-initdb.d/user"),
        files={"word": "from a file", "user": "bob"},
    )
    login = "psql -h $(hostname -i) -U bob -Atc 'select current_database()'"
    assert pod.run(f"PGPASSWORD='from a file' {login}") == "bob"


def test_both_a_setting_and_its_file_are_refused(start_pod: StartPod) -> None:
    pod = start_pod(PASSWORD, setting("POSTGRES_PASSWORD_FILE", "/etc/hostname"), ready=False)
    assert pod.wait_until_ended() == 1
    assert "both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are set" in pod.logs()


def test_no_password_is_refused_with_what_to_do(start_pod: StartPod) -> None:
    pod = start_pod(ready=False)
    assert pod.wait_until_ended() == 1
    assert "set POSTGRES_PASSWORD" in pod.logs()


def test_trust_needs_no_password(start_pod: StartPod) -> None:
    pod = start_pod(setting("POSTGRES_HOST_AUTH_METHOD", "trust"))
    assert pod.run("psql -h $(hostname -i) -U postgres -Atc 'select 1'") == "1"


def test_init_scripts_run_in_order_on_a_server_without_tcp(start_pod: StartPod) -> None:
    pod = start_pod(
        PASSWORD,
        setting("POSTGRES_DB", "shop"),
        files={
            "1-first.sql": "create table seen (what text);",
            "2-second.sh": 'psql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c '
            "\"insert into seen select 'tcp:' || current_setting('listen_addresses')\"",
            "3-third.txt": "not a script",
        },
    )
    assert pod.query("table seen", database="shop") == "tcp:"
    assert "ignoring /docker-entrypoint-initdb.d/3-third.txt" in pod.logs()
    assert pod.query("show listen_addresses") == "*"


@pytest.mark.parametrize("uid", [70, 26, 123456])
def test_any_user_id_works(start_pod: StartPod, uid: int) -> None:
    pod = start_pod(
        PASSWORD,
        setting("PGDATA", "/var/lib/postgresql/data/pgdata"),
        securityContext={"runAsUser": uid, "runAsGroup": uid},
    )
    assert pod.run("stat -c %u /proc/1") == str(uid)
    assert pod.query("select 1") == "1"


def test_arguments_are_given_to_the_server(start_pod: StartPod) -> None:
    pod = start_pod(PASSWORD, args=["-c", "work_mem=7MB"])
    assert pod.query("show work_mem") == "7MB"


def test_another_command_is_run_as_it_is(start_pod: StartPod) -> None:
    pod = start_pod(args=["bash", "-c", "id -u; ls $PGDATA"], ready=False)
    assert pod.wait_until_ended() == 0
    assert pod.logs().strip() == "0"


def test_existing_data_is_started_as_it_is(start_pod: StartPod) -> None:
    pod = start_pod(PASSWORD)
    pod.query("create table kept (id int)")
    pod.run("cp -a $PGDATA /tmp/copy && rm -f /tmp/copy/postmaster.pid")
    started = pod.run(
        "cd /; PGDATA=/tmp/copy POSTGRES_PASSWORD= docker-entrypoint.sh -c port=6000 &>/tmp/log & "
        "until grep -q 'ready to accept' /tmp/log || ! kill -0 $!; do sleep 0.2; done; "
        "kill $!; wait; cat /tmp/log"
    )
    assert "skipping it" in started
    assert "ready to accept connections" in started


def test_sigint_is_the_stop_signal_so_shutdown_is_fast(start_pod: StartPod) -> None:
    pod = start_pod(PASSWORD)
    kubectl(
        "exec",
        pod.name,
        "--",
        "bash",
        "-c",
        "psql -U postgres -c 'select pg_sleep(9999)' >/dev/null 2>&1 &",
    )
    sleeps = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
    wait_until(lambda: pod.query(sleeps) == "1", "the session")
    began = time.monotonic()
    kubectl("delete", "pod", pod.name, "--grace-period=300")
    # Otherwise the grace period ends it.
    assert time.monotonic() - began < 200
