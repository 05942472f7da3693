import pytest

from sidecar.settings import Settings
from tests.webhook import objects
from webhook.errors import DeniedError
from webhook.initial_role import LeaseState, Role, initial_role, ordinal
from webhook.mutate import mutate_pod


@pytest.mark.parametrize(
    ("pod", "first_ordinal", "lease", "role"),
    [
        (0, 0, LeaseState.NEVER_LED, Role.PRIMARY),
        (1, 0, LeaseState.NEVER_LED, Role.REPLICA),
        (0, 0, LeaseState.HAS_LED, Role.REPLICA),
        (0, 0, LeaseState.UNKNOWN, Role.REPLICA),
        (5, 5, LeaseState.NEVER_LED, Role.PRIMARY),
        (0, 5, LeaseState.NEVER_LED, Role.REPLICA),
    ],
)
def test_only_the_lowest_ordinal_of_a_set_that_never_led_is_primary(
    pod, first_ordinal, lease, role
):
    settings = Settings(set_name="pgset", first_ordinal=first_ordinal)
    assert role == initial_role(pod, settings, lease)


@pytest.mark.parametrize(
    ("name", "set_name", "expected"), [("pgset-0", "pgset", 0), ("a-1-12", "a-1", 12)]
)
def test_the_ordinal_stands_behind_the_sets_name(name, set_name, expected):
    assert expected == ordinal(name, set_name)


@pytest.mark.parametrize("name", ["pgset-7d9f8b-x2x4z", "pgset-01", "pgset-", "other-0", "pgset"])
def test_a_pod_without_ordinal_is_denied(name):
    with pytest.raises(DeniedError) as denial:
        ordinal(name, "pgset")
    assert (
        f'pod "{name}" has no ordinal; allowed in set "pgset": '
        'pods of its StatefulSet, named "pgset-0", "pgset-1" and so on'
    ) == str(denial.value)


def test_a_pod_that_has_no_name_yet_is_denied():
    with pytest.raises(DeniedError, match=r"^pod without a name has no ordinal"):
        ordinal("", "pgset")


def test_a_pod_that_says_that_it_shows_what_a_kubelet_runs_is_denied():
    pod = objects.article_pod()
    pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "anything"
    with pytest.raises(DeniedError) as denial:
        mutate_pod(objects.review_of(pod), objects.IMAGE, objects.never_led)
    assert str(denial.value) == (
        'pod "pgset-0" has annotation kubernetes.io/config.mirror; allowed in set "pgset": '
        "pods of its StatefulSet"
    )


@pytest.mark.parametrize(
    ("lease_state", "value"),
    [(objects.never_led, "pgset-master"), (objects.has_led, "pgset-slave")],
)
def test_a_role_label_in_the_template_gives_way_to_the_pods_role(lease_state, value):
    pod = objects.golden("article-label-master", "pod")
    assert pod["metadata"]["labels"]["name"] == "pgset-slave"
    verdict = mutate_pod(objects.review_of(pod), objects.IMAGE, lease_state)
    assert objects.patched(pod, verdict)["metadata"]["labels"]["name"] == value
