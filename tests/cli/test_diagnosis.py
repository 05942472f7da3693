"""Each fault has its cause, and each cause one command."""

import datetime
import json
import shlex
from dataclasses import replace

import pytest

from cli import cause, diagnosis, leaderless
from cli.cause import Cause
from cli.installation import Installation, Part, fault_of
from sidecar.table.bootstrap import BOOTSTRAP
from tests.cli.objects import (
    HEALTHY,
    NOW,
    event,
    healthy,
    lease,
    pod,
    service,
    statefulset,
    the_set,
    there,
)

LATER = NOW + datetime.timedelta(minutes=5)


def causes(*items, installed=HEALTHY, quotas=(), claims=()) -> tuple[Cause, ...]:
    found = there(*items)
    return diagnosis.of_set(the_set(found), found, installed, quotas, claims, now=LATER)


def command(*items, **more) -> str:
    (only,) = causes(*items, **more)
    return only.command.removeprefix("kubectl -n shop ")


def waiting(pod, container: str, reason: str, image: str = "pgset:1"):
    state = {"name": container, "image": image, "state": {"waiting": {"reason": reason}}}
    pod["status"]["initContainerStatuses"] = [state]
    return pod


def test_nothing_is_wrong_with_a_healthy_set() -> None:
    assert causes(*healthy()) == ()
    assert list(cause.of_installation(HEALTHY, NOW)) == []


# ── what all sets share ───────────────────────────────────────────────────────────────────


def of_installation(**changes) -> list[str]:
    return [it.command for it in cause.of_installation(replace(HEALTHY, **changes), NOW)]


def test_a_webhook_that_is_not_registered() -> None:
    assert of_installation(registered=False) == ["kubectl apply -k deploy"]


def test_what_may_not_be_read_is_not_judged() -> None:
    assert of_installation(registered=None, parts=None, bundles=()) == []


@pytest.mark.parametrize("name", ["pgset-certs", "pgset-webhook", "pgset-caretaker"])
def test_a_part_that_is_missing_scaled_away_or_not_available(name) -> None:
    others = tuple(it for it in HEALTHY.parts if it.name != name)
    assert of_installation(parts=others) == ["kubectl apply -k deploy"]
    replicas = 1 if name == "pgset-caretaker" else 2
    system = "kubectl -n pgset-system"
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


def test_an_installation_is_read_from_what_kubectl_prints() -> None:
    registration = {"webhooks": [{"clientConfig": {"caBundle": "bm8gQ0E="}}, {}]}
    found = Installation.from_json("a", [registration], [])
    assert (found.registered, found.bundles, found.parts) == (True, (b"no CA", b""), ())
    assert Installation.from_json("a", [], None) == Installation("a", registered=False)


# ── the StatefulSet ───────────────────────────────────────────────────────────────────────


def test_a_pause() -> None:
    paused = [statefulset(paused="true"), *healthy()[1:]]
    assert command(*paused) == "annotate statefulset orders pgset.dev/paused-"


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


def test_rights_that_are_missing() -> None:
    told = event("StatefulSet", "orders", "GrantMissing", component="pgset-caretaker")
    nobody = [statefulset(), pod(0, "replica"), pod(1, "replica"), lease()]
    assert command(*nobody, told) == (
        "create rolebinding pgset-sidecar-orders-pgset --clusterrole=pgset-sidecar "
        "--serviceaccount=shop:orders-pgset"
    )
    assert causes(*healthy(), told) == ()


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


def test_a_member_is_not_hidden_by_one_whose_name_begins_as_its_own() -> None:
    items = [statefulset(), pod(0, "primary"), lease(), said("RecloneFailed", number=0)]
    items[0]["spec"]["replicas"] = 11
    tenth = pod(1, "", ready=False, says="waits")
    tenth["metadata"] |= {"name": "orders-10", "uid": "uid-0"}
    told = [it.sentence for it in causes(*items, tenth, pod(1, "", ready=False, says="clones"))]
    assert "orders-1 is not ready: clones" in told
    assert "orders-10 is not ready: waits" in told


# ── Services ──────────────────────────────────────────────────────────────────────────────


def test_a_service_that_leads_to_all() -> None:
    patch = shlex.split(command(*healthy(), service("app", app="orders")))
    assert patch[:-1] == ["patch", "service", "app", "--type", "merge", "-p"]
    assert json.loads(patch[-1]) == {"spec": {"selector": {"pgset.dev/role": "primary"}}}


def test_a_service_in_the_way() -> None:
    items = healthy()[:-1]
    wrong = service("orders-primary", app="orders")
    assert command(*items, wrong) == "delete service orders-primary"


@pytest.mark.parametrize("selector", [{"app": "mail"}, {"app": "orders", "role": "replica"}, {}])
def test_other_services_are_left_alone(selector) -> None:
    assert causes(*healthy(), service("app", **selector)) == ()


def test_a_service_to_another_port_is_left_alone() -> None:
    metrics = service("app", app="orders")
    metrics["spec"]["ports"] = [{"port": 9187}]
    assert causes(*healthy(), metrics) == ()


# ── pods ──────────────────────────────────────────────────────────────────────────────────


def with_replica(replica, *more):
    return [statefulset(), pod(0, "primary"), replica, lease(), *more]


def test_a_pod_without_a_sidecar() -> None:
    plain = pod(1, "replica")
    del plain["metadata"]["annotations"]["pgset.dev/injected"]
    assert command(*with_replica(plain)) == "delete pod orders-1"


def test_a_sidecar_whose_image_is_missing() -> None:
    image = "ImagePullBackOff"
    old = waiting(pod(1, "replica", ready=False), "pgset-sidecar", image, "pgset:typo")
    assert command(*with_replica(old)) == "delete pod orders-1"
    same = waiting(pod(1, "replica", ready=False), "pgset-sidecar", image, "pgset:1")
    (only,) = causes(*with_replica(same))
    assert "pgset:1" in only.sentence


def said(reason: str, message: str = "waits", *, number: int = 1):
    """What the pods of `nobody_leads` and `waits` have as their sentence."""
    return event("Pod", f"orders-{number}", reason, message)


def test_a_full_volume_grows() -> None:
    replica = pod(1, "replica")
    replica["spec"]["volumes"] = [{"persistentVolumeClaim": {"claimName": "data-orders-1"}}]
    claim = {
        "metadata": {"name": "data-orders-1"},
        "spec": {"resources": {"requests": {"storage": "5Gi"}}},
    }
    full = said("FollowingProblem", "/data takes no writes: No space left on device")
    patch = shlex.split(command(*with_replica(replica, full), claims=[claim]))
    assert patch[:3] == ["patch", "pvc", "data-orders-1"]
    assert json.loads(patch[-1]) == {"spec": {"resources": {"requests": {"storage": "10Gi"}}}}


def test_a_password_that_differs_is_set_on_the_primary() -> None:
    refused = said("FollowingProblem", "password authentication failed for user")
    words = shlex.split(command(*healthy(), refused))
    assert words[:6] == ["exec", "orders-0", "-c", "postgres", "--", "sh"]
    assert "$POSTGRES_PASSWORD" in words[-1] or "${POSTGRES_PASSWORD" in words[-1]


def waits():
    return pod(1, "replica", ready=False, says="waits")


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


# ── nobody leads ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reason", "removed"),
    [
        ("TooFarBehind", "pgset.dev/position-"),
        ("MissingCommits", "pgset.dev/in-sync- pgset.dev/copies-"),
        (
            "NotEligible",
            "pgset.dev/timeline- pgset.dev/in-sync- pgset.dev/copies- pgset.dev/members-",
        ),
    ],
)
def test_rows_that_are_gone_are_given_up_as_the_readme_says(reason, removed) -> None:
    (only,) = causes(*nobody_leads(said(reason, number=0), said(reason)))
    assert only.command == f"kubectl -n shop annotate lease pgset-orders {removed}"
    assert "only if that data is gone for good" in only.sentence


def nobody_leads(*more):
    pods = [pod(0, "replica", says="waits"), pod(1, "replica", says="waits")]
    return [statefulset(), *pods, lease(), *more]


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([said("MissingCommits", number=0)], "the other member has not said anything of the kind"),
        ([said("MissingCommits", number=0), said("TakingLease")], "the other one takes over"),
        (
            [
                said("MissingCommits", number=0),
                said("MissingCommits") | {"lastTimestamp": "2026-11-29T12:05:00Z"},
            ],
            "it was said just now",
        ),
    ],
)
def test_nothing_is_given_up_before_all_have_waited_for_a_while(items, why) -> None:
    assert "annotate" not in command(*nobody_leads(*items)), why


def test_nothing_is_given_up_while_a_member_is_away() -> None:
    (only,) = causes(statefulset(), pod(1, "replica"), lease(), said("MissingCommits"))
    assert "orders-0 may have data that no other has" in only.sentence
    assert only.command == "kubectl -n shop describe statefulset orders"


def test_a_pod_that_has_lost_its_data_has_nothing_to_give_up() -> None:
    for reason in leaderless.WITHOUT_DATA:
        items = nobody_leads(said("TooFarBehind"), said(reason, number=0))
        waiting(items[1], "postgres", "PodInitializing")
        assert "annotate lease pgset-orders pgset.dev/position-" in command(*items)
    items = nobody_leads(said("TooFarBehind"), said("LostData", "it has lost it", number=0))
    items[1]["metadata"]["annotations"]["pgset.dev/status"] = leaderless.NO_DATA_YET
    assert "annotate lease pgset-orders pgset.dev/position-" in command(*items)


def test_how_a_pod_says_that_it_has_no_data() -> None:
    rows = {it.name: it for it in BOOTSTRAP}
    assert rows["WaitingForLeader"].sentence == leaderless.NO_DATA_YET
    assert set(leaderless.WITHOUT_DATA) <= set(rows)


@pytest.mark.parametrize(
    "why", ["CrashLoopBackOff", "ImagePullBackOff", "CreateContainerConfigError", "PodInitializing"]
)
def test_a_pod_whose_database_does_not_run_may_have_the_newest_rows(why) -> None:
    for of_the_other in (
        [],
        [said("SettingsRefused", number=0)],
        [said("LostData", "a", number=0)],
    ):
        items = nobody_leads(said("TooFarBehind"), *of_the_other)
        waiting(items[1], "postgres", why)
        assert not [it for it in causes(*items) if "annotate" in it.command]


def test_nothing_is_given_up_by_what_was_said_before() -> None:
    items = nobody_leads(said("MissingCommits", "a", number=0), said("MissingCommits"))
    assert not [it for it in causes(*items) if "annotate" in it.command]


@pytest.mark.parametrize("known", [{"members": "orders-0,orders-4"}, {"in_sync": "orders-4"}])
def test_members_that_were_scaled_away_come_back_first(known) -> None:
    items = nobody_leads(said("NotEligible", number=0), said("NotEligible"))
    items[3] = lease(**known)
    assert command(*items) == "scale statefulset orders --replicas=5"
    items[3] = lease(holder=2)
    assert command(*items) == "scale statefulset orders --replicas=3"


def test_voters_that_are_all_there_do_not_hear_each_other() -> None:
    items = nobody_leads(said("MissingCommits", number=0), said("MissingCommits"))
    items[3] = lease(in_sync="orders-0,orders-1", copies="2")
    assert command(*items) == "get networkpolicy"
    # Of three voters an acknowledged commit is on two: one that has lost its data had none alone.
    items = nobody_leads(said("MissingCommits", number=0), said("LostData"))
    items[3] = lease(in_sync="orders-0,orders-1", copies="2")
    assert command(*items) == "get networkpolicy"
    items[3] = lease(in_sync="orders-0,orders-1", copies="1")
    assert "annotate lease" in command(*items)


def test_none_is_given_up_while_a_member_leads() -> None:
    found = causes(*with_replica(pod(1, "", ready=False), said("TooFarBehind")))
    assert not any("annotate lease" in it.command for it in found)


def test_a_primary_that_nobody_hears_of() -> None:
    items = [statefulset(), pod(1, "", says="waits"), lease(), said("UnknownToHolder")]
    nobody = [*items, pod(0, "")]
    assert "kubectl -n shop delete pod orders-0 --force --grace-period=0" in {
        it.command for it in causes(*nobody)
    }
    # Another pod of its name, and none.
    nobody[-1]["metadata"]["uid"] = "another"
    for found in (nobody, items):
        assert not [it for it in causes(*found) if "--force" in it.command]
    spoke = [*items, pod(0, ""), said("Waiting", "x")]
    spoke[3] = said("UnknownToHolder", "before")
    assert not [it for it in causes(*spoke) if "--force" in it.command]


def test_a_set_without_a_primary_is_never_well() -> None:
    (only,) = causes(*nobody_leads())
    assert "orders-0: waits; orders-1: waits" in only.sentence


def test_a_member_that_does_not_follow_is_told() -> None:
    (only,) = causes(*with_replica(pod(1, "", says="does not stream")))
    assert only.sentence == "orders-1 is neither primary nor replica: does not stream"


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
