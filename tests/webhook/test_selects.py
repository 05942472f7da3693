"""`pgset.dev/selects` on a Service."""

import copy

import pytest

from tests.webhook import objects
from webhook.errors import DeniedError
from webhook.review import MAX_WARNING
from webhook.selects import mutate_service

ROLE = "pgset.dev/role"
BY = "pgset.dev/selected-by"


def service(selects=None, annotations=None, **spec):
    return {
        "kind": "Service",
        "metadata": {
            "name": "orders",
            "annotations": {
                **({"pgset.dev/selects": selects} if selects else {}),
                **(annotations or {}),
            },
        },
        "spec": {"selector": {"app": "orders"}, "clusterIP": "10.96.0.7", **spec},
    }


def admitted(it, old=None):
    """The Service as it is stored, and what its user is told."""
    verdict = mutate_service(objects.review_of(it, "UPDATE" if old else "CREATE", old))
    stored = objects.patched(it, verdict)
    assert mutate_service(objects.review_of(stored, "UPDATE", it)).patch == []
    assert all(len(warning) <= MAX_WARNING for warning in verdict.warnings)
    return stored, verdict.warnings


def selector(it, old=None):
    return admitted(it, old)[0]["spec"]["selector"]


@pytest.mark.parametrize("role", ["primary", "replica"])
def test_the_role_is_added_to_what_the_service_selects(role):
    stored, warnings = admitted(service(role))
    assert stored["spec"]["selector"] == {"app": "orders", ROLE: role}
    told = f"the Service leads to pods with {ROLE}: {role} alone"
    assert warnings == (f"{told}; until its pods have the role it leads nowhere",)


def test_a_set_with_its_own_label_and_values_is_named_by_the_same_annotations():
    own = {"pgset.dev/role-label": "name", "pgset.dev/primary-value": "main"}
    assert selector(service("primary", own)) == {"app": "orders", "name": "main"}


def test_a_long_label_is_told_in_full():
    key = f"{'team.' * 10}example/role"
    _, warnings = admitted(service("primary", {"pgset.dev/role-label": key}))
    end = f"{key}: primary alone; until its pods have the role it leads nowhere"
    assert " ".join(warnings).endswith(end)


def test_it_goes_with_the_annotation():
    before, _ = admitted(service("primary"))
    after = copy.deepcopy(before)
    del after["metadata"]["annotations"]["pgset.dev/selects"]
    stored, warnings = admitted(after, before)
    assert stored == service()
    assert warnings == ("the Service leads to the primary and to replicas alike again",)


def test_it_changes_with_the_annotations():
    before, _ = admitted(service("primary"))
    after = copy.deepcopy(before)
    after["metadata"]["annotations"]["pgset.dev/selects"] = "replica"
    assert selector(after, before) == {"app": "orders", ROLE: "replica"}
    after["metadata"]["annotations"]["pgset.dev/role-label"] = "name"
    assert selector(after, before) == {"app": "orders", "name": "replica"}


def test_a_selector_that_is_overwritten_gets_it_again():
    """By `kubectl replace`, or by server-side apply, to which a selector is one value."""
    before, _ = admitted(service("primary"))
    overwritten = {**copy.deepcopy(before), "spec": service()["spec"]}
    assert selector(overwritten, before) == {"app": "orders", ROLE: "primary"}
    assert selector(service("primary"), before) == {"app": "orders", ROLE: "primary"}


def test_a_role_of_the_users_own_stays_when_the_annotation_goes():
    own = {"app": "orders", ROLE: "primary"}
    stored, warnings = admitted(service("primary", selector=own))
    assert (stored, warnings) == (service("primary", selector=own), ())
    assert selector(service(selector=own), stored) == own


def test_who_takes_both_annotations_away_keeps_the_selector():
    before, _ = admitted(service("primary"))
    without = {**before, "metadata": {"name": "orders"}}
    assert selector(without, before) == {"app": "orders", ROLE: "primary"}


# ── a key of the user's own ────────────────────────────────────────────────────────────────


def test_a_manifest_copied_with_selected_by_loses_no_key_when_it_is_created():
    """As `kubectl get -o yaml` gives it."""
    own = {"app": "orders", ROLE: "primary"}
    stored, warnings = admitted(service(annotations={BY: ROLE}, selector=own))
    assert stored == service(selector=own)
    assert warnings == (f"{ROLE}: primary stays in spec.selector",)


@pytest.mark.parametrize("old", [None, service()], ids=["created", "updated"])
def test_selected_by_that_the_user_writes_takes_nothing_away(old):
    own = {"app": "orders", "tier": "db"}
    stored = admitted(service("primary", {BY: "tier"}, selector=own), old)[0]
    assert stored["spec"]["selector"] == {**own, ROLE: "primary"}
    assert stored["metadata"]["annotations"][BY] == ROLE
    assert admitted(service(annotations={BY: "tier"}, selector=own), old)[0] == service(
        selector=own
    )


def test_selected_by_goes_where_the_role_is_the_users_own():
    own = {"app": "orders", ROLE: "primary"}
    assert admitted(service("primary", {BY: "app"}, selector=own))[0] == service(
        "primary", selector=own
    )


def test_what_is_no_role_is_not_taken_away_though_it_came_while_no_webhook_answered():
    marked = service(annotations={BY: "app"}, selector={"app": "orders", "tier": "db"})
    assert selector(marked, marked) == {"app": "orders", "tier": "db"}


APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@pytest.mark.parametrize(
    ("manifest", "kept"),
    [
        ('{"spec":{"selector":{"app":"orders","pgset.dev/role":"primary"}}}', True),
        ('{"spec":{"selector":{"app":"orders"}}}', False),
        ('{"spec":{"selector":null}}', False),
        ('{"spec":[]}', False),
        ("[" * 100_000, False),
        ("no JSON", False),
    ],
)
def test_a_key_that_kubectl_apply_was_given_later_stays_when_the_annotation_goes(manifest, kept):
    before, _ = admitted(service("primary"))
    after = copy.deepcopy(before)
    del after["metadata"]["annotations"]["pgset.dev/selects"]
    after["metadata"]["annotations"][APPLIED] = manifest
    assert (ROLE in selector(after, before)) is kept


def test_values_of_the_sets_own_are_taken_away_together_with_their_annotations():
    own = {"pgset.dev/role-label": "name", "pgset.dev/primary-value": "main"}
    before, _ = admitted(service("primary", own))
    after = copy.deepcopy(before)
    after["metadata"]["annotations"] = {BY: "name"}
    assert selector(after, before) == {"app": "orders"}


REFUSED = {
    "another word": (
        service("master"),
        'annotation pgset.dev/selects: "master" is not allowed; allowed: "primary", "replica"',
    ),
    "no label key": (
        service("primary", {"pgset.dev/role-label": "-"}),
        'annotation pgset.dev/role-label: "-" is not allowed; allowed: a Kubernetes label key',
    ),
    "no selector": (service("primary", selector=None), "is on a Service that selects no pods"),
    "a name elsewhere": (
        service("primary", type="ExternalName", externalName="db.example"),
        "is on a Service that selects no pods",
    ),
    "nothing but what was added": (
        service("primary", {BY: ROLE}, selector={ROLE: "primary"}),
        "is on a Service that selects no pods",
    ),
    "headless": (service("primary", clusterIP="None"), "is on a headless Service"),
    "another role": (
        service("primary", selector={"app": "orders", ROLE: "replica"}),
        'asks for pgset.dev/role: primary, but spec.selector says "replica"',
    ),
    "a label of the selector": (
        service("primary", {"pgset.dev/role-label": "app"}),
        'asks for app: primary, but spec.selector says "orders"',
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_lead_elsewhere_is_refused(case):
    it, sentence = REFUSED[case]
    with pytest.raises(DeniedError) as refusal:
        admitted(it)
    assert sentence in str(refusal.value)
    assert "; allowed: " in str(refusal.value)


@pytest.mark.parametrize("case", REFUSED)
def test_an_update_of_one_that_came_while_no_webhook_answered_is_not_refused(case):
    it, sentence = REFUSED[case]
    stored, warnings = admitted({**it, "status": {}}, old=it)
    assert stored == {**it, "status": {}}
    assert sentence in " ".join(warnings)


def test_a_service_that_asks_for_nothing_is_left_alone():
    assert admitted(service()) == (service(), ())
