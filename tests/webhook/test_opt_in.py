import pytest

from tests.webhook import objects
from tests.webhook.changes import (
    annotate,
    in_database,
    in_pod_spec,
    verdict_on,
    with_second_container,
)
from webhook.errors import DeniedError
from webhook.mutate import mutate_statefulset

DENIALS = [
    pytest.param(
        annotate(enabled="yes"),
        'annotation pgset.dev/enabled: "yes" is not allowed; allowed: "true", "false"',
        id="enabled is neither true nor false",
    ),
    pytest.param(
        annotate(tll="10s"),
        'annotation pgset.dev/tll: "10s" is unknown; allowed: pgset.dev/enabled, '
        "pgset.dev/container, pgset.dev/role-label, pgset.dev/primary-value, "
        "pgset.dev/replica-value, pgset.dev/durability, pgset.dev/ttl, "
        "pgset.dev/renew-interval, pgset.dev/max-lag, pgset.dev/uid, pgset.dev/port, "
        "pgset.dev/profile, "
        "pgset.dev/probes, pgset.dev/sidecar-resources, pgset.dev/paused, pgset.dev/network-policy",
        id="an annotation of ours that does not exist",
    ),
    pytest.param(
        annotate(ttl="soon"),
        'annotation pgset.dev/ttl: "soon" is not allowed; '
        'allowed: whole seconds from "9s" to "300s"',
        id="a value that can't be read",
    ),
    pytest.param(
        annotate(ttl="9s"),
        'annotation pgset.dev/ttl: "9s" is not allowed; ttl (9s) must be at least 8s longer than '
        "renew-interval (2s), in which the kubelet stops the PostgreSQL of a frozen sidecar",
        id="a ttl that the watchdog does not fit into",
    ),
    pytest.param(
        annotate(paused="yes"),
        'annotation pgset.dev/paused: "yes" is not allowed; allowed: "true", "false"',
        id="paused is neither true nor false",
    ),
    pytest.param(
        annotate(**{"network-policy": "strict"}),
        'annotation pgset.dev/network-policy: "strict" is not allowed; allowed: "true", "false"',
        id="network-policy is neither true nor false",
    ),
    pytest.param(
        annotate(probes="off"),
        'annotation pgset.dev/probes: "off" is not allowed; allowed: "keep", "replace"',
        id="probes are neither kept nor replaced",
    ),
    pytest.param(
        annotate(durability="eventual"),
        'annotation pgset.dev/durability: "eventual" is not allowed; '
        'allowed: "async", "sync", "sync-strict", "quorum"',
        id="a durability that nobody knows",
    ),
    pytest.param(
        lambda s: s["spec"]["template"]["metadata"].update(
            annotations={"pgset.dev/paused": "true"}
        ),
        'annotation pgset.dev/paused: "true" is in the pod template, where pgset writes it '
        "itself; allowed: a template without it",
        id="a state in the template, where it would be a setting",
    ),
    pytest.param(
        annotate(container="mysql"),
        'annotation pgset.dev/container: "mysql" is not a container of the pod; '
        'allowed: "postgres"',
        id="a container that is not there",
    ),
    pytest.param(
        with_second_container,
        "annotation pgset.dev/container is missing, and the pod has 2 containers; "
        'allowed: "postgres", "exporter"',
        id="several containers and no name",
    ),
    pytest.param(
        annotate(role_label="app"),
        'annotation pgset.dev/role-label: "app" is in the StatefulSet\'s own spec.selector, '
        "which would lose the pods when their role changes; "
        "allowed: a label key that the selector does not contain",
        id="the role label in matchLabels",
    ),
    pytest.param(
        lambda s: s["spec"]["selector"].update(
            matchExpressions=[{"key": "pgset.dev/role", "operator": "Exists"}]
        ),
        'annotation pgset.dev/role-label: "pgset.dev/role" is in the StatefulSet\'s own '
        "spec.selector, which would lose the pods when their role changes; "
        "allowed: a label key that the selector does not contain",
        id="the role label in matchExpressions",
    ),
    pytest.param(
        annotate(role_label="apps.kubernetes.io/pod-index"),
        'annotation pgset.dev/role-label: "apps.kubernetes.io/pod-index" is written by the '
        "StatefulSet controller; allowed: any label key except controller-revision-hash, "
        "statefulset.kubernetes.io/pod-name, apps.kubernetes.io/pod-index",
        id="a role label that the controller writes",
    ),
    pytest.param(
        in_pod_spec(hostPID=True),
        "spec.template.spec.hostPID: true is not allowed; the sidecar signals PostgreSQL "
        "through the pod's own process namespace, so leave it out",
        id="the host's process namespace",
    ),
    pytest.param(
        in_pod_spec(shareProcessNamespace=False),
        "spec.template.spec.shareProcessNamespace: false is not allowed; the sidecar "
        "signals PostgreSQL through it, so leave it out or set it to true",
        id="no shared process namespace",
    ),
    pytest.param(
        in_pod_spec(initContainers=[{"name": "pgset-sidecar", "image": "x"}]),
        'initContainers: the name "pgset-sidecar" is reserved for what pgset injects; '
        "allowed: any name except pgset-sidecar, pgset-bootstrap",
        id="an init container with our name",
    ),
    pytest.param(
        lambda s: s["spec"].update(
            volumeClaimTemplates=[{"metadata": {"name": "pgset-token"}, "spec": {}}]
        ),
        'volumeClaimTemplates: the name "pgset-token" is reserved for what pgset injects; '
        "allowed: any name except pgset-handshake, pgset-token",
        id="a claim with our name",
    ),
    pytest.param(
        in_database(ports=[{"containerPort": 8008}]),
        'container "postgres": containerPort 8008 is used by the sidecar; allowed: any other port',
        id="the sidecar's port",
    ),
    pytest.param(
        in_database(volumeMounts=[{"name": "pgdata", "mountPath": "/var/run/pgset/a"}]),
        'container "postgres": mountPath "/var/run/pgset/a" is reserved for pgset; '
        "allowed: any path that is not under /run/pgset",
        id="our directory by another path",
    ),
    pytest.param(
        in_database(volumeMounts=[{"name": "pgdata", "mountPath": "/run/pgset/"}]),
        'container "postgres": mountPath "/run/pgset/" is reserved for pgset; '
        "allowed: any path that is not under /run/pgset",
        id="the hand-shake's folder",
    ),
    pytest.param(
        lambda s: s["spec"]["template"]["metadata"].update(
            annotations={"pgset.dev/nofailover": "true"}
        ),
        'annotation pgset.dev/nofailover: "true" is in the pod template, where pgset writes it '
        "itself; allowed: a template without it",
        id="a mark that would be on every pod",
    ),
    pytest.param(
        lambda s: s["spec"]["template"]["metadata"].update(
            annotations={"pgset.dev/injected": "0.1.0"}
        ),
        'annotation pgset.dev/injected: "0.1.0" is in the pod template, where pgset writes it '
        "itself; allowed: a template without it",
        id="a template copied from an injected pod",
    ),
    pytest.param(
        lambda s: s["metadata"].update(generateName=s["metadata"].pop("name")),
        "metadata.name is missing: a set's Services and Lease are named after it; "
        "allowed: a StatefulSet with a name of its own, not a generateName",
        id="no name yet",
    ),
    pytest.param(
        lambda s: s["metadata"].update(name="a.b"),
        'annotation pgset.dev/enabled: "true" is not allowed; the StatefulSet\'s name "a.b" '
        "must be a DNS label of at most 55 characters, since Services and pods are named after it",
        id="a name that no Service could have",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), DENIALS)
def test_a_statefulset_is_denied_with_one_sentence(change, sentence):
    with pytest.raises(DeniedError) as denial:
        verdict_on(change)
    assert sentence == str(denial.value)


def test_opting_out_asks_nothing_of_the_rest():
    verdict = verdict_on(annotate(enabled="false", ttl="nonsense"))
    assert verdict.outcome == "unchanged"


def test_the_stamp_is_the_set_label_and_the_settings_with_the_container_resolved():
    change = annotate(ttl="20s")
    statefulset = objects.changed(objects.article_statefulset(), change)
    template = objects.patched(statefulset, verdict_on(change))["spec"]["template"]["metadata"]
    assert template["labels"] == {"app": "pgset", "pgset.dev/set": "pgset"}
    assert template["annotations"] == {
        "pgset.dev/enabled": "true",
        "pgset.dev/container": "postgres",
        "pgset.dev/ttl": "20s",
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["spec"]["template"].pop("metadata"),
        lambda s: s["spec"]["template"].update(metadata=None),
    ],
)
def test_a_template_without_metadata_is_stamped_too(change):
    statefulset = objects.changed(objects.article_statefulset(), change)
    template = objects.patched(statefulset, verdict_on(change))["spec"]["template"]["metadata"]
    assert template["labels"] == {"pgset.dev/set": "pgset"}


@pytest.mark.parametrize("state", ["paused", "network-policy"])
@pytest.mark.parametrize("value", ["true", "false"])
def test_a_state_leaves_the_template_alone_and_so_rolls_no_pod(state, value):
    stamped = objects.golden("article", "statefulset.admitted")["object"]
    annotate(**{state: value})(stamped)
    assert mutate_statefulset(objects.review_of(stamped)).patch == []


@pytest.mark.parametrize("start", [1, 7])
def test_a_first_ordinal_other_than_0_is_stamped(start):
    verdict = verdict_on(lambda s: s["spec"].update(ordinals={"start": start}))
    assert {
        "pgset.dev/enabled": "true",
        "pgset.dev/container": "postgres",
        "pgset.dev/first-ordinal": str(start),
    } == verdict.patch[-1]["value"]


def test_a_stamped_statefulset_is_left_as_it_is():
    stamped = objects.golden("article", "statefulset.admitted")["object"]
    assert mutate_statefulset(objects.review_of(stamped)).patch == []


def test_a_setting_that_was_taken_off_the_statefulset_leaves_the_template():
    stamped = objects.golden("article", "statefulset.admitted")["object"]
    stamped["spec"]["template"]["metadata"]["annotations"]["pgset.dev/ttl"] = "20s"
    assert mutate_statefulset(objects.review_of(stamped)).patch == [
        {"op": "remove", "path": "/spec/template/metadata/annotations/pgset.dev~1ttl"}
    ]


@pytest.mark.parametrize("annotations", [{}, {"pgset.dev/enabled": "false"}])
def test_opting_out_takes_the_whole_stamp_away_and_nothing_else(annotations):
    stamped = objects.golden("article-label-master", "statefulset.admitted")["object"]
    stamped["spec"]["template"]["metadata"]["annotations"]["example.com/mine"] = "kept"
    stamped["metadata"]["annotations"] = annotations
    admitted = objects.patched(stamped, mutate_statefulset(objects.review_of(stamped)))
    assert admitted["spec"]["template"]["metadata"] == {
        "labels": {"app": "pgset", "name": "pgset-slave"},
        "annotations": {"example.com/mine": "kept"},
    }


def numbered(start, policy="Parallel"):
    return lambda it: it["spec"].update(
        ordinals={"start": start}, podManagementPolicy=policy, replicas=2
    )


@pytest.mark.parametrize(("before", "after"), [(0, 2), (5, 0)])
def test_an_update_that_leaves_none_of_the_pods_with_data_is_refused(before, after):
    plain = objects.changed(objects.article_statefulset(), numbered(before))
    old = objects.patched(plain, mutate_statefulset(objects.review_of(plain)))
    review = objects.review_of(objects.changed(old, numbered(after)), "UPDATE", old=old)
    with pytest.raises(DeniedError, match=r"spec\.ordinals\.start changes so that no pod"):
        mutate_statefulset(review)


@pytest.mark.parametrize(
    ("start", "policy"), [(1, "Parallel"), (2, "OrderedReady")], ids=["one stays", "one by one"]
)
def test_an_update_after_which_pods_with_data_stay_or_are_waited_for_is_admitted(start, policy):
    plain = objects.changed(objects.article_statefulset(), numbered(0, policy))
    old = objects.patched(plain, mutate_statefulset(objects.review_of(plain)))
    review = objects.review_of(objects.changed(old, numbered(start, policy)), "UPDATE", old=old)
    assert mutate_statefulset(review).patch
