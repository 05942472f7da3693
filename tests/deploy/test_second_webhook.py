"""A second mutating webhook on the local cluster, asked before ours or after it.

The API server asks webhooks in the order of their configurations' names, and one whose
reinvocationPolicy is IfNeeded once more where a later one has changed the object.
All is tried as a dry run: the API server does everything but store it.
"""

import copy
import functools
import itertools
from collections import Counter
from dataclasses import dataclass

import pytest

from deploy.local.layout import CONTROL_PLANE_NAMESPACE
from deploy.local.network import namespace_path
from sidecar import contract
from tests.deploy import second_webhook
from tests.deploy.cluster_tools import (
    SYSTEM,
    Kubectl,
    install,
    make_namespace,
    reviews_by_outcome,
    wait_until,
)
from tests.deploy.second_webhook import MUTATIONS, Mutation, SecondWebhook, mutated
from tests.deploy.test_admission import plain_pod, pod
from webhook.json_patch import Json

pytestmark = pytest.mark.cluster

NAMESPACE = "test-second-webhook"
CASE = "user-init-containers"
OURS = (contract.SIDECAR_CONTAINER, contract.BOOTSTRAP_CONTAINER)
SEEN_WITHIN = 180.0


@dataclass(frozen=True)
class Other:
    """The other webhook, as it is registered."""

    webhook: SecondWebhook
    comes_first: bool
    policy: str

    @property
    def sees_ours(self) -> bool:
        """Whether it is asked once our containers are there."""
        return not self.comes_first or self.policy == "IfNeeded"


@dataclass(frozen=True)
class Admission:
    """A pod that both webhooks had a hand in."""

    other: Other
    mutation: Mutation
    admitted: Json
    answered: Counter[str]
    """Our webhook's reviews of it, by outcome."""


def the_names(containers):
    return [container["name"] for container in containers]


@pytest.fixture(scope="module")
def kubectl():
    install()
    system = Kubectl(SYSTEM)
    try:
        kubectl = make_namespace(NAMESPACE)
        kubectl("create", "serviceaccount", "pgset-sa")
        yield kubectl
    finally:
        system("delete", "namespace", NAMESPACE, "--ignore-not-found")


@pytest.fixture(scope="module")
def webhook(tmp_path_factory):
    """The server, on the API server's own loopback interface."""
    folder = tmp_path_factory.mktemp("second-webhook")
    with second_webhook.serving(folder, namespace_path(CONTROL_PLANE_NAMESPACE)) as webhook:
        yield webhook


WAYS = [*itertools.product(("a-second", "z-second"), ("Never", "IfNeeded"))]
EACH_TIME = ("z-second", "IfNeeded")
"""The way in which each is asked after the other."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(way, marks=[] if way == EACH_TIME else pytest.mark.rarely) for way in WAYS
    ],
    ids="-".join,
)
def other(kubectl, webhook, request):  # kubectl first: it brings the network namespace up
    name, policy = request.param

    def is_the_only_one_asked():
        webhook.asked.clear()
        kubectl.dry_run(plain_pod())
        return webhook.asked == [f"/{name}/{policy}"]

    webhook.mutation = second_webhook.nothing
    try:
        kubectl("apply", "-f", "-", manifest=webhook.registration(name, policy, NAMESPACE))
        # The API server takes a moment to see it, and that the one before has gone.
        wait_until(is_the_only_one_asked, SEEN_WITHIN)
        yield Other(webhook, name < "pgset", policy)
    finally:
        kubectl("delete", "mutatingwebhookconfiguration", name, "--ignore-not-found")


@pytest.fixture(scope="module")
def admitted(kubectl, other):
    """Admissions by their mutation, each done once."""

    @functools.cache
    def admit(mutation):
        other.webhook.mutation = mutation
        for _ in range(5):
            before = reviews_by_outcome()
            pod_admitted = kubectl.dry_run(pod(CASE))
            answered = reviews_by_outcome() - before
            # Where one of the two was late, ours was asked for another try, too.
            if kubectl.tries == 1:
                break
        return Admission(other, mutation, pod_admitted, answered)

    return admit


@pytest.fixture(params=MUTATIONS)
def admission(admitted, request):
    return admitted(request.param)


def test_ours_are_there_once_and_around_the_users_init_containers(admission):
    expected = [OURS[0], *the_names(pod(CASE)["spec"]["initContainers"]), OURS[1]]
    found = the_names(admission.admitted["spec"]["initContainers"])
    if "mesh" in found:
        # Whoever is asked last puts its own in front.
        expected.insert(1 if admission.other.comes_first else 0, "mesh")
    assert expected == found
    assert not set(OURS) & set(the_names(admission.admitted["spec"]["containers"]))


def test_what_the_other_adds_survives_in_all_that_it_was_shown(admission):
    shown = copy.deepcopy(admission.admitted)
    if not admission.other.sees_ours:
        shown["spec"]["initContainers"] = [
            it for it in shown["spec"]["initContainers"] if it["name"] not in OURS
        ]
    assert mutated(shown, admission.mutation) == shown


def test_the_role_is_labelled_once(admission):
    given, labels = pod(CASE)["metadata"]["labels"], admission.admitted["metadata"]["labels"]
    labels = {name: value for name, value in labels.items() if name != "mesh"}
    assert labels == {**given, contract.DEFAULT_ROLE_LABEL: "primary"}
    assert admission.admitted["metadata"]["annotations"][contract.INJECTED] == contract.VERSION


def test_asked_again_ours_leaves_its_first_result(admission):
    """It is asked again where the other has changed the pod after it: the answer is no patch."""
    other = admission.other
    # Of one that came first, only what it puts into our containers is such a change.
    again = not other.comes_first or (
        other.sees_ours and admission.mutation is second_webhook.a_library_everywhere
    )
    expected = {"patched": 1, "unchanged": 1} if again else {"patched": 1}
    assert admission.answered == expected
