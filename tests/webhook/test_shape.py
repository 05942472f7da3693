import pytest

from tests.webhook import objects
from webhook.errors import DeniedError
from webhook.shape import REVIEWED, check


@pytest.mark.parametrize("case", [path.name for path in objects.GOLDEN.iterdir()])
def test_what_the_api_server_sends_has_the_right_shape(case):
    for kind in ("pod", "statefulset"):
        if (objects.GOLDEN / case / f"{kind}.yaml").exists():
            reviewed = objects.golden(case, kind)
            check(reviewed, REVIEWED[reviewed["kind"]], "")


def in_pod(**fields):
    return lambda pod: pod["spec"].update(fields)


def in_container(**fields):
    return lambda pod: pod["spec"]["containers"][0].update(fields)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (in_pod(containers={}), "spec.containers is of the wrong type; allowed: a list"),
        (
            in_pod(containers=["postgres"]),
            "spec.containers[0] is of the wrong type; allowed: an object",
        ),
        (
            in_container(name=None),
            "spec.containers[0].name is missing; allowed: a string",
        ),
        (
            in_container(securityContext={"runAsUser": True}),
            "spec.containers[0].securityContext.runAsUser is of the wrong type; "
            "allowed: a whole number",
        ),
        (
            in_pod(automountServiceAccountToken=None),
            "spec.automountServiceAccountToken is missing; allowed: true or false",
        ),
        (
            lambda pod: pod["metadata"].update(annotations={"pgset.dev/ttl": 10}),
            "metadata.annotations.pgset.dev/ttl is of the wrong type; allowed: a string",
        ),
    ],
)
def test_what_has_another_shape_is_told_by_its_path(change, sentence):
    pod = objects.changed(objects.article_pod(), change)
    with pytest.raises(DeniedError) as refusal:
        check(pod, REVIEWED["Pod"], "")
    assert sentence == str(refusal.value)


def test_null_is_as_good_as_absent_for_objects_and_lists():
    change = in_container(env=None, volumeMounts=None, securityContext=None, lifecycle=None)
    check(objects.changed(objects.article_pod(), change), REVIEWED["Pod"], "")
