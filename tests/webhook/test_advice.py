import pytest

from tests.webhook import objects
from tests.webhook.changes import (
    annotate,
    in_database,
    in_pod_spec,
    together,
    verdict_on,
    with_second_container,
    with_template_annotations,
)
from webhook.advice import ADVICE
from webhook.change_advice import OTHER_NAMES, SEVERAL, UNLOGGED
from webhook.mutate import mutate_statefulset
from webhook.review import MAX_WARNING


def named_with_second_container(statefulset):
    with_second_container(statefulset)
    statefulset["metadata"]["annotations"]["pgset.dev/container"] = "postgres"


def on_an_empty_dir(statefulset):
    statefulset["spec"]["template"]["spec"]["volumes"] = [{"name": "pgdata", "emptyDir": {}}]


def with_its_data_on_an_empty_dir(statefulset):
    """And something else on a volume that stays."""
    spec = statefulset["spec"]["template"]["spec"]
    spec["volumes"].append({"name": "scratch", "emptyDir": {}})
    spec["containers"][0]["volumeMounts"] = [
        {"name": "pgdata", "mountPath": "/backup"},
        {"name": "scratch", "mountPath": "/var/lib/postgresql/data"},
    ]


def on_the_node(statefulset):
    statefulset["spec"]["template"]["spec"]["volumes"] = [
        {"name": "pgdata", "hostPath": {"path": "/srv/pg"}}
    ]


def alone_on_the_volume_of_all(statefulset):
    statefulset["spec"]["replicas"] = 1
    mounts = statefulset["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    mounts[0].pop("subPathExpr")


def mounting(path):
    mounts = objects.article_statefulset()["spec"]["template"]["spec"]["containers"][0][
        "volumeMounts"
    ]
    return in_database(volumeMounts=[*mounts, {"name": "more", "mountPath": path}])


def with_variable(name, value):
    def change(statefulset):
        container = statefulset["spec"]["template"]["spec"]["containers"][0]
        container["env"].append({"name": name, "value": value})

    return change


def keeping(**policy):
    return lambda it: it["spec"].update(persistentVolumeClaimRetentionPolicy=policy)


TRUST = {"name": "POSTGRES_HOST_AUTH_METHOD", "value": "trust"}
SNAPSHOT = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "nightly"}


def claiming(replicas=3, **spec):
    claims = [{"metadata": {"name": "data"}, "spec": spec}]
    return lambda it: it["spec"].update(replicas=replicas, volumeClaimTemplates=claims)


def rolling(**update):
    """In a set of three."""

    def change(statefulset):
        statefulset["spec"].update(replicas=3, updateStrategy={"rollingUpdate": update})

    return change


def kept_by(replicas, durability):
    def change(statefulset):
        annotate(durability=durability)(statefulset)
        statefulset["spec"].update(replicas=replicas)

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda _: None,
        kept_by(2, "async"),
        kept_by(2, "sync"),
        kept_by(3, "sync-strict"),
        kept_by(3, "quorum"),
        rolling(partition=0, maxUnavailable=1),
        rolling(maxUnavailable="33%"),
        keeping(whenDeleted="Delete"),
        in_pod_spec(terminationGracePeriodSeconds=10),
        in_database(readinessProbe={"initialDelaySeconds": 1, "periodSeconds": 1}),
        mounting("/var/lib/postgresql/data-of-others"),
        in_database(args=["-c", "hba_file=/var/lib/postgresql/data/pg_hba.conf"]),
        in_database(args=["-c", "fsync=on"]),
        with_template_annotations(**{"conjur.org/inject": "no"}),
        in_database(
            command=["sh", "-c", 'chown 999 /certs/*; exec "$0" "$@"', "docker-entrypoint.sh"],
            securityContext={"runAsUser": 999},
        ),
    ],
    ids=[
        "the article's",
        "async",
        "sync",
        "sync-strict of 3",
        "quorum of 3",
        "one after the other",
        "a third of three at once",
        "volumes that go with the StatefulSet alone",
        "10 s of grace",
        "readiness within 2 s",
        "a mount beside PGDATA",
        "the hba_file that pgset writes",
        "data that is safe",
        "an injector that is to stay away",
        "chown by who was no root before",
    ],
)
def test_what_will_do_needs_no_warning(change):
    assert verdict_on(change).warnings == ()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda s: s["spec"].update(podManagementPolicy="OrderedReady"), "OrderedReady"),
        (lambda s: s["spec"].pop("podManagementPolicy"), "back up the Lease"),
        (lambda s: s["spec"].update(replicas=1), "replicas: 1"),
        (lambda s: s["spec"].update(updateStrategy={"type": "OnDelete"}), "OnDelete"),
        (rolling(partition=1), "partition: pods below it do not get"),
        (rolling(maxUnavailable=2), "several members at once"),
        (rolling(maxUnavailable="34%"), "several members at once"),
        (keeping(whenScaled="Delete"), "whenScaled: Delete"),
        (claiming(dataSource=SNAPSHOT), "copy of one dataSource"),
        (claiming(dataSourceRef=SNAPSHOT), "copy of one dataSource"),
        (on_an_empty_dir, "no persistent volume"),
        (with_its_data_on_an_empty_dir, "no persistent volume"),
        (on_the_node, "on a hostPath"),
        (mounting("/var/lib/postgresql/data/pg_wal"), "inside PGDATA"),
        (mounting("/var/lib/postgresql/data/conf/extra.conf"), "inside PGDATA"),
        (in_database(args=["postgres", "-F"]), "may damage the data"),
        (in_database(args=["-c", "full_page_writes=0"]), "may damage the data"),
        (in_database(args=["-c", "synchronous_standby_names=FIRST 1 (a)"]), "commits hang"),
        (in_database(args=["-c", "hba_file=/etc/postgresql/pg_hba.conf"]), "are not let in"),
        (
            in_database(
                command=["sh", "-c", 'chown 999 /certs/*; exec "$0" "$@"', "docker-entrypoint.sh"]
            ),
            "chown also runs in bootstrap",
        ),
        (in_database(livenessProbe={"tcpSocket": {"port": 5432}}), "livenessProbe"),
        (in_database(startupProbe={"exec": {"command": ["pg_isready"]}}), "startupProbe"),
        (in_database(restartPolicy="OnFailure"), "restartPolicy"),
        (in_database(restartPolicyRules=[{"action": "Restart"}]), "restartPolicyRules"),
        (in_database(lifecycle={"postStart": {"exec": {"command": ["x"]}}}), "postStart"),
        (in_database(readinessProbe={"initialDelaySeconds": 6}), "readinessProbe is replaced"),
        (in_database(readinessProbe={"exec": {"command": ["true"]}}), "pgset.dev/probes: keep"),
        (
            together(annotate(probes="keep"), in_database(readinessProbe={"periodSeconds": 5})),
            "the readinessProbe is kept",
        ),
        (mounting("/docker-entrypoint-initdb.d"), "init scripts"),
        (mounting("/docker-entrypoint-initdb.d/roles.sql"), "init scripts"),
        (with_template_annotations(**{"dapr.io/enabled": "true"}), "logs in by the API token"),
        (with_template_annotations(**{"conjur.org/inject": "yes"}), "logs in by the API token"),
        (with_template_annotations(**{"akeyless/enabled": "true"}), "logs in by the API token"),
        (
            with_template_annotations(**{"org.infisical.com/inject": "true"}),
            "logs in by the API token",
        ),
        (in_pod_spec(initContainers=[{"name": "fetch"}]), "only the sidecar gets"),
        (in_database(lifecycle={"preStop": {"sleep": {"seconds": 5}}}), "preStop"),
        (in_database(env=[]), "POSTGRES_PASSWORD"),
        (in_database(env=[TRUST]), "no replica can join"),
        (in_database(env=[{"name": "POSTGRES_PASSWORD", "value": ""}]), "no replica can join"),
        (with_variable("PGSERVICE", "shop"), "PGSERVICE"),
        (in_pod_spec(automountServiceAccountToken=True), "automountServiceAccountToken: true"),
        (in_pod_spec(terminationGracePeriodSeconds=9), "terminationGracePeriodSeconds"),
        (kept_by(2, "quorum"), "writes stop"),
        (kept_by(2, "sync-strict"), "writes stop"),
        (named_with_second_container, "only the sidecar gets"),
    ],
)
def test_what_will_hurt_is_said_in_one_warning(change, word):
    (warning,) = verdict_on(change).warnings
    assert word in warning


def test_a_set_of_one_whose_volume_would_be_that_of_all_hears_that_it_cannot_be_scaled():
    told = verdict_on(alone_on_the_volume_of_all).warnings
    assert [it for it in told if "can't be scaled" in it]


def test_a_volume_claim_template_is_a_persistent_volume():
    statefulset = objects.golden("volume-claim-templates", "statefulset")
    assert "volumeClaimTemplates" in statefulset["spec"]
    assert objects.golden("volume-claim-templates", "statefulset.admitted")["warnings"] == []


@pytest.mark.parametrize("text", [text for text, _ in ADVICE])
def test_no_warning_is_longer_than_clients_show(text):
    assert len(text) <= MAX_WARNING


ON_OPTING_IN = (
    "a Service that selects all pods now leads to replicas too: "
    "kubectl annotate service NAME pgset.dev/selects=primary"
)


OF_SIDECAR = (
    "each pod gets a sidecar (cpu 25m, memory 64Mi to 128Mi): quotas and LimitRanges must allow "
    "it, or no pod is made"
)


def warned_on(statefulset, operation):
    return mutate_statefulset(objects.review_of(statefulset, operation)).warnings


def test_who_opts_a_set_in_that_is_there_hears_of_the_services_that_are_there():
    several, one = objects.article_statefulset(), objects.article_statefulset()
    one["spec"]["replicas"] = 1
    assert warned_on(several, "UPDATE") == (
        *(ON_OPTING_IN, OTHER_NAMES, UNLOGGED, OF_SIDECAR, SEVERAL),
    )
    assert warned_on(one, "UPDATE")[:3] == (ON_OPTING_IN, OTHER_NAMES, UNLOGGED)
    assert SEVERAL not in warned_on(one, "UPDATE")
    assert max(map(len, (ON_OPTING_IN, OTHER_NAMES, UNLOGGED, OF_SIDECAR, SEVERAL))) <= MAX_WARNING


def test_who_opts_a_set_in_hears_what_the_sidecar_asks_for_there():
    """As it fits itself in, and as the annotation or the installation says."""
    limited = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}}
    statefulset = objects.changed(objects.article_statefulset(), in_database(resources=limited))
    review = objects.review_of(statefulset, "UPDATE")
    said = "each pod gets a sidecar (cpu {} to {}, memory 64Mi to 128Mi)"

    def hears(words, installation=None):
        return any(it.startswith(words) for it in mutate_statefulset(review, installation).warnings)

    assert hears(said.format("125m", "250m"))
    assert hears(said.format("50m", "250m"), {"requests.cpu": "50m"})
    annotate(**{"sidecar-resources": "limits.cpu=200m"})(statefulset)
    assert hears(said.format("50m", "200m"), {"requests.cpu": "50m"})


def test_a_set_that_is_new_or_has_opted_in_before_hears_nothing_of_it():
    plain = objects.article_statefulset()
    stamped = objects.patched(plain, mutate_statefulset(objects.review_of(plain, "UPDATE")))
    assert warned_on(plain, "CREATE") == warned_on(stamped, "UPDATE") == ()


@pytest.mark.parametrize(
    ("before", "after", "said"), [(3, 1, True), (2, 1, True), (3, 2, False), (1, 1, False)]
)
def test_a_set_that_an_update_shrinks_to_one_member_is_warned_of(before, after, said):
    old, new = (
        objects.changed(objects.article_statefulset(), lambda s, n=n: s["spec"].update(replicas=n))
        for n in (before, after)
    )
    warnings = mutate_statefulset(objects.review_of(new, "UPDATE", old)).warnings
    shrunk = f"the set shrinks from {before} members to 1, and then nobody can take over"
    assert (shrunk in warnings) is said


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("postgres:17", "postgres:17-alpine", True),
        ("postgres:17-alpine", "postgres:17.5", True),
        ("postgres:17.2-bookworm", "postgres:17.5-trixie", True),
        ("timescale/timescaledb:2.17-pg17", "postgres:17", True),
        ("postgres:17.2", "postgres:17.5", False),
        ("postgres:17.2-bookworm", "postgres:17.5", False),
        ("postgres:17.2-alpine3.20", "postgres:17.5-alpine3.22", False),
        ("postgres:17", "registry/my-own:17", False),
    ],
)
def test_an_image_that_sorts_text_in_another_order_is_warned_of(before, after, said):
    """By an index in the other order rows are not found, and unique ones come twice."""

    def of(image):
        it = objects.changed(objects.article_statefulset(), in_database(image=image))
        return objects.patched(it, mutate_statefulset(objects.review_of(it)))

    warnings = mutate_statefulset(objects.review_of(of(after), "UPDATE", of(before))).warnings
    assert any("sort text in another order" in it for it in warnings) is said


def test_one_copy_of_a_snapshot_is_all_there_is():
    warnings = verdict_on(claiming(replicas=1, dataSource=SNAPSHOT)).warnings
    assert not any("dataSource" in it for it in warnings)
