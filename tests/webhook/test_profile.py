"""Families of images: found by their names or by the annotation, and what follows for a pod."""

import re

import pytest

from sidecar.settings import InvalidSettingError
from tests.support.images_table import PAGE, with_table
from tests.webhook import objects
from tests.webhook.test_injection import bootstrap_of, sidecar_of
from webhook import profile
from webhook.errors import DeniedError
from webhook.mutate import mutate_pod, mutate_statefulset

CRUNCHY = "registry.example.com/crunchydata/crunchy-postgres:ubi8-15.2-5.3.1"


@pytest.mark.parametrize(
    ("image", "family"),
    [(image, it.name) for it in profile.PROFILES for image in it.images],
)
def test_a_family_is_found_by_the_names_that_the_docs_give(image: str, family: str) -> None:
    for registry in ("", "docker.io/", "registry.example.com:5000/hub/"):
        found = profile.by_name(f"{registry}{image}")
        assert found is not None
        assert found.name == family


def test_the_docs_have_the_present_table():
    assert PAGE.read_text() == with_table(PAGE.read_text()), "make images-table"
    rows = (PAGE.parent / "opt-in.md").read_text().splitlines()
    row = next(it for it in rows if it.startswith("| `pgset.dev/profile`"))
    assert set(re.findall(r"`([a-z-]+)`", row)) == set(profile.NAMES)


def pod_of(image, annotations=(), **fields):
    pod = objects.article_pod()
    container = pod["spec"]["containers"][0]
    container.update(image=image, **fields)
    pod["metadata"].setdefault("annotations", {}).update(annotations)
    return pod


def injected(pod):
    verdict = mutate_pod(objects.review_of(pod), objects.IMAGE, objects.never_led)
    return objects.patched(pod, verdict)


def set_of(image, annotations=(), **fields):
    made = objects.article_statefulset()
    made["spec"]["template"]["spec"]["containers"][0].update(image=image, **fields)
    made["metadata"]["annotations"].update(annotations)
    return made


def admitted(statefulset):
    return mutate_statefulset(objects.review_of(statefulset))


def variables(container):
    return {it["name"]: it.get("value", it.get("valueFrom")) for it in container["env"]}


@pytest.mark.parametrize(
    ("image", "uid", "command"),
    [
        ("postgres:17", 999, ["docker-entrypoint.sh", "postgres"]),
        ("company/database:1", 999, ["docker-entrypoint.sh", "postgres"]),
        ("mirror/postgres:17-alpine", 70, ["docker-entrypoint.sh", "postgres"]),
        ("timescale/timescaledb:2.17.2-pg16", 70, ["docker-entrypoint.sh", "postgres"]),
        ("timescale/timescaledb-ha:pg16", 1000, ["docker-entrypoint.sh", "postgres"]),
        ("percona/percona-distribution-postgresql:16.4", 26, ["/entrypoint.sh", "postgres"]),
        ("dhi.io/postgres:17", 70, ["/usr/local/bin/docker-entrypoint.sh"]),
        ("ghcr.io/cloudnative-pg/postgresql:16", 26, ["docker-entrypoint.sh", "postgres"]),
    ],
)
def test_a_pod_is_given_the_uid_and_the_entrypoint_of_its_family(image, uid, command):
    pod = injected(pod_of(image, env=[{"name": "PGDATA", "value": "/var/lib/postgresql/data/a"}]))
    assert sidecar_of(pod)["securityContext"]["runAsUser"] == uid
    assert bootstrap_of(pod)["args"] == command
    assert variables(bootstrap_of(pod))["PGSET_UID"] == str(uid)


def test_the_annotation_counts_before_the_name():
    said = {"pgset.dev/profile": "percona"}
    pod = injected(pod_of("postgres:17", said))
    assert sidecar_of(pod)["securityContext"]["runAsUser"] == 26
    made = set_of("mirror/bitnami/postgresql:17", {"pgset.dev/profile": "official"})
    assert admitted(made).patch


@pytest.mark.parametrize("family", ["bitnami", "", "Official"])
def test_no_other_family_can_be_said(family):
    with pytest.raises(InvalidSettingError, match='allowed: "hardened", "alpine"'):
        profile.parse(family)
    with pytest.raises(DeniedError, match=r"pgset\.dev/profile"):
        admitted(set_of("postgres:17", {"pgset.dev/profile": family}))


@pytest.mark.parametrize(
    ("image", "directory"),
    [
        ("timescale/timescaledb-ha:pg16", "/home/postgres/pgdata/data"),
        ("percona/percona-distribution-postgresql:16.4", "/data/db"),
        ("dhi.io/postgres:17", "/var/lib/postgresql/17/data"),
        ("timescale/timescaledb:2.24.0-pg18", "/var/lib/postgresql/18/docker"),
        ("ghcr.io/postgis/postgis:18-3.6-alpine", "/var/lib/postgresql/18/docker"),
    ],
)
def test_data_that_would_be_on_no_volume_is_refused_in_every_family(image, directory):
    elsewhere = [{"name": "pgdata", "mountPath": "/elsewhere"}]
    with pytest.raises(DeniedError, match=f"no volume is mounted at .* {directory} or"):
        admitted(set_of(image, volumeMounts=elsewhere))
    above = [{**OF_THE_POD, "mountPath": directory.rpartition("/")[0]}]
    assert admitted(set_of(image, volumeMounts=above)).patch


@pytest.mark.parametrize(
    ("image", "is_unknown"),
    [
        *(("postgres:17", False), ("mirror/library/postgres:17", False)),
        *(("company/postgres:17", True), ("company/database:17", True), (CRUNCHY, False)),
    ],
)
def test_bootstrap_looks_at_the_entrypoint_of_an_image_that_nobody_knows(image, is_unknown):
    fields = {"env": [{"name": "PG_ROOT_PASSWORD", "value": "x"}]}
    pod = injected(pod_of(image, **fields))
    assert ("PGSET_UNKNOWN_IMAGE" in variables(bootstrap_of(pod))) == is_unknown


# ── crunchy: PostgreSQL itself, in place of the start script ──────────────────────────────

ROOT = {"name": "PG_ROOT_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
OWNER = {"name": "PG_USER", "value": "app"}
OF_THE_POD = {"name": "pgdata", "subPathExpr": "$(POD_NAME)"}
PGDATA_MOUNT = {"volumeMounts": [{**OF_THE_POD, "mountPath": "/pgdata"}]}


def test_postgres_itself_is_started_where_the_start_script_has_the_data():
    scripts = ["/opt/crunchy/bin/start.sh"]
    ignored = {"name": "PGDATA", "value": "/ignored"}
    pod = injected(pod_of(CRUNCHY, env=[ignored, ROOT, OWNER], args=scripts, **PGDATA_MOUNT))
    database = pod["spec"]["containers"][0]
    assert database["command"] == ["postgres"]
    assert "args" not in database
    name = {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}
    for container in (database, bootstrap_of(pod)):
        assert variables(container)["PGSET_POD_NAME"] == name
        assert variables(container)["PGDATA"] == "/pgdata/$(PGSET_POD_NAME)"
    assert bootstrap_of(pod)["args"] == ["postgres"]
    assert injected(pod) == pod


def test_the_sidecar_learns_the_superusers_password_by_the_official_name():
    pod = injected(pod_of(CRUNCHY, env=[ROOT, OWNER], **PGDATA_MOUNT))
    told = variables(sidecar_of(pod))
    assert told["PG_ROOT_PASSWORD"] == ROOT["valueFrom"]
    assert told["POSTGRES_PASSWORD"] == "$(PG_ROOT_PASSWORD)"
    assert variables(bootstrap_of(pod))["PGSET_OWNER"] == "$(PG_USER)"


def test_a_file_with_the_password_counts_before_the_variable():
    mounts = [*PGDATA_MOUNT["volumeMounts"], {"name": "root", "mountPath": "/pgroot"}]
    pod = injected(pod_of(CRUNCHY, env=[ROOT], volumeMounts=mounts))
    told = variables(sidecar_of(pod))
    assert told["POSTGRES_PASSWORD_FILE"] == "/pgroot/password"
    assert "POSTGRES_PASSWORD" not in told


def test_another_folder_than_the_pods_name_is_where_the_data_is():
    other = {"name": "PGDATA_PATH_OVERRIDE", "value": "mine"}
    pod = injected(pod_of(CRUNCHY, env=[ROOT, other], **PGDATA_MOUNT))
    assert variables(pod["spec"]["containers"][0])["PGDATA"] == "/pgdata/mine"


def test_others_may_refer_to_pgdata_where_it_stood():
    env = [
        {"name": "PGDATA", "value": "/ignored"},
        {"name": "CONF", "value": "$(PGDATA)/x"},
        ROOT,
    ]
    pod = injected(pod_of(CRUNCHY, env=env, workingDir="/srv", **PGDATA_MOUNT))
    for container in (pod["spec"]["containers"][0], bootstrap_of(pod)):
        names = [it["name"] for it in container["env"]]
        assert names[:3] == ["PGSET_POD_NAME", "PGDATA", "CONF"]
        assert container["workingDir"] == "/srv"


@pytest.mark.parametrize("field", ["envFrom", "hostNetwork", "setHostnameAsFQDN"])
def test_a_folder_whose_name_is_not_known_is_refused(field):
    from_elsewhere = [{"configMapRef": {"name": "settings"}}]

    def opted_in(*env):
        made = set_of(CRUNCHY, env=[ROOT, *env], **PGDATA_MOUNT)
        spec = made["spec"]["template"]["spec"]
        if field == "envFrom":
            spec["containers"][0][field] = from_elsewhere
        else:
            spec[field] = True
        return admitted(made)

    with pytest.raises(DeniedError, match=f"with {field} the image's own script"):
        opted_in()
    assert opted_in({"name": "PGDATA_PATH_OVERRIDE", "value": "mine"}).patch


def test_a_command_of_the_users_own_stays():
    command = ["postgres", "-c", "work_mem=8MB"]
    pod = injected(pod_of(CRUNCHY, env=[ROOT], command=command, **PGDATA_MOUNT))
    assert pod["spec"]["containers"][0]["command"] == command
    assert "PGDATA" not in variables(pod["spec"]["containers"][0])


def test_without_a_password_that_pgset_finds_the_set_is_refused():
    from_elsewhere = [{"secretRef": {"name": "all"}}]
    with pytest.raises(DeniedError, match="allowed: env PG_ROOT_PASSWORD, not by envFrom"):
        admitted(set_of(CRUNCHY, env=[], envFrom=from_elsewhere, **PGDATA_MOUNT))
    verdict = admitted(set_of(CRUNCHY, env=[ROOT], **PGDATA_MOUNT))
    assert any("in place of the image's own start script" in it for it in verdict.warnings)
    with pytest.raises(DeniedError, match="is PostgreSQL 9, and pgset"):
        admitted(set_of("crunchydata/crunchy-postgres:centos7-9.5-1.2.6", env=[ROOT]))
