"""The injection on pods of every shape: idempotent, and a guest in the user's pod."""

import copy

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.settings import Settings
from tests.webhook import objects
from webhook.errors import DeniedError
from webhook.initial_role import Role
from webhook.injection import inject
from webhook.mutate import mutate_pod
from webhook.sidecar_container import WITHOUT

SETTINGS = Settings(set_name="pgset", container="postgres")

API_ACCESS_MOUNT = {
    "name": "kube-api-access-8c8ff",
    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    "readOnly": True,
}
MOUNTS = st.lists(
    st.sampled_from(
        [
            {"name": "pgdata", "mountPath": "/var/lib/postgresql/data"},
            {"name": "config", "mountPath": "/etc/postgresql", "readOnly": True},
            API_ACCESS_MOUNT,
        ]
    ),
    unique_by=lambda mount: mount["mountPath"],
)


def optional(**fields):
    return st.fixed_dictionaries({}, optional=fields)


def containers(name):
    extras = optional(
        env=st.just([{"name": "PGDATA", "value": "/data"}, {"name": "PYTHONPATH", "value": "/x"}]),
        envFrom=st.just([{"secretRef": {"name": "credentials"}}]),
        volumeMounts=MOUNTS,
        livenessProbe=st.just({"tcpSocket": {"port": 5432}}),
        readinessProbe=st.just({"exec": {"command": ["true"]}}),
        startupProbe=st.just({"exec": {"command": ["pg_isready"]}, "initialDelaySeconds": 30}),
        lifecycle=optional(
            preStop=st.just({"exec": {"command": ["true"]}}),
            postStart=st.just({"exec": {"command": ["true"]}}),
        ),
        securityContext=optional(runAsUser=st.integers(0, 2), runAsGroup=st.integers(0, 2)),
        resources=st.just({"limits": {"cpu": "1", "memory": "1Gi"}}),
        aFieldOfTheFuture=st.just({"deep": [1, {"er": None}]}),
    )
    return extras.map(lambda fields: {"name": name, "image": "postgres:15", **fields})


@st.composite
def pods(draw):
    names = draw(st.permutations(["postgres", "exporter", "backup"]))
    names = names[: names.index("postgres") + 1]
    spec = draw(
        optional(
            initContainers=st.lists(containers("init"), max_size=1),
            volumes=st.just(
                [
                    {"name": "pgdata", "persistentVolumeClaim": {"claimName": "pgset-pvc"}},
                    {"name": "kube-api-access-8c8ff", "projected": {}},
                    {"name": "config", "configMap": {"name": "config"}},
                ]
            ),
            automountServiceAccountToken=st.booleans(),
            shareProcessNamespace=st.just(True),
            securityContext=optional(runAsUser=st.integers(0, 2)),
            anotherFieldOfTheFuture=st.just("kept"),
        )
    )
    spec["containers"] = [draw(containers(name)) for name in names]
    metadata = draw(
        optional(
            labels=st.just({"app": "pgset", "pgset.dev/role": "replica"}),
            annotations=st.just({"pgset.dev/enabled": "true"}),
        )
    )
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pgset-0", **metadata},
        "spec": spec,
    }


def injected(pod, pod_settings=SETTINGS):
    patch = inject(pod, pod_settings, objects.IMAGE, Role.REPLICA)
    return jsonpatch.apply_patch(copy.deepcopy(pod), patch)


def without_api_access(container):
    mounts = container.get("volumeMounts")
    if mounts is None:
        return container
    return {**container, "volumeMounts": [m for m in mounts if m != API_ACCESS_MOUNT]}


@given(pods())
def test_the_injection_finds_nothing_left_to_do_in_its_own_output(pod):
    again = inject(injected(pod), SETTINGS, objects.IMAGE, Role.REPLICA)
    assert again == []


@given(pods())
def test_the_sidecar_comes_first_bootstrap_last_and_the_users_between_as_they_were(pod):
    after = injected(pod)["spec"]["initContainers"]
    theirs = pod["spec"].get("initContainers", [])
    if not pod["spec"].get("automountServiceAccountToken"):
        theirs = [without_api_access(container) for container in theirs]
    assert [
        "pgset-sidecar",
        *(container["name"] for container in theirs),
        "pgset-bootstrap",
    ] == [container["name"] for container in after]
    assert theirs == after[1:-1]


@given(pods())
def test_the_users_other_containers_lose_the_token_and_keep_the_rest(pod):
    after = injected(pod)["spec"]
    keeps_token = bool(pod["spec"].get("automountServiceAccountToken"))
    for before, now in zip(pod["spec"]["containers"], after["containers"], strict=True):
        if before["name"] != "postgres":
            assert now == (before if keeps_token else without_api_access(before))


@given(pods())
def test_fields_that_the_webhook_does_not_know_survive(pod):
    after = injected(pod)["spec"]
    assert after.get("anotherFieldOfTheFuture") == pod["spec"].get("anotherFieldOfTheFuture")
    for before, now in zip(pod["spec"]["containers"], after["containers"], strict=True):
        assert now.get("aFieldOfTheFuture") == before.get("aFieldOfTheFuture")


@given(pods())
def test_only_the_sidecar_has_a_token_unless_the_user_wanted_it_for_all(pod):
    spec = injected(pod)["spec"]
    with_token = [
        container["name"]
        for container in spec["initContainers"] + spec["containers"]
        for mount in container.get("volumeMounts", [])
        if mount["mountPath"] == API_ACCESS_MOUNT["mountPath"]
    ]
    if not pod["spec"].get("automountServiceAccountToken"):
        assert with_token == ["pgset-sidecar"]
        assert spec["automountServiceAccountToken"] is False


@given(pods())
def test_a_list_that_is_there_is_never_written_anew(pod):
    for operation in inject(pod, SETTINGS, objects.IMAGE, Role.REPLICA):
        if isinstance(operation.get("value"), list):
            with pytest.raises(jsonpatch.JsonPointerException):
                jsonpatch.JsonPointer(operation["path"]).resolve(pod)


def sidecar_of(pod):
    return injected(pod)["spec"]["initContainers"][0]


def bootstrap_of(pod):
    return injected(pod)["spec"]["initContainers"][-1]


@pytest.mark.parametrize(
    ("of_pod", "of_container", "annotation", "uid", "gid"),
    [
        ({}, {}, None, 999, 999),
        ({}, {}, 70, 70, 70),
        ({"runAsUser": 26}, {}, 70, 26, 26),
        ({"runAsUser": 26, "runAsGroup": 0}, {}, None, 26, 0),
        ({"runAsUser": 26}, {"runAsUser": 1001, "runAsGroup": 5}, None, 1001, 5),
        ({}, {"runAsUser": 0}, None, 999, 999),
        ({"runAsUser": 26}, {"runAsUser": 0}, 70, 70, 70),
    ],
)
def test_the_sidecar_runs_as_the_uid_that_postgresql_will_have(
    of_pod, of_container, annotation, uid, gid
):
    pod = objects.article_pod()
    pod["spec"]["securityContext"] = of_pod
    pod["spec"]["containers"][0]["securityContext"] = of_container
    after = injected(pod, Settings(set_name="pgset", container="postgres", uid=annotation))
    sidecar, bootstrap = after["spec"]["initContainers"]
    assert (uid, gid) == (
        sidecar["securityContext"]["runAsUser"],
        sidecar["securityContext"]["runAsGroup"],
    )
    for container in (sidecar, bootstrap):
        assert {"name": "PGSET_UID", "value": str(uid)} in container["env"]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, ["docker-entrypoint.sh", "postgres"]),
        ({"args": ["-c", "work_mem=8MB"]}, ["docker-entrypoint.sh", "-c", "work_mem=8MB"]),
        ({"args": ["postgres", "-N9"]}, ["docker-entrypoint.sh", "postgres", "-N9"]),
        ({"command": ["my-entrypoint", "postgres"]}, ["my-entrypoint", "postgres"]),
        ({"command": ["my-entrypoint"], "args": ["postgres"]}, ["my-entrypoint", "postgres"]),
        ({"command": ["tini", "-s", "--"], "args": ["postgres", "-F"]}, ["postgres", "-F"]),
        ({"command": ["gosu", "postgres"], "args": ["postgres", "-F"]}, ["postgres", "-F"]),
        ({"command": ["/sbin/su-exec", "70", "tini", "--", "postgres"]}, ["postgres"]),
        ({"command": ["/command/s6-setuidgid", "a", "postgres"]}, ["postgres"]),
        ({"command": ["setpriv", "--reuid=999", "--clear-groups", "postgres"]}, ["postgres"]),
        ({"command": ["chpst", "-u", "postgres", "postgres", "-F"]}, ["postgres", "-F"]),
        ({"command": ["setpriv", "--reuid", "postgres", "postgres"]}, ["postgres"]),
        ({"command": ["setpriv", "--reuid=9", "/start.sh"]}, ["setpriv", "--reuid=9", "/start.sh"]),
        ({"command": ["gosu"]}, ["gosu"]),
        (
            {"command": ["/usr/bin/dumb-init", "-r", "15:2", "docker-entrypoint.sh", "postgres"]},
            ["docker-entrypoint.sh", "postgres"],
        ),
    ],
)
def test_bootstrap_is_given_what_the_kubelet_would_run(fields, line):
    pod = objects.article_pod()
    pod["spec"]["containers"][0].update(fields)
    assert line == bootstrap_of(pod)["args"]
    assert bootstrap_of(pod)["command"] == ["/bin/sh", "/run/pgset/bootstrap.sh"]


def test_settings_reach_the_sidecar_as_it_reads_them():
    pod = objects.golden("article-label", "pod")
    verdict = mutate_pod(objects.review_of(pod), objects.IMAGE, objects.never_led)
    sidecar = objects.patched(pod, verdict)["spec"]["initContainers"][0]
    environment = {v["name"]: v["value"] for v in sidecar["env"] if "value" in v}
    assert Settings(
        set_name="pgset",
        role_label="name",
        primary_value="pgset-primary",
        replica_value="pgset-replica",
        container="postgres",
        uid=999,
        port=5432,
    ) == Settings.from_environment(environment)


def test_of_the_databases_variables_only_the_credentials_reach_the_sidecar():
    pod = objects.article_pod()
    pod["spec"]["containers"][0]["env"] = [
        {"name": "PYTHONPATH", "value": "/plpython"},
        {"name": "LD_PRELOAD", "value": "libjemalloc.so"},
        {"name": "PGDATA", "value": "/data"},
        {"name": "PGSSLMODE", "value": "require"},
        {"name": "HTTPS_PROXY", "value": "http://proxy"},
        {"name": "POSTGRES_PASSWORD", "value": "secret"},
    ]
    sidecar = sidecar_of(pod)
    names = [variable["name"] for variable in sidecar["env"]]
    assert [name for name in names if not name.startswith("PGSET_")] == ["POSTGRES_PASSWORD"]
    assert "-I" in sidecar["command"]


def test_credentials_are_made_of_the_variables_that_they_refer_to():
    pod = objects.article_pod()
    secret = {"secretKeyRef": {"name": "db", "key": "password"}}
    needed = [
        {"name": "SALT", "value": "pepper"},
        {"name": "SECRET", "valueFrom": secret},
        {"name": "BOTH", "value": "$(SALT)$(SECRET)$(FROM_ENV_FROM)"},
        {"name": "POSTGRES_PASSWORD", "value": "<$(BOTH)>"},
    ]
    pod["spec"]["containers"][0]["env"] = [*needed, {"name": "LAST", "value": "$(BOTH)"}]
    assert sidecar_of(pod)["env"][:5] == [*needed, sidecar_of(pod)["env"][4]]
    assert sidecar_of(pod)["env"][4]["name"].startswith("PGSET_")


def test_a_path_of_a_mount_is_made_of_the_same_variables():
    """Or the sidecar would look for the data elsewhere."""
    pod = objects.article_pod()
    database = pod["spec"]["containers"][0]
    variable = {"name": "FOLDER", "value": "data"}
    database["env"] = [variable, {"name": "OTHER", "value": "x"}]
    database["volumeMounts"] = [
        {"name": "pgset", "mountPath": "/data", "subPathExpr": "$(FOLDER)/x"}
    ]
    assert sidecar_of(pod)["env"][0] == variable


def test_what_only_a_privileged_container_may_pass_on_the_sidecar_does_not():
    """Or the API server refuses the pod."""
    pod = objects.article_pod()
    database = pod["spec"]["containers"][0]
    database["securityContext"] = {"privileged": True}
    database["volumeMounts"][0]["mountPropagation"] = "Bidirectional"
    assert sidecar_of(pod)["volumeMounts"][0]["mountPropagation"] == "HostToContainer"
    assert bootstrap_of(pod)["volumeMounts"][0]["mountPropagation"] == "Bidirectional"


def test_what_acts_on_a_program_before_its_first_line_is_taken_out_of_env_from():
    """The kubelet lets env win."""
    pod = objects.article_pod()
    pod["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "tuning"}}]
    pod["spec"]["containers"][0]["env"] = [{"name": "LD_PRELOAD", "value": "libjemalloc.so"}]
    sidecar = sidecar_of(pod)
    assert sidecar["envFrom"] == [{"configMapRef": {"name": "tuning"}}]
    values = [(v["name"], v.get("value")) for v in sidecar["env"] if v["name"] in WITHOUT]
    assert sorted(values) == [(name, "") for name in WITHOUT]
    assert {"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT"} <= set(WITHOUT)


def test_a_variable_from_the_databases_resources_still_speaks_of_the_database():
    pod = objects.article_pod()
    pod["spec"]["containers"][0]["env"] = [
        {"name": "POSTGRES_DB", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}}
    ]
    assert sidecar_of(pod)["env"][0] == {
        "name": "POSTGRES_DB",
        "valueFrom": {
            "resourceFieldRef": {"resource": "limits.memory", "containerName": "postgres"}
        },
    }


def test_a_token_that_the_user_mounted_for_the_database_stays_there():
    pod = objects.article_pod()
    mine = {**API_ACCESS_MOUNT, "name": "my-token"}
    pod["spec"]["containers"][0]["volumeMounts"][1] = mine
    after = injected(pod)["spec"]
    assert mine in after["containers"][0]["volumeMounts"]
    assert mine in after["initContainers"][-1]["volumeMounts"]
    assert mine not in after["initContainers"][0]["volumeMounts"]


def test_selinux_labels_are_the_databases():
    pod = objects.article_pod()
    labels = {"level": "s0:c123,c456"}
    pod["spec"]["containers"][0]["securityContext"] = {"seLinuxOptions": labels}
    assert labels == sidecar_of(pod)["securityContext"]["seLinuxOptions"]


def test_the_apparmor_profile_is_the_databases():
    """From another, the sidecar's signals to PostgreSQL would be refused."""
    pod = objects.article_pod()
    profile = {"type": "Localhost", "localhostProfile": "pg-hardened"}
    pod["spec"]["containers"][0]["securityContext"] = {"appArmorProfile": profile}
    assert sidecar_of(pod)["securityContext"]["appArmorProfile"] == profile


@pytest.mark.parametrize("own", [{}, {"pgset-sidecar": "runtime/default"}])
def test_the_apparmor_profile_is_the_databases_by_annotation_too(own):
    """Before Kubernetes 1.30 there is no field, and after that the annotation is taken over."""
    prefix = "container.apparmor.security.beta.kubernetes.io/"
    pod = objects.article_pod()
    theirs = {"postgres": "localhost/pg-hardened", "exporter": "unconfined"}
    pod["metadata"]["annotations"] = {f"{prefix}{it}": to for it, to in (theirs | own).items()}
    annotations = injected(pod)["metadata"]["annotations"]
    found = {it.removeprefix(prefix): to for it, to in annotations.items() if prefix in it}
    ours = {"pgset-sidecar": "localhost/pg-hardened", "pgset-bootstrap": "localhost/pg-hardened"}
    assert found == ours | theirs | own


def test_what_the_two_say_to_each_other_is_in_memory():
    """Whoever fences reads there, and a disk of the node may hang."""
    volumes = injected(objects.article_pod())["spec"]["volumes"]
    assert {"name": "pgset-handshake", "emptyDir": {"medium": "Memory"}} in volumes


def test_the_sidecar_has_no_cpu_limit_in_a_burstable_pod():
    assert sidecar_of(objects.article_pod())["resources"] == {
        "requests": {"cpu": "25m", "memory": "64Mi"},
        "limits": {"memory": "128Mi"},
    }


def test_a_guaranteed_pod_stays_guaranteed():
    spec = injected(objects.golden("run-as-user-guaranteed", "pod"))["spec"]
    for container in spec["initContainers"] + spec["containers"]:
        resources = container["resources"]
        assert {"cpu", "memory"} <= set(resources["limits"])
        assert resources["limits"] == resources["requests"]


@pytest.mark.parametrize(
    ("ttl", "watchdog"),
    [
        (10, {"periodSeconds": 1, "failureThreshold": 3, "timeoutSeconds": 1}),
        (13, {"periodSeconds": 2, "failureThreshold": 3, "timeoutSeconds": 1}),
        (30, {"periodSeconds": 7, "failureThreshold": 3, "timeoutSeconds": 1}),
    ],
)
def test_the_watchdog_follows_the_ttl(ttl, watchdog):
    pod = injected(objects.article_pod(), Settings(set_name="pgset", container="postgres", ttl=ttl))
    probe = pod["spec"]["containers"][0]["livenessProbe"]
    assert watchdog.items() <= probe.items()
    assert probe["terminationGracePeriodSeconds"] == 1


def test_nothing_holds_back_the_watchdog_of_the_database():
    pod = objects.article_pod()
    slow = {"exec": {"command": ["pg_isready"]}, "initialDelaySeconds": 30}
    pod["spec"]["containers"][0].update(startupProbe=slow, livenessProbe=slow, readinessProbe=slow)
    database = injected(pod)["spec"]["containers"][0]
    assert "startupProbe" not in database
    assert "initialDelaySeconds" not in database["livenessProbe"]


PG_ISREADY = {"exec": {"command": ["pg_isready"]}}


@pytest.mark.parametrize(
    "slow",
    [
        {"initialDelaySeconds": 10, "periodSeconds": 1},
        {"periodSeconds": 5},
        {"periodSeconds": 1, "successThreshold": 3},
        {},
    ],
)
def test_a_primary_that_is_back_waits_for_no_slow_readiness_probe(slow):
    pod = objects.article_pod()
    pod["spec"]["containers"][0]["readinessProbe"] = {**PG_ISREADY, **slow}
    found = injected(pod)["spec"]["containers"][0]["readinessProbe"]
    assert found["httpGet"]["path"] == "/readyz"
    assert found["periodSeconds"] == 1
    assert "initialDelaySeconds" not in found
    pod["metadata"]["annotations"]["pgset.dev/probes"] = "keep"
    assert injected(pod)["spec"]["containers"][0]["readinessProbe"] == {**PG_ISREADY, **slow}


def test_a_readiness_probe_that_is_soon_enough_is_kept():
    pod = objects.article_pod()
    mine = {**PG_ISREADY, "periodSeconds": 1}
    pod["spec"]["containers"][0]["readinessProbe"] = mine
    assert injected(pod)["spec"]["containers"][0]["readinessProbe"] == mine


def test_postgresql_is_started_anew_whatever_its_exit_code_is():
    """A fast shutdown, as before a handover, ends with 0."""
    pod = objects.article_pod()
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    pod["spec"]["containers"][0].update(restartPolicy="OnFailure", restartPolicyRules=rules)
    database = injected(pod)["spec"]["containers"][0]
    assert {"restartPolicy", "restartPolicyRules"}.isdisjoint(database)


def test_a_startup_probe_of_another_container_is_kept():
    pod = objects.golden("several-containers", "pod")
    pod["spec"]["containers"].append({"name": "company", "startupProbe": {"exec": {}}})
    assert injected(pod)["spec"]["containers"][-1] == pod["spec"]["containers"][-1]


@pytest.mark.parametrize("ttl", [10, 13, 30, 300])
def test_the_kubelet_stops_postgresql_before_it_restarts_the_sidecar(ttl):
    """A restarted sidecar would answer its probes again; the first failure may come at once."""
    pod = injected(objects.article_pod(), Settings(set_name="pgset", container="postgres", ttl=ttl))
    database = pod["spec"]["containers"][0]["livenessProbe"]
    sidecar = pod["spec"]["initContainers"][0]["livenessProbe"]
    latest = database["periodSeconds"] * database["failureThreshold"] + database["timeoutSeconds"]
    earliest = sidecar["periodSeconds"] * (sidecar["failureThreshold"] - 1)
    assert earliest + sidecar["timeoutSeconds"] > latest


POD_DENIALS = [
    pytest.param(
        lambda pod: pod["metadata"]["annotations"].update({"pgset.dev/ttl": "1s"}),
        'annotation pgset.dev/ttl: "1s" is not allowed; allowed: whole seconds from "9s" to "300s"',
        id="a setting that can't be accepted",
    ),
    pytest.param(
        lambda pod: pod["metadata"]["annotations"].update({"pgset.dev/container": "mysql"}),
        'annotation pgset.dev/container: "mysql" is not a container of the pod; '
        'allowed: "postgres"',
        id="a container that is not there",
    ),
    pytest.param(
        lambda pod: (
            pod["metadata"]["annotations"].pop("pgset.dev/container"),
            pod["spec"]["containers"].append({"name": "exporter"}),
        ),
        "annotation pgset.dev/container is missing, and the pod has 2 containers; "
        'allowed: "postgres", "exporter"',
        id="several containers and no name",
    ),
    pytest.param(
        lambda pod: pod["metadata"].update(name="web-7d9f8b-x2x4z"),
        'pod "web-7d9f8b-x2x4z" has no ordinal; allowed in set "pgset": '
        'pods of its StatefulSet, named "pgset-0", "pgset-1" and so on',
        id="a pod without ordinal",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), POD_DENIALS)
def test_a_pod_is_denied_with_one_sentence(change, sentence):
    pod = objects.changed(objects.article_pod(), change)
    with pytest.raises(DeniedError) as denial:
        mutate_pod(objects.review_of(pod), objects.IMAGE, objects.never_led)
    assert sentence == str(denial.value)
