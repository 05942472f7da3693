"""The examples: what a user would have written without us, plus one annotation."""

import pytest

from sidecar import contract
from tests.deploy.manifests import DEPLOY, document, documents
from tests.webhook.objects import review_of
from webhook.mutate import mutate_statefulset

EXAMPLES = ["pgset", "volume-claim-templates"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_one_annotation_is_all_that_a_statefulset_has_of_ours(example):
    text = (DEPLOY / "examples" / example / "statefulset.yaml").read_text()
    statefulset = document(f"examples/{example}/statefulset.yaml")
    assert statefulset["metadata"]["annotations"] == {contract.ENABLED: "true"}
    assert text.count(contract.DOMAIN) == 1


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_webhook_accepts_it_without_a_warning(example):
    statefulset = document(f"examples/{example}/statefulset.yaml")
    verdict = mutate_statefulset(review_of(statefulset))
    assert (verdict.outcome, verdict.warnings) == ("patched", ())


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_services_are_headless_for_members_and_by_role_for_clients(example):
    statefulset = document(f"examples/{example}/statefulset.yaml")
    name = statefulset["metadata"]["name"]
    labels = statefulset["spec"]["template"]["metadata"]["labels"]
    services = {
        s["metadata"]["name"]: s["spec"] for s in documents(f"examples/{example}/services.yaml")
    }
    assert statefulset["spec"]["serviceName"] == name
    assert services[name]["clusterIP"] == "None"
    assert services[name]["publishNotReadyAddresses"] is True
    assert services[name]["selector"] == labels
    for role in ("primary", "replica"):
        assert services[f"{name}-{role}"]["selector"] == {**labels, "pgset.dev/role": role}
    assert {spec["ports"][0]["port"] for spec in services.values()} == {5432}


def test_the_article_has_three_volumes_and_one_claim_that_can_bind_any_of_them():
    claim = document("examples/pgset/persistent-volume-claim.yaml")["spec"]
    volumes = documents("examples/pgset/persistent-volumes.yaml")
    assert [volume["metadata"]["name"] for volume in volumes] == ["pv1", "pv2", "pv3"]
    for volume in volumes:
        assert volume["spec"]["storageClassName"] == claim["storageClassName"]
        assert volume["spec"]["accessModes"] == claim["accessModes"] == ["ReadWriteMany"]
        assert volume["spec"]["capacity"] == claim["resources"]["requests"]


def test_each_pod_of_the_article_uses_the_folder_of_its_host_name():
    (container,) = document("examples/pgset/statefulset.yaml")["spec"]["template"]["spec"][
        "containers"
    ]
    (mount,) = container["volumeMounts"]
    assert mount["subPathExpr"] == "$(POD_NAME)"


def test_the_network_policy_lets_through_what_a_set_needs():
    spec = document("examples/network-policy.yaml")["spec"]
    members = {"podSelector": {"matchLabels": {contract.SET_LABEL: "orders"}}}
    assert spec["podSelector"] == members["podSelector"]

    def ports(rule):
        return {(it["protocol"], it["port"]) for it in rule["ports"]}

    of_members = {("TCP", contract.POSTGRES_PORT), ("TCP", contract.SIDECAR_PORT)}
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    clients, peers = spec["ingress"]
    # Of this namespace.
    assert clients["from"] == [{"podSelector": {}}]
    assert ports(clients) == {("TCP", contract.POSTGRES_PORT)}
    assert (peers["from"], ports(peers)) == ([members], of_members)
    to_peers, to_api_servers, to_dns = spec["egress"]
    assert (to_peers["to"], ports(to_peers)) == ([members], of_members)
    assert to_api_servers == document("base/network-policy.yaml")["spec"]["egress"][0]
    assert ports(to_dns) == {("UDP", 53), ("TCP", 53)}
