"""What is refused before a running database is rolled, and what a set that runs may keep."""

import pytest

from tests.webhook import objects
from tests.webhook.changes import (
    annotate,
    in_database,
    together,
    verdict_on,
    with_env,
    with_template_annotations,
)
from webhook.errors import DeniedError
from webhook.mutate import mutate_pod, mutate_statefulset

ANOTHER_PORT = (
    'container "postgres": the arguments set port to "5433", but annotation pgset.dev/port says '
    '"5434"; allowed: the same in both, or no annotation'
)


def with_args(*arguments, **fields):
    return in_database(args=["postgres", *arguments], **fields)


def replicas(number):
    return lambda statefulset: statefulset["spec"].update(replicas=number)


def mounted_at(path, **fields):
    mount = {"name": "pgdata", "mountPath": path, "subPathExpr": "$(POD_NAME)"}
    return in_database(volumeMounts=[mount], **fields)


def on_one_volume_for_all(source="persistentVolumeClaim", *, claimed=False, **mount):
    """The data directory is in no folder of the pod's name."""

    def change(statefulset):
        spec = statefulset["spec"]["template"]["spec"]
        path = {"mountPath": "/var/lib/postgresql/data"}
        spec["containers"][0]["volumeMounts"] = [{"name": "pgdata", **path, **mount}]
        spec["volumes"] = [{"name": "pgdata", source: {}}]
        if claimed:  # which takes the place of the volume
            statefulset["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "pgdata"}}]

    return change


def shell(script, *arguments):
    return in_database(command=["sh", "-c", script], args=list(arguments))


def with_secret_of_mode(mode, **context):
    return with_password_in({"secret": {"secretName": "a", "defaultMode": mode}}, **context)


def with_password_in(volume, *, path="/secrets/pw", mount=None, **context):
    """A password in a file of this volume, and a securityContext of the pod."""

    def change(statefulset):
        with_env(POSTGRES_PASSWORD_FILE=path)(statefulset)
        spec = statefulset["spec"]["template"]["spec"]
        spec["securityContext"] = context
        own = {"name": "secrets", "mountPath": "/secrets", **(mount or {})}
        spec["containers"][0]["volumeMounts"].append(own)
        spec["volumes"] = [*spec.get("volumes", []), {"name": "secrets", **volume}]

    return change


def filled_by(volume):
    mounts = [{"name": volume, "mountPath": "/to"}]
    return lambda statefulset: statefulset["spec"]["template"]["spec"].update(
        initContainers=[{"name": "fetch", "volumeMounts": mounts}]
    )


def item(mode, path="pw"):
    return {"secret": {"items": [{"key": "a", "path": path, "mode": mode}], "defaultMode": 0o444}}


def projected(default_mode, *sources):
    return {"projected": {"defaultMode": default_mode, "sources": list(sources)}}


PW_ALONE = {"mountPath": "/secrets/pw", "subPath": "pw"}


REFUSED = [
    (together(annotate(port="5434"), with_args("-p", "5433")), ANOTHER_PORT),
    (together(annotate(port="5432"), with_env(PGPORT="5433")), 'PGPORT is "5433", but annotation'),
    (
        together(annotate(port="5432"), shell('PGPORT=5433 exec postgres "$@"', "x")),
        'PGPORT is "5433", but annotation',
    ),
    (with_args("-p", "8008"), 'the arguments set port to "8008"; allowed: a port from 1 to 65535'),
    (with_args("-p", "65536"), 'the arguments set port to "65536"'),
    (with_env(PGPORT="postgresql"), 'PGPORT is "postgresql"'),
    (with_args("-D", "/other"), '-D is "/other", but pgset'),
    (with_args("-D", "$(PGDATA)"), "-D is"),
    (with_args("--data-directory=/other"), 'data_directory is "/other"'),
    (shell('export PGDATA=/other; exec postgres "$@"', "x"), 'the script\'s PGDATA is "/other"'),
    (shell("exec docker-entrypoint.sh postgres"), "passes no arguments on"),
    (shell("/scripts/start.sh"), "passes no arguments on"),
    (shell('docker-entrypoint.sh "$@"', "-", "postgres"), "without exec"),
    (shell('exec docker-entrypoint.sh postgres "$@"'), "no word after the shell's script"),
    (shell('exec docker-entrypoint.sh "$@" 2>&1 | tee /log', "-", "postgres"), "in a pipeline"),
    (shell('exec docker-entrypoint.sh "$@" & wait', "-", "postgres"), "in a pipeline"),
    (in_database(command=["su", "postgres", "-c", "postgres"]), "su starts PostgreSQL as a child"),
    (shell('exec runuser -u postgres -- postgres "$@"', "x"), "runuser starts PostgreSQL as a"),
    (
        shell('su - postgres -c "pg_ctl start"; tail -f "$@"', "x"),
        "su starts PostgreSQL as a child",
    ),
    (shell('su postgres -c \'PGPORT=1 exec "postgres" -F\' -- "$@"', "x"), "su starts PostgreSQL"),
    (shell('pg_ctl -w start -o "$@"; sleep inf', "x"), "pg_ctl starts PostgreSQL as a child"),
    (shell('exec tini -- docker-entrypoint.sh "$@"', "-", "postgres"), "tini before the shell, or"),
    (shell('exec gosu postgres dumb-init "$@"', "-", "postgres"), "dumb-init before the shell"),
    (in_database(command=["/init"]), "init starts PostgreSQL as a child"),
    (in_database(command=["supervisord", "-n"]), "supervisord starts PostgreSQL as a child"),
    (in_database(command=["s6-setuidgid", "a"], args=["postgres", "-p0"]), 'port to "0"'),
    (in_database(command=["tini", "--"], args=["postgres", "-D", "/other"]), '-D is "/other", but'),
    (with_args("-h", "localhost"), 'listen_addresses to "localhost"'),
    (with_args("-c", "listen_addresses=10.0.0.7"), 'listen_addresses to "10.0.0.7"'),
    (with_args("-c", "listen_addresses="), 'listen_addresses to ""'),
    (with_args("-c", "recovery_target_time=2020-01-01"), "set recovery_target_time"),
    (with_args("-c", "recovery-target-timeline=current"), "set recovery_target_timeline"),
    (with_args("-c", "primary_conninfo=host=a"), "set primary_conninfo"),
    (with_args("-c", "promote_trigger_file=/tmp/x"), "set promote_trigger_file"),
    (with_args("-c", "hot_standby=off"), "set hot_standby to off"),
    (with_args("-c", "hot_standby=F"), "set hot_standby to off"),
    (with_args("-c", "recovery_min_apply_delay=5min"), "set recovery_min_apply_delay"),
    (with_args("--allow-alter-system=of"), "set allow_alter_system to off"),
    (with_args("-c", "wal_level=minimal"), 'wal_level to "minimal"'),
    (with_args("-c", "max_wal_senders=0"), 'max_wal_senders to "0"'),
    (
        together(replicas(3), with_args("-c", "max_wal_senders=2")),
        'max_wal_senders to "2", and 3 members need 3',
    ),
    (with_args("-c", "max_replication_slots = 0"), 'max_replication_slots to "0"'),
    (
        together(replicas(3), with_args("--max-replication-slots=1")),
        'max_replication_slots to "1", and 3 members need 2',
    ),
    (
        together(annotate(durability="sync"), with_args("-c", "synchronous_standby_names=*")),
        "set synchronous_standby_names",
    ),
    (
        together(annotate(durability="sync"), with_args("-c", "synchronous_commit=OFF")),
        'set synchronous_commit to "OFF", with which commits do not keep durability "sync"',
    ),
    (
        together(annotate(durability="quorum"), with_args("--synchronous-commit=remote_write")),
        'set synchronous_commit to "remote_write"',
    ),
    (in_database(volumeMounts=[]), "no volume is mounted at the data directory"),
    (in_database(image="postgres:18"), "data directory /var/lib/postgresql/18/docker or above"),
    (with_env(PGDATA="/data/pg"), "data directory /data/pg or above"),
    (
        together(with_env(PGDATA="/opt/pg"), mounted_at("/opt")),
        "the data directory /opt/pg is on a volume at /opt, where the sidecar",
    ),
    (mounted_at("/var/lib/postgresql/data2"), "data directory /var/lib/postgresql/data or above"),
]


def selected_by(**selector):
    return lambda statefulset: statefulset["spec"]["selector"].update(selector)


REFUSED += [
    (selected_by(matchLabels={"pgset.dev/set": "pgset"}), "spec.selector has the label pgset.dev"),
    (
        selected_by(matchExpressions=[{"key": "pgset.dev/set", "operator": "Exists"}]),
        "spec.selector has the label pgset.dev/set",
    ),
]

SECRET = {"secret": {"secretName": "a"}}
READ_ONLY = {"mountPath": "/var/run", "readOnly": True}
REFUSED += [
    (
        with_password_in(SECRET, path="/run/secrets/pw", mount={"mountPath": "/run/secrets"}),
        'mountPath "/run/secrets" is read-only, and pgset\'s containers have /var/run/secrets/kub',
    ),
    (
        with_password_in(SECRET, path="/var/run/pw", mount={"mountPath": "/var/run/"}),
        'mountPath "/var/run/" is read-only',
    ),
    (
        with_password_in({"persistentVolumeClaim": {}}, path="/run/pw", mount=READ_ONLY),
        'mountPath "/var/run" is read-only',
    ),
]

ONE_FOR_ALL = 'volume "pgdata" is the same for all pods, and the data directory'
REFUSED += [
    (on_one_volume_for_all(), ONE_FOR_ALL),
    (on_one_volume_for_all(subPath="pg"), ONE_FOR_ALL),
    (on_one_volume_for_all("nfs"), ONE_FOR_ALL),
    (
        together(on_one_volume_for_all(), with_env(PGDATA="/var/lib/postgresql/data/17")),
        ONE_FOR_ALL,
    ),
]

REFUSED += [
    (with_env(POSTGRES_PASSWORD_FILE="/secrets/pw"), "which is on no volume of the template"),
    (with_env(POSTGRES_USER_FILE="/secrets/user"), "which is on no volume of the template"),
    (with_template_annotations(**{"linkerd.io/inject": "enabled"}), "the proxy of Linkerd"),
    (with_secret_of_mode(0o400), "a file of mode 0400 of a secret"),
    (with_password_in({"emptyDir": {}}), 'on emptyDir "secrets", which no init container mounts'),
    (together(with_password_in({"emptyDir": {}}), filled_by("other")), "no init container mounts"),
    (with_password_in(item(0o440)), "a file of mode 0440 of a secret"),
    (with_password_in(item(0o400), mount=PW_ALONE), "a file of mode 0400 of a secret"),
    (with_password_in(projected(0o400, {"secret": {"name": "a"}})), "a file of mode 0400"),
    (with_password_in(projected(0o444, item(0o400))), "a file of mode 0400 of a secret"),
]

REFUSED += [
    (in_database(image=image), why)
    for image, why in {
        "ghcr.io/zalando/spilo-17:4.0-p2": "runs Patroni",
        "registry.example.com/crunchydata/crunchy-postgres-ha:ubi8-14.2": "runs Patroni",
        "bitnami/postgresql-repmgr:16": "runs repmgr",
        "docker.io/bitnami/postgresql:16.1.0-debian-11-r9": "removes standby.signal",
        "bitnamilegacy/postgresql@sha256:0123": "removes standby.signal",
        "crunchydata/crunchy-postgres:centos8-13.5-4.7.4": "is PostgreSQL 13, and pgset",
        "supabase/postgres:15.1.0.117": "directory that PGDATA does not name",
        "quay.io/sclorg/postgresql-15-c9s": "changes passwords",
        "postgres:13-alpine": "is PostgreSQL 13, and pgset runs 14 to 18",
        "postgres:19-trixie": "is PostgreSQL 19,",
        "postgis/postgis:19beta1-3.6": "is PostgreSQL 19,",
        "pgvector/pgvector:0.9.0-pg19": "is PostgreSQL 19,",
        "postgres:9.6": "is PostgreSQL 9,",
        "docker.io/library/postgres:9": "is PostgreSQL 9,",
        "mirror.example.com/hub/library/postgres:12.0.1": "is PostgreSQL 12,",
        "postgis/postgis:13-3.4": "is PostgreSQL 13,",
        "company/postgres:9.6.24-1": "is PostgreSQL 9,",
        "company/postgres:13.4": "is PostgreSQL 13,",
        "company/postgres:12beta1": "is PostgreSQL 12,",
        "timescale/timescaledb:2.11.0-pg13": "is PostgreSQL 13,",
    }.items()
]

ACCEPTED = [
    with_args("-c", "max_wal_senders=3", "-c", "max_replication_slots=2"),
    *(
        in_database(image=image)
        for image in (
            "",
            "postgres",
            "postgres:latest",
            "postgres:14.1@sha256:0123",
            "localhost:5000/postgres",
            "postgis/postgis:17-3.5",
            "pgvector/pgvector:0.8.0-pg17",
            "timescale/timescaledb:2.17.2-pg16",
            "company/postgresql:12",
            "company/postgres:1.2.3",
            "company/postgres:5",
            "company/postgres:9",
            "company/postgres:12.0.1",
            "company/postgres:12ab34cd",
            "company/postgres:18.0.1",
            "company/postgres:20.04",
            "company/postgres:24.04",
            "company/postgres:2024.1",
            "registry.example.com:5000/postgres:3",
            "company/postgis:3.4",
            # Longer than any that exists, and than what is looked through for each such name.
            "a/" * 500_000 + "spilo-17",
        )
    ),
    with_env(POSTGRES_PASSWORD_FILE="/var/lib/postgresql/data/pw"),
    with_secret_of_mode(0o444),
    with_password_in(SECRET, path="/run/secrets/pw/a", mount={"mountPath": "/run/secrets/pw"}),
    with_password_in(
        SECRET, path="/run/secrets/pw", mount={"mountPath": "/run/secrets/pw", "subPath": "pw"}
    ),
    together(
        with_password_in({"emptyDir": {}}, path="/run/pw", mount={"mountPath": "/run"}),
        filled_by("secrets"),
    ),
    with_secret_of_mode(0o400, fsGroup=999),
    with_password_in(item(0o440), runAsGroup=0),
    with_password_in(item(0o400, path="other")),
    with_password_in(projected(0o444, {"secret": {"name": "a"}}, item(0o400, path="other"))),
    together(with_password_in({"emptyDir": {}}), filled_by("secrets")),
    with_password_in({"persistentVolumeClaim": {"claimName": "a"}}),
    on_one_volume_for_all(claimed=True),
    on_one_volume_for_all("hostPath"),
    on_one_volume_for_all(subPathExpr="pg/$(POD_NAME)"),
    together(on_one_volume_for_all(), replicas(1)),
    together(on_one_volume_for_all(), with_env(PGDATA="/var/lib/postgresql/data/$(POD_NAME)")),
    with_args("-p", "5432"),
    with_args("-p", "5432", "-c", "shared_buffers=1GB"),
    with_args("-p", "5433"),
    with_args("--port=0x1539"),
    together(annotate(port="5433"), with_args("-p", "$(PORT_OF_A_SECRET)")),
    together(
        annotate(port="5433"), in_database(ports=[{"containerPort": 5434, "name": "postgres"}])
    ),
    with_args("-p", "$(PORT_OF_A_SECRET)"),
    together(with_env(PGPORT="5433"), with_args("-p", "5432")),
    with_args("-c", "config_file=/etc/postgresql/postgresql.conf"),
    with_args("-c", "listen_addresses=*"),
    with_args("-h", "0.0.0.0"),
    with_args("-c", "listen_addresses=localhost,$(POD_IP)"),
    with_args("-c", "recovery_target_timeline=latest", "-c", "recovery_target_action=promote"),
    with_args("-c", "synchronous_standby_names=*"),
    with_args("-c", "synchronous_commit=off"),
    together(annotate(durability="sync"), with_args("-c", "synchronous_commit=remote_apply")),
    together(annotate(durability="sync"), with_args("-c", "synchronous_commit=$(OF_A_SECRET)")),
    with_args("-c", "allow_alter_system=on", "-c", "hot_standby=TRUE"),
    with_args("-c", "recovery_min_apply_delay=0"),
    with_args("-c", "wal_level=logical", "-c", "max_wal_senders=20"),
    shell('cp /tls/* /certs; exec "$0" "$@"', "docker-entrypoint.sh", "postgres"),
    in_database(command=["/scripts/start.sh"]),
    mounted_at("/var/lib/postgresql/", image="postgres:18"),
    in_database(image="registry:5000/postgres:17.2-alpine"),
    mounted_at("/somewhere", image="my/database:18"),
    mounted_at("/somewhere", envFrom=[{"configMapRef": {"name": "a"}}]),
    with_env(PGDATA="/var/lib/postgresql/data/pgdata"),
    with_env(MOUNT="/var/lib/postgresql/data", PGDATA="$(MOUNT)/pgdata"),
]


@pytest.mark.parametrize(("change", "sentence"), REFUSED)
def test_what_cannot_be_a_member_is_refused_at_the_opt_in(change, sentence):
    plain = objects.article_statefulset()
    wanted = objects.changed(plain, change)
    with pytest.raises(DeniedError) as denial:
        mutate_statefulset(objects.review_of(wanted, "UPDATE", old=plain))
    assert sentence in str(denial.value)
    assert "; allowed: " in str(denial.value)


@pytest.mark.parametrize("change", ACCEPTED)
def test_what_can_be_a_member_is_accepted(change):
    assert verdict_on(change).patch


def test_the_sentence_says_what_where_and_what_is_allowed():
    with pytest.raises(DeniedError) as denial:
        verdict_on(together(annotate(port="5434"), with_args("-p", "5433")))
    assert str(denial.value) == ANOTHER_PORT


def stamped(change):
    """A set as an earlier version, which did not look at these things, opted it in."""
    plain = objects.article_statefulset()
    verdict = mutate_statefulset(objects.review_of(plain))
    return objects.changed(objects.patched(plain, verdict), change)


@pytest.mark.parametrize(("change", "sentence"), REFUSED)
def test_what_an_earlier_version_accepted_is_warned_of_and_goes_on(change, sentence):
    before = stamped(change)
    after = objects.changed(before, lambda s: s["metadata"].update(labels={"chart": "new"}))
    verdict = mutate_statefulset(objects.review_of(after, "UPDATE", old=before))
    assert sentence in " ".join(verdict.warnings)
    assert all(len(warning) <= 120 for warning in verdict.warnings)


def test_an_update_that_brings_a_fault_is_refused_in_a_set_that_has_another():
    before = stamped(with_env(PGPORT="8008"))
    after = objects.changed(before, with_args("-D", "/other"))
    with pytest.raises(DeniedError, match="-D is"):
        mutate_statefulset(objects.review_of(after, "UPDATE", old=before))


def test_a_set_of_one_on_a_volume_for_all_is_not_scaled_by_an_update():
    before = stamped(together(on_one_volume_for_all(), replicas(1)))
    after = objects.changed(before, replicas(3))
    with pytest.raises(DeniedError, match="is the same for all pods"):
        mutate_statefulset(objects.review_of(after, "UPDATE", old=before))


def test_a_set_with_too_few_senders_for_its_members_may_shrink():
    before = stamped(together(replicas(5), with_args("-c", "max_wal_senders=2")))
    after = objects.changed(before, replicas(4))
    verdict = mutate_statefulset(objects.review_of(after, "UPDATE", old=before))
    assert "4 members need 4" in " ".join(verdict.warnings)


def test_another_tag_of_an_image_that_was_accepted_is_no_new_fault():
    before = stamped(in_database(image="postgres:13.4"))
    after = objects.changed(before, in_database(image="postgres:13.5"))
    verdict = mutate_statefulset(objects.review_of(after, "UPDATE", old=before))
    assert "PostgreSQL 13" in " ".join(verdict.warnings)


def test_a_stamp_alone_makes_no_set_of_a_plain_statefulset():
    before = stamped(together(with_args("-p", "8008"), lambda s: s["metadata"].pop("annotations")))
    after = objects.changed(before, annotate_anew)
    with pytest.raises(DeniedError, match="port"):
        mutate_statefulset(objects.review_of(after, "UPDATE", old=before))


def annotate_anew(statefulset):
    statefulset["metadata"]["annotations"] = {"pgset.dev/enabled": "true"}


# ── Pods ──────────────────────────────────────────────────────────────────────────────────


def in_pod(**fields):
    return lambda pod: pod["spec"]["containers"][0].update(fields)


GIVEN = [{"name": "PGDATA", "value": "/var/lib/postgresql/data"}]

NO_MEMBER = [
    (in_pod(args=["postgres", "-p8008"]), "port"),
    (in_pod(args=["postgres", "-D", "/other"], env=GIVEN), "-D is"),
    (in_pod(volumeMounts=[{"name": "pgdata", "mountPath": "/else"}], env=GIVEN), "no volume"),
    (in_pod(volumeMounts=[]), "no volume is mounted"),
]


@pytest.mark.parametrize(("change", "word"), NO_MEMBER)
def test_a_pod_that_can_never_be_a_member_is_refused_in_a_set_that_has_not_led(change, word):
    pod = objects.changed(objects.article_pod(), change)
    with pytest.raises(DeniedError, match=word):
        mutate_pod(objects.review_of(pod), objects.IMAGE, objects.never_led)


@pytest.mark.parametrize(("change", "_word"), NO_MEMBER)
def test_no_set_that_works_loses_its_pods(change, _word):
    pod = objects.changed(objects.article_pod(), change)
    assert mutate_pod(objects.review_of(pod), objects.IMAGE, objects.has_led).patch


@pytest.mark.parametrize(
    "change",
    [
        in_pod(args=["postgres", "-D", "/var/lib/postgresql/data/"], env=GIVEN),
        in_pod(args=["postgres", "-D", "/data"], image="company/postgres:17"),
        in_pod(
            volumeMounts=[{"name": "pgdata", "mountPath": "/data"}], image="company/postgres:17"
        ),
        in_pod(command=["sh", "-c", "exec docker-entrypoint.sh postgres"]),
        lambda pod: pod["spec"]["containers"][0]["env"].append({"name": "PGPORT", "value": "8008"}),
    ],
)
def test_a_pod_that_may_become_a_member_is_not_refused(change):
    """While a running database is rolled in: a file may set the port, an image another PGDATA."""
    pod = objects.changed(objects.article_pod(), change)
    assert mutate_pod(objects.review_of(pod), objects.IMAGE, objects.never_led).patch
