"""Each fault has its cause, and each cause one command."""

import datetime
import json
import shlex
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cli import cause, diagnosis
from cli.doctor import is_needed
from cli.installation import PARTS, Installation, Part, fault_of
from cli.kubectl import Kubectl
from cli.seen import Surroundings
from sidecar import contract
from tests.cli.objects import (
    HEALTHY,
    NOW,
    causes,
    command,
    event,
    healthy,
    lease,
    pod,
    said,
    statefulset,
    the_set,
    there,
    waiting,
    waits,
    with_replica,
)
from webhook.resources import parse


def test_nothing_is_wrong_with_a_healthy_set() -> None:
    assert causes(*healthy()) == ()
    assert list(cause.of_installation(HEALTHY, NOW)) == []


# ── what all sets share ───────────────────────────────────────────────────────────────────


def test_a_set_that_was_injected_by_hand_needs_no_installation() -> None:
    plain = the_set(there(statefulset()))
    template = {**plain.template, "metadata": {"annotations": {"pgset.dev/injected": "0.2.0"}}}
    injected = replace(plain, template=template)
    nowhere = replace(HEALTHY, registered=False, parts=())
    assert not is_needed(nowhere, [injected])
    assert is_needed(nowhere, [injected, plain])
    assert is_needed(nowhere, [])
    assert is_needed(replace(HEALTHY, registered=False), [injected])


def of_installation(**changes) -> list[str]:
    return [it.command for it in cause.of_installation(replace(HEALTHY, **changes), NOW)]


def test_a_webhook_that_is_not_registered() -> None:
    assert of_installation(registered=False) == ["kubectl -n pgset-system get deployments"]


def test_what_may_not_be_read_is_not_judged() -> None:
    assert of_installation(registered=None, parts=None, bundles=()) == []


@pytest.mark.parametrize("name", ["pgset-certs", "pgset-webhook", "pgset-caretaker"])
def test_a_part_that_is_missing_scaled_away_or_not_available(name) -> None:
    others = tuple(it for it in HEALTHY.parts if it.name != name)
    system = "kubectl -n pgset-system"
    assert of_installation(parts=others) == [f"{system} get deployments"]
    replicas = 1 if name == "pgset-caretaker" else 2
    assert of_installation(parts=(*others, Part(name, 0, 0))) == [
        f"{system} scale deployment {name} --replicas={replicas}"
    ]
    assert of_installation(parts=(*others, Part(name, 1, 0))) == [
        f"{system} rollout restart deployment {name}"
    ]


@pytest.mark.parametrize(("bundle", "why"), [(b"", "is empty"), (b"no CA", "is not one")])
def test_a_ca_bundle_that_is_none(bundle, why) -> None:
    assert fault_of(bundle, NOW) == why
    assert of_installation(bundles=(bundle, bundle)) == [
        "kubectl -n pgset-system rollout restart deployment pgset-certs"
    ]


def test_a_servers_own_certificate_is_a_bundle_too() -> None:
    """Go's TLS believes it; Python counts only CAs among those that it has."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pgset-webhook")])
    leaf = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    assert fault_of(leaf.public_bytes(serialization.Encoding.PEM), NOW) == ""


def test_an_installation_is_read_from_what_kubectl_prints() -> None:
    registration = {"webhooks": [{"clientConfig": {"caBundle": "bm8gQ0E="}}, {}]}
    found = Installation.from_json("a", [registration], [])
    assert (found.registered, found.bundles, found.parts) == (True, (b"no CA", b""), ())
    assert Installation.from_json("a", [], None) == Installation("a", registered=False)


def test_what_an_installation_leaves_out_on_purpose_is_not_missing() -> None:
    def of(name: str, **annotations: str):
        return {"metadata": {"name": name, "annotations": annotations}, "webhooks": [{}]}

    def missing(registration, deployment) -> set[str]:
        found = Installation.from_json("a", [registration], [deployment])
        sentences = " ".join(it.sentence for it in cause.of_installation(found, NOW))
        return {it for it in PARTS if f"{it} is missing" in sentences}

    plain, webhook = of("pgset"), of("pgset-webhook")
    assert missing(plain, webhook) == {"pgset-certs", "pgset-caretaker"}
    injected = of("pgset", **{"cert-manager.io/inject-ca-from": "a/b"})
    assert missing(injected, webhook) == {"pgset-caretaker"}
    chart = of("pgset-webhook", **{"meta.helm.sh/release-name": "pgset"})
    assert missing(plain, chart) == {"pgset-certs"}


def test_commands_begin_as_the_users_own() -> None:
    kubectl = Kubectl(["--context=a b", "--as=root"], "shop")
    assert kubectl.shown == "kubectl '--context=a b' --as=root"
    assert kubectl.hint("doctor", "orders") == (
        "kubectl pgset doctor orders '--context=a b' --as=root -n shop"
    )
    found = there(statefulset(paused="true"), *healthy()[1:])
    (told,) = diagnosis.of_set(
        the_set(found), found, HEALTHY, Surroundings(), now=NOW, kubectl=kubectl.shown
    )
    assert told.command.startswith("kubectl '--context=a b' --as=root -n shop annotate")
    lost = replace(HEALTHY, registered=False)
    (told,) = cause.of_installation(lost, NOW, kubectl.shown)
    assert told.command.startswith("kubectl '--context=a b' --as=root -n pgset-system")


# ── the StatefulSet ───────────────────────────────────────────────────────────────────────


def test_a_pause() -> None:
    paused = [statefulset(paused="true"), *healthy()[1:]]
    assert command(*paused) == "annotate statefulset orders pgset.dev/paused-"


def test_a_set_that_is_scaled_to_nobody() -> None:
    items = [statefulset(), lease(members="orders-0,orders-2")]
    items[0]["spec"]["replicas"] = 0
    assert command(*items) == "scale statefulset orders --replicas=3"
    items[1] = lease()
    assert causes(*items) == (), "it has never had any"


def test_a_template_that_the_webhook_has_not_seen() -> None:
    items = healthy()
    items[0]["spec"]["template"]["metadata"]["labels"] = {"app": "orders"}
    assert command(*items) == "rollout restart statefulset orders"


def not_created(message: str):
    told = event("StatefulSet", "orders", "FailedCreate", message, component=CONTROLLER)
    return [statefulset(), pod(0, "primary"), lease(), told]


CONTROLLER = "statefulset-controller"


def test_a_quota_is_raised_for_the_pods_that_are_not_there() -> None:
    message = (
        'create Pod orders-1 in StatefulSet orders failed error: pods "orders-1" is forbidden: '
        "exceeded quota: small, requested: pods=1,requests.cpu=25m, used: pods=1,requests.cpu=1, "
        "limited: pods=1,requests.cpu=2"
    )
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "1", "requests.cpu": "2"}}}
    assert command(*not_created(message), quotas=[quota]) == (
        """patch resourcequota small --type merge -p '{"spec":{"hard":{"pods":"2"}}}'"""
    )


LIMIT_RANGE = (
    'create Pod orders-1 in StatefulSet orders failed error: pods "orders-1" is forbidden: '
    "[minimum cpu usage per Container is 100m, but request is 25m, minimum memory usage per "
    "Container is 128Mi, but request is 64Mi]"
)
RATIO = (
    'pods "orders-1" is forbidden: cpu max limit to request ratio per Container is 2, but provided '
    "ratio is 10.000000"
)


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        (LIMIT_RANGE, "requests.cpu=100m,requests.memory=128Mi"),
        (RATIO, "limits.cpu=250m,requests.cpu=125m"),
        (
            RATIO.replace("cpu", "memory").replace("is 2", "is 3"),
            "limits.memory=128Mi,requests.memory=43Mi",
        ),
        ("maximum memory usage per Container is 100Mi, but limit is 128Mi", "limits.memory=100Mi"),
        ("maximum cpu usage per Container is 1.  No limit is specified", "limits.cpu=1"),
    ],
)
def test_a_limit_range_is_met_by_what_the_sidecar_asks_for(message: str, asked: str) -> None:
    assert command(*not_created(message)) == (
        f"annotate --overwrite statefulset orders pgset.dev/sidecar-resources={asked}"
    )
    assert parse(asked)
    items = not_created(message)
    items[0]["metadata"]["annotations"]["pgset.dev/opted-in-by"] = "template"
    assert f'{{"pgset.dev/sidecar-resources":"{asked}"}}' in command(*items)


def test_a_service_account_that_is_missing() -> None:
    message = 'error looking up service account shop/app: serviceaccount "app" not found'
    assert command(*not_created(message)) == "create serviceaccount app"


def test_another_reason_is_told_in_kubernetes_own_words() -> None:
    (only,) = causes(*not_created("admission webhook denied it"))
    assert "admission webhook denied it" in only.sentence


def test_what_has_passed_is_no_cause() -> None:
    assert causes(*healthy(), not_created("x")[-1]) == ()
    later = event("StatefulSet", "orders", "SuccessfulCreate", component=CONTROLLER)
    later["type"] = "Normal"
    # In the same second.
    assert "is absent" in causes(*not_created("x"), later)[0].sentence


def test_an_annotation_that_no_webhook_has_read() -> None:
    why = 'annotation pgset.dev/ttl: "soon" is not allowed; allowed: 9s and more'
    told = event("StatefulSet", "orders", "NotAccepted", why, component="pgset-caretaker")
    items = [statefulset(ttl="soon"), *healthy()[1:], told]
    assert command(*items) == "annotate statefulset orders pgset.dev/ttl-"
    items[0] = statefulset(ttl="20s")
    assert causes(*items) == (), "it is another one by now"


def test_rights_that_are_missing() -> None:
    told = event("StatefulSet", "orders", "GrantMissing", component="pgset-caretaker")
    nobody = [statefulset(), pod(0, "replica"), pod(1, "replica"), lease()]
    assert command(*nobody, told) == (
        "create rolebinding pgset-sidecar-orders-pgset --clusterrole=pgset-sidecar "
        "--serviceaccount=shop:orders-pgset"
    )
    assert command(*healthy(), told).startswith("create rolebinding"), "it leads without renewals"
    renewed = healthy()
    renewed[3]["spec"]["renewTime"] = "2026-11-29T12:05:20.123456Z"
    assert causes(*renewed, told) == ()


def test_another_refusal_needs_no_new_revision() -> None:
    assert command(*not_created("violates PodSecurity")) == "describe statefulset orders"
    away = 'failed calling webhook "pods.pgset.dev": no endpoints'
    assert command(*not_created(away)) == "rollout restart statefulset orders"


def test_a_member_that_is_absent_or_does_not_end_is_told() -> None:
    (only,) = causes(statefulset(), pod(0, "primary"), lease())
    assert (only.pods, only.command) == ((), "kubectl -n shop describe statefulset orders")
    stuck = pod(1, "replica")
    stuck["metadata"]["deletionTimestamp"] = "2026-11-29T12:00:00Z"
    assert command(*with_replica(stuck)) == "describe node node-1"
    stuck["metadata"]["deletionTimestamp"] = "2026-11-29T12:05:00Z"
    assert causes(*with_replica(stuck)) == ()


def test_a_pod_that_has_ended_and_is_kept_by_a_finalizer() -> None:
    kept = pod(1, "replica", ready=False)
    kept["metadata"] |= {"deletionTimestamp": "2026-11-29T12:00:00Z", "finalizers": ["a.b/c"]}
    assert command(*with_replica(kept)) == "describe node node-1", "it may still run"
    kept["status"]["phase"] = "Succeeded"
    assert command(*with_replica(kept)) == (
        """patch pod orders-1 --type merge -p '{"metadata":{"finalizers":null}}'"""
    )


def test_a_member_is_not_hidden_by_one_whose_name_begins_as_its_own() -> None:
    items = [statefulset(), pod(0, "primary"), lease(), said("RecloneFailed", number=0)]
    items[0]["spec"]["replicas"] = 11
    tenth = pod(1, "", ready=False, says="waits")
    tenth["metadata"] |= {"name": "orders-10", "uid": "uid-0"}
    told = [it.sentence for it in causes(*items, tenth, pod(1, "", ready=False, says="clones"))]
    assert "orders-1 is not ready: clones" in told
    assert "orders-10 is not ready: waits" in told


# ── pods ──────────────────────────────────────────────────────────────────────────────────


def test_a_pod_without_a_sidecar() -> None:
    plain = pod(1, "replica")
    del plain["metadata"]["annotations"]["pgset.dev/injected"]
    assert command(*with_replica(plain)) == "delete pod orders-1"
    unregistered = replace(HEALTHY, registered=False)
    away = replace(HEALTHY, parts=(Part("pgset-webhook", 2, 0),))
    for installed in (unregistered, away):
        found = causes(*with_replica(plain), installed=installed)
        assert not [it for it in found if "delete" in it.command]
    items = with_replica(plain)
    plain["metadata"]["labels"]["controller-revision-hash"] = "a"
    items[0]["status"] = {"updateRevision": "b", "currentRevision": "a"}
    assert "delete" not in command(*items), "the roll comes to it"
    items[0]["spec"]["updateStrategy"] = {"type": "OnDelete"}
    assert command(*items) == "delete pod orders-1"
    plain["metadata"]["ownerReferences"] = []
    assert "delete" not in command(*items), "nobody makes it anew"


@pytest.mark.parametrize("label", ["pgset.dev/set", "app"])
def test_a_label_that_somebody_has_taken_off_a_pod(label) -> None:
    stripped = pod(1, "replica")
    del stripped["metadata"]["labels"][label]
    stripped["metadata"]["labels"]["controller-revision-hash"] = "a"
    items = with_replica(stripped)
    assert causes(*items) == (), "it may be of another template"
    items[0]["status"] = {"updateRevision": "a", "currentRevision": "a"}
    assert command(*items) == f"label --overwrite pod orders-1 {label}=orders"


def test_the_role_is_the_sidecars_label() -> None:
    items = healthy()
    items[0]["spec"]["template"]["metadata"]["labels"]["pgset.dev/role"] = "replica"
    items[0]["status"] = {"updateRevision": "a", "currentRevision": "a"}
    items[1]["metadata"]["labels"]["controller-revision-hash"] = "a"
    assert causes(*items) == ()


def test_a_sidecar_whose_image_is_missing() -> None:
    image = "ImagePullBackOff"
    old = waiting(pod(1, "replica", ready=False), "pgset-sidecar", image, "pgset:typo")
    assert command(*with_replica(old)) == "delete pod orders-1"
    same = waiting(pod(1, "replica", ready=False), "pgset-sidecar", image, "pgset:1")
    (only,) = causes(*with_replica(same))
    assert "pgset:1" in only.sentence


@pytest.mark.parametrize("container", ["postgres", "pgset-bootstrap"])
def test_an_image_that_is_not_the_templates(container) -> None:
    """Somebody has changed it in the pod; the status still has the one that ran before."""
    changed = waiting(pod(1, "", ready=False), container, "ErrImagePull", "postgres:15")
    changed["spec"]["containers"] = [{"name": container, "image": "postgres:typo"}]
    (only,) = causes(*with_replica(changed))
    assert only.command == "kubectl -n shop delete pod orders-1"
    assert "postgres:typo" in only.sentence
    changed["spec"]["containers"][0]["image"] = "postgres:15"
    assert command(*with_replica(changed)) == "describe pod orders-1"


@pytest.mark.parametrize("reason", diagnosis.COPIED_AGAIN)
def test_a_member_that_needs_to_be_cloned_again(reason) -> None:
    ended = waits()
    assert command(*with_replica(ended, said(reason))) == (
        """exec orders-1 -c postgres -- sh -c 'touch "$PGDATA/.pgset-reclone"' && """
        "kubectl -n shop delete pod orders-1"
    )


def test_before_postgresql_runs_that_is_done_in_the_bootstrap_container() -> None:
    early = waits()
    waiting(early, "postgres", "PodInitializing")
    assert "-c pgset-bootstrap --" in command(*with_replica(early, said("RewindFailed")))


def test_a_database_that_ends_at_once_is_entered_when_it_runs() -> None:
    ends = waiting(waits(), "postgres", "CrashLoopBackOff")
    (only,) = causes(*with_replica(ends, said("NotComingUp")))
    assert only.command == (
        "until kubectl -n shop exec orders-1 -c postgres -- "
        """sh -c 'touch "$PGDATA/.pgset-reclone"'; do sleep 1; done && """
        "kubectl -n shop delete pod orders-1"
    )


def test_wal_level_minimal_on_the_command_line() -> None:
    items = with_replica(waits(), said("SettingsRefused"))
    container = items[0]["spec"]["template"]["spec"]["containers"][0]
    container["args"] = ["-c", "fsync=on", "-c", "wal_level=minimal"]
    change = shlex.split(command(*items))
    assert json.loads(change[-1]) == [
        {
            "op": "replace",
            "path": "/spec/template/spec/containers/0/args/3",
            "value": "wal_level=replica",
        }
    ]


def test_what_a_member_warned_of_is_told_until_it_is_well() -> None:
    warned = said("CannotBootstrap", "tablespaces are outside PGDATA")
    early = pod(1, "", ready=False, says="tablespaces are outside PGDATA")
    (only,) = causes(*with_replica(early, warned))
    assert "tablespaces are outside PGDATA" in only.sentence
    assert causes(*with_replica(pod(1, "replica"), warned)) == ()


def test_what_keeps_failing_in_a_member_is_told_until_it_is_over() -> None:
    """By sidecars that tell when it is."""
    member, failing = pod(1, "replica"), said("FollowingProblem", "it lets nobody look")
    assert causes(*with_replica(member, failing)) == ()
    member["metadata"]["annotations"][contract.SIGNS] = contract.SIGNS_BY
    (only,) = causes(*with_replica(member, failing))
    assert only.sentence == "orders-1: it lets nobody look"
    over = said("ProblemOver", "this is over: it lets nobody look") | {"type": "Normal"}
    over["lastTimestamp"] = "2026-11-29T12:00:10Z"
    assert causes(*with_replica(member, failing, over)) == ()


def test_what_it_says_itself_counts_also_when_a_problem_is_over() -> None:
    over = said("ProblemOver", "this is over: the API server refused it") | {"type": "Normal"}
    over["lastTimestamp"] = "2026-11-29T12:00:10Z"
    assert ".pgset-reclone" in command(*with_replica(waits(), said("RecloneFailed"), over))


def test_what_the_pod_before_had_said_is_no_cause() -> None:
    before = said("RecloneFailed")
    before["involvedObject"]["uid"] = "another"
    assert "describe" in command(*with_replica(waits(), before))


@pytest.mark.parametrize("reason", [*diagnosis.COPIED_AGAIN, "SettingsRefused"])
def test_what_it_had_said_before_is_no_cause(reason) -> None:
    """A situation without an Event leaves that of the one before as the newest."""
    now = pod(1, "", ready=False, says="replaying what came with the clone")
    items = with_replica(now, said(reason, "it can't go on"))
    container = items[0]["spec"]["template"]["spec"]["containers"][0]
    container["args"] = ["-c", "wal_level=minimal"]
    (only,) = causes(*items)
    assert only.sentence == "orders-1 is not ready: replaying what came with the clone"
    assert "describe" in only.command


def test_a_member_that_is_not_ready_is_always_told() -> None:
    late = pod(1, "", ready=False, says="cloning from orders-0")
    (only,) = causes(*with_replica(late))
    assert only.sentence == "orders-1 is not ready: cloning from orders-0"


@pytest.mark.parametrize("hostile", ["x; rm -rf ~", "$(reboot)", "a' b"])
def test_what_anybody_may_write_is_one_word_of_a_command(hostile) -> None:
    held = lease()
    held["spec"]["holderIdentity"] = f"{hostile}_uid-0"
    holder = pod(0, "")
    holder["metadata"]["name"] = hostile
    nobody = [statefulset(), pod(1, "", says="waits"), holder, held, said("UnknownToHolder")]
    own = with_replica(waits(), said("RecloneFailed"))
    own[0]["metadata"]["annotations"]["pgset.dev/container"] = hostile
    for items in (nobody, own):
        assert [it for it in causes(*items) if hostile in shlex.split(it.command)]


def test_a_quota_or_an_account_that_only_a_message_names_is_in_no_command() -> None:
    for message in (
        "exceeded quota: x; reboot, requested: pods=1, used: pods=1, limited: pods=1",
        'serviceaccount "x; reboot" not found',
    ):
        assert not [it for it in causes(*not_created(message)) if "reboot" in it.command]
