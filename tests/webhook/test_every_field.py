"""Fields that the webhook does not know: of the newest API, and of those to come."""

import json

from tests.webhook import every_field, objects
from webhook.injection import NOT_ALLOWED
from webhook.mutate import mutate_pod, mutate_statefulset


def written(document):
    """As bytes, so that the order of the members counts too."""
    return json.dumps(document).encode()


def test_all_that_a_pod_can_have_is_in_the_pod():
    pod = every_field.pod()
    assert {"ephemeralContainers", "resourceClaims", "schedulingGates", "os"} <= set(pod["spec"])
    assert pod["spec"]["containers"][1]["env"][0]["valueFrom"]["aFieldOfTheFuture"]
    assert len(written(pod)) > 50_000


def test_a_pod_with_every_field_goes_through_byte_for_byte_but_for_our_additions():
    pod = every_field.pod()
    verdict = mutate_pod(objects.review_of(pod), objects.IMAGE, objects.never_led)
    admitted = objects.patched(pod, verdict)
    del admitted["metadata"]["labels"]["pgset.dev/role"]
    for mark in ("pgset.dev/injected", "pgset.dev/signs"):
        del admitted["metadata"]["annotations"][mark]
    names = [container["name"] for container in admitted["spec"]["initContainers"]]
    assert [names[0], names[-1]] == [
        "pgset-sidecar",
        "pgset-bootstrap",
    ]
    del admitted["spec"]["initContainers"][0], admitted["spec"]["initContainers"][-1]
    assert [v["name"] for v in admitted["spec"]["volumes"][-2:]] == [
        "pgset-handshake",
        "pgset-token",
    ]
    del admitted["spec"]["volumes"][-2:]
    database = admitted["spec"]["containers"][0]
    assert database["livenessProbe"]["httpGet"]["path"] == "/liveness"
    given = pod["spec"]["containers"][0]
    assert database["readinessProbe"]["httpGet"]["path"] == "/readyz"
    for probe in ("livenessProbe", "readinessProbe"):
        database[probe] = given[probe]
    for name in NOT_ALLOWED:
        assert name not in database
        del given[name]
    assert written(pod) == written(admitted)


def test_a_statefulset_with_every_field_goes_through_byte_for_byte_but_for_the_stamp():
    statefulset = every_field.statefulset()
    verdict = mutate_statefulset(objects.review_of(statefulset))
    admitted = objects.patched(statefulset, verdict)
    template = admitted["spec"]["template"]["metadata"]
    del template["labels"]["pgset.dev/set"]
    for name in ("enabled", "container", "first-ordinal"):
        del template["annotations"][f"pgset.dev/{name}"]
    assert written(statefulset) == written(admitted)


def test_no_operation_holds_a_field_that_it_did_not_have_to_touch():
    """A list or an object that was there and is written anew would lose what others add to it."""
    pod = every_field.pod()
    verdict = mutate_pod(objects.review_of(pod), objects.IMAGE, objects.never_led)
    assert [(operation["op"], operation["path"]) for operation in verdict.patch] == [
        ("add", "/metadata/labels/pgset.dev~1role"),
        ("add", "/metadata/annotations/pgset.dev~1injected"),
        ("add", "/metadata/annotations/pgset.dev~1signs"),
        ("add", "/spec/volumes/-"),
        ("add", "/spec/volumes/-"),
        ("remove", "/spec/containers/0/startupProbe"),
        ("remove", "/spec/containers/0/restartPolicyRules"),
        ("remove", "/spec/containers/0/restartPolicy"),
        ("replace", "/spec/containers/0/livenessProbe"),
        ("replace", "/spec/containers/0/readinessProbe"),
        ("add", "/spec/initContainers/0"),
        ("add", "/spec/initContainers/-"),
    ]
