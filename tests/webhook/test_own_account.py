"""Pods whose template names no service account get the set's own."""

import pytest

from tests.webhook import objects
from webhook.mutate import mutate_pod


def admitted(own_accounts=True, **spec):
    pod = objects.changed(objects.article_pod(), lambda it: it["spec"].update(spec))
    for name in [name for name, value in spec.items() if value is None]:
        del pod["spec"][name]
    verdict = mutate_pod(
        objects.review_of(pod), objects.IMAGE, objects.never_led, own_accounts=own_accounts
    )
    return objects.patched(pod, verdict)


DEFAULT = {"serviceAccountName": "default", "serviceAccount": "default"}


def accounts(pod):
    return pod["spec"].get("serviceAccountName"), pod["spec"].get("serviceAccount")


def test_the_default_account_is_replaced_under_both_of_its_names():
    assert accounts(admitted(**DEFAULT)) == ("pgset-pgset", "pgset-pgset")


@pytest.mark.parametrize("name", [None, ""])
def test_no_account_at_all_is_replaced_under_its_first_name(name):
    given = {"serviceAccountName": name, "serviceAccount": None}
    assert accounts(admitted(**given)) == ("pgset-pgset", None)


def test_one_that_the_user_has_named_stays():
    assert accounts(admitted()) == ("pgset-sa", "pgset-sa")


def test_without_a_caretaker_that_grants_default_stays():
    assert accounts(admitted(own_accounts=False, **DEFAULT)) == ("default", "default")


def test_called_again_it_changes_nothing():
    pod = admitted(**DEFAULT)
    verdict = mutate_pod(
        objects.review_of(pod), objects.IMAGE, objects.never_led, own_accounts=True
    )
    assert verdict.patch == []


def test_image_pull_secrets_of_the_default_account_stay():
    """The API server has copied them into the pod before it asks."""
    secrets = [{"name": "registry"}]
    pod = admitted(**DEFAULT, imagePullSecrets=secrets)
    assert pod["spec"]["imagePullSecrets"] == secrets
