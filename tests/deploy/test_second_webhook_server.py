"""The second webhook of the cluster's tests, tried without a cluster."""

import base64
import json
import ssl

import pytest
import urllib3

from tests.deploy import second_webhook
from tests.deploy.second_webhook import MUTATIONS, mutated
from tests.webhook import objects


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("case", ["article", "user-init-containers"])
def test_the_other_webhook_changes_a_pod_and_is_idempotent(case, mutation):
    given = objects.golden(case, "pod")
    once = mutated(given, mutation)
    assert once != given
    assert mutated(once, mutation) == once


def test_the_other_webhook_answers_over_tls_to_who_trusts_its_registration(tmp_path):
    review = objects.admission_review(objects.article_pod())
    with second_webhook.serving(tmp_path) as webhook:
        webhook.mutation = second_webhook.a_container
        (registered,) = webhook.registration("a-second", "Never", "shop")["webhooks"]
        bundle = base64.b64decode(registered["clientConfig"]["caBundle"])
        context = ssl.create_default_context(cadata=bundle.decode())
        # What Go checks too, beside what OpenSSL does by default.
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        url = f"{registered['clientConfig']['url']}?timeout=5s"
        with urllib3.PoolManager(ssl_context=context, retries=False) as pool:
            response = pool.request("POST", url, json=review).json()["response"]
    assert (response["uid"], response["allowed"]) == (review["request"]["uid"], True)
    patch = json.loads(base64.b64decode(response["patch"]))
    assert patch == second_webhook.a_container(objects.article_pod()) != []
    assert webhook.asked == ["/a-second/Never"]
