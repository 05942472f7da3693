import base64
import json

import pytest

from tests.webhook import objects
from webhook.app import Adapters, create_app
from webhook.framing import MAX_BODY
from webhook.metrics import Metrics
from webhook.tls import NoCertificateError


def client(lease_state=objects.never_led, check_certificate=lambda: None, leases_known=True):
    return create_app(
        Adapters(
            image=objects.IMAGE,
            lease_state=lease_state,
            metrics=Metrics(leases_known=lambda: leases_known, leases_age=lambda: 1.5),
            check_certificate=check_certificate,
        )
    ).test_client()


def counted(http, kind, outcome, reason=""):
    labels = f'kind="{kind}",outcome="{outcome}",reason="{reason}"'
    name = f"pgset_admission_requests_total{{{labels}}} "
    lines = http.get("/metrics").text.splitlines()
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def test_a_pod_is_answered_with_a_json_patch():
    http = client()
    answer = http.post("/mutate/pods", json=objects.admission_review(objects.article_pod())).json
    response = answer["response"]
    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert (response["uid"], response["allowed"], response["patchType"]) == (
        "705ab4f5-6393-11e8-b7cc-42010a800002",
        True,
        "JSONPatch",
    )
    patch = json.loads(base64.b64decode(response["patch"]))
    assert {"op": "add", "path": "/metadata/labels/pgset.dev~1role", "value": "primary"} in patch
    assert (
        response["auditAnnotations"]["role"] == "primary: ordinal 0, and the set has no Lease yet"
    )
    assert counted(http, "Pod", "patched") == 1


def test_a_dry_run_is_answered_like_the_real_thing():
    review = objects.admission_review(objects.article_pod())
    wet = client().post("/mutate/pods", json=review).json
    review["request"]["dryRun"] = True
    assert wet == client().post("/mutate/pods", json=review).json


def test_what_needs_nothing_is_allowed_without_a_patch():
    http = client()
    stamped = objects.golden("article", "statefulset.admitted")["object"]
    answer = http.post("/mutate/statefulsets", json=objects.admission_review(stamped)).json
    assert answer["response"]["allowed"] is True
    assert "patch" not in answer["response"]
    assert counted(http, "StatefulSet", "unchanged") == 1


def test_a_pod_that_does_not_carry_the_label_is_left_alone():
    pod = objects.article_pod()
    del pod["metadata"]["labels"]["pgset.dev/set"]
    answer = client().post("/mutate/pods", json=objects.admission_review(pod)).json
    assert answer["response"] == {"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": True}


def test_a_denial_says_why_with_status_422():
    http = client()
    statefulset = objects.article_statefulset()
    statefulset["metadata"]["annotations"]["pgset.dev/uid"] = "0"
    answer = http.post("/mutate/statefulsets", json=objects.admission_review(statefulset)).json
    sentence = (
        'annotation pgset.dev/uid: "0" is not allowed; allowed: a whole number from 1 to 2147483647'
    )
    assert answer["response"]["allowed"] is False
    assert answer["response"]["status"] == {"code": 422, "reason": "Invalid", "message": sentence}
    assert answer["response"]["auditAnnotations"] == {"denied": sentence}
    assert counted(http, "StatefulSet", "denied", "annotation") == 1


def test_a_denial_tells_the_two_ends_of_a_value_without_end():
    statefulset = objects.article_statefulset()
    statefulset["metadata"]["annotations"]["pgset.dev/uid"] = "7" * 2**20
    answer = client().post("/mutate/statefulsets", json=objects.admission_review(statefulset))
    message = answer.json["response"]["status"]["message"]
    assert message.startswith('annotation pgset.dev/uid: "777')
    assert message.endswith('777" is not allowed; allowed: a whole number from 1 to 2147483647')
    assert len(answer.data) < 3000


def test_warnings_go_with_the_answer():
    statefulset = objects.article_statefulset()
    statefulset["spec"]["replicas"] = 1
    answer = client().post("/mutate/statefulsets", json=objects.admission_review(statefulset)).json
    assert answer["response"]["warnings"] == [
        "replicas: 1 leaves no member to take over; a replicated set needs at least 2"
    ]


def review_with(**request):
    return json.dumps(objects.admission_review(objects.article_pod(), **request)).encode()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"[]", "the body is not a JSON object; allowed: an AdmissionReview"),
        (
            b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1"}',
            "the body is admission.k8s.io/v1beta1 AdmissionReview; "
            "allowed: admission.k8s.io/v1 AdmissionReview",
        ),
        (review_with(uid=""), "AdmissionReview: request.uid is empty; allowed: any other string"),
        (
            review_with(kind={"group": "apps", "version": "v1", "kind": "StatefulSet"}),
            'request.kind is "apps/v1 StatefulSet"; allowed on this path: v1 Pod',
        ),
        (
            review_with(kind={"group": "", "version": "v2", "kind": "Pod"}),
            'request.kind is "v2 Pod"; allowed on this path: v1 Pod',
        ),
        (b"[" * 100_000, "the body's JSON is nested too deeply"),
        (b"[" + b"[]," * 100_000, "the body has 200001 values; allowed: 100000"),
        (
            b'{"limit": 1e999}',
            "the body is not JSON: 1e999 is not a finite number",
        ),
        (b"NaN", "the body is not JSON: NaN is not a finite number"),
        (
            "\u00e4".encode("latin-1"),
            "the body is not JSON: 'utf-8' codec can't decode byte 0xe4 in position 0: "
            "unexpected end of data",
        ),
        (
            review_with(object=None),
            "AdmissionReview: request.object is missing; allowed: an object",
        ),
        (
            review_with(object={"metadata": {}}),
            "AdmissionReview: request.object.spec is missing; allowed: an object",
        ),
    ],
)
def test_what_is_no_review_is_answered_400_with_one_sentence(body, sentence):
    http = client()
    answer = http.post("/mutate/pods", data=body, content_type="application/json")
    assert (answer.status_code, answer.json) == (400, {"error": sentence})
    assert counted(http, "Pod", "error", "review") == 1


def test_json_may_tell_its_character_set():
    answer = client().post(
        "/mutate/pods", data=review_with(), content_type="Application/JSON; charset=utf-8"
    )
    assert answer.status_code == 200


def test_a_body_without_a_length_is_read_by_flask_and_refused():
    answer = client().post("/mutate/pods", content_type="application/json")
    assert (answer.status_code, answer.json["error"]) == (
        400,
        "the body is not JSON: Expecting value: line 1 column 1 (char 0)",
    )


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-yaml"])
def test_what_does_not_call_itself_json_is_answered_415(content_type):
    http = client()
    answer = http.post("/mutate/pods", data=review_with(), content_type=content_type)
    assert answer.status_code == 415
    assert counted(http, "Pod", "error", "content-type") == 1
    assert answer.json["error"].endswith(f'is "{content_type or ""}"; allowed: application/json')


def test_a_body_over_7_mib_is_refused():
    body = b" " * (MAX_BODY + 1)
    answer = client().post("/mutate/pods", data=body, content_type="application/json")
    assert answer.status_code == 413
    assert "413 Request Entity Too Large" in answer.json["error"]


def test_a_fault_of_ours_is_answered_500_and_counted():
    def broken(_namespace, _set_name):
        raise RuntimeError("no such thing")

    http = client(lease_state=broken)
    answer = http.post("/mutate/pods", json=objects.admission_review(objects.article_pod()))
    assert (answer.status_code, answer.json) == (
        500,
        {"error": "the webhook failed on this object: see its log"},
    )
    assert counted(http, "Pod", "error", "fault") == 1


def test_nothing_of_the_users_environment_is_logged(caplog):
    pod = objects.article_pod()
    pod["spec"]["containers"][0]["env"].append({"name": "TOKEN", "value": "my-own-secret"})
    with caplog.at_level("INFO"):
        client().post("/mutate/pods", json=objects.admission_review(pod))
    assert [record.message for record in caplog.records] == ["admission"]
    assert "my-own-secret" not in str(caplog.records[0].__dict__)


def test_without_a_certificate_it_is_live_but_not_ready():
    def missing():
        raise NoCertificateError("no certificate can be read from /etc/pgset/tls")

    http = client(check_certificate=missing)
    assert http.get("/livez").status_code == 200
    assert http.get("/readyz").status_code == 503
    assert http.get("/readyz").json == {"error": "no certificate can be read from /etc/pgset/tls"}


def test_with_a_certificate_it_is_ready():
    assert client().get("/readyz").status_code == 200


@pytest.mark.parametrize(("known", "value"), [(True, "1.0"), (False, "0.0")])
def test_whether_the_leases_are_known_is_a_metric(known, value):
    text = client(leases_known=known).get("/metrics").text
    assert f"pgset_leases_known {value}" in text.splitlines()


def test_a_denial_for_the_object_itself_is_counted_as_that():
    http = client()
    statefulset = objects.article_statefulset()
    statefulset["spec"]["template"]["spec"]["hostPID"] = True
    http.post("/mutate/statefulsets", json=objects.admission_review(statefulset))
    assert counted(http, "StatefulSet", "denied", "object") == 1


def test_the_age_of_what_is_known_of_the_leases_is_a_metric():
    assert "pgset_leases_age_seconds 1.5" in client().get("/metrics").text.splitlines()


def test_a_review_is_in_flight_while_it_is_answered():
    seen = []

    def look(_namespace, _set_name):
        seen.extend(http.get("/metrics").text.splitlines())
        return objects.never_led(_namespace, _set_name)

    http = client(lease_state=look)
    http.post("/mutate/pods", json=objects.admission_review(objects.article_pod()))
    assert 'pgset_admission_in_flight{kind="Pod"} 1.0' in seen
    assert 'pgset_admission_in_flight{kind="Pod"} 0.0' in http.get("/metrics").text
