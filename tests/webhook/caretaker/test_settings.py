"""What the Deployment tells the caretaker."""

import pytest

from tests.deploy.manifests import document
from webhook.caretaker.settings import CaretakerSettings
from webhook.settings import InvalidEnvironmentError

GIVEN = {
    "PGSET_POD_NAME": "pgset-caretaker-1",
    "PGSET_POD_NAMESPACE": "pgset-system",
    "PGSET_GRANTS": "true",
    "PGSET_EXCLUDED_NAMESPACES": "kube-system, pgset-system",
}


def test_they_are_read():
    assert CaretakerSettings.from_environment(GIVEN) == CaretakerSettings(
        "pgset-caretaker-1", "pgset-system", True, frozenset({"kube-system", "pgset-system"})
    )


@pytest.mark.parametrize("name", GIVEN)
def test_one_that_is_missing_is_named(name):
    with pytest.raises(InvalidEnvironmentError, match=name):
        CaretakerSettings.from_environment(GIVEN | {name: ""})


def test_grants_are_given_or_not():
    assert not CaretakerSettings.from_environment(GIVEN | {"PGSET_GRANTS": "false"}).grants
    with pytest.raises(InvalidEnvironmentError, match='"no" is not allowed; allowed: "true"'):
        CaretakerSettings.from_environment(GIVEN | {"PGSET_GRANTS": "no"})


def test_the_deployment_gives_them_all_and_excludes_what_the_webhook_is_not_asked_about():
    pod = document("caretaker-deployment.yaml")["spec"]["template"]["spec"]
    env = {it["name"]: it.get("value", "by the downward API") for it in pod["containers"][0]["env"]}
    settings = CaretakerSettings.from_environment(env)
    webhooks = document("mutating-webhook-configuration.yaml")["webhooks"]
    for webhook in webhooks:
        (expression,) = webhook["namespaceSelector"]["matchExpressions"]
        assert set(expression["values"]) == settings.excluded_namespaces
