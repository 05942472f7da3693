"""Whatever selects pods of the installation selects those alone, whatever else runs beside them."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.manifests import BASE, document, documents

OF_OTHERS = {
    "cert-manager's webhook": {
        "app": "webhook",
        "app.kubernetes.io/name": "webhook",
        "app.kubernetes.io/instance": "cert-manager",
        "app.kubernetes.io/component": "webhook",
    },
    "another installation of the same name": {
        "app.kubernetes.io/name": "webhook",
        "app.kubernetes.io/instance": "pgset",
        "app.kubernetes.io/component": "webhook",
    },
    "a caretaker of somebody's": {"app.kubernetes.io/component": "caretaker"},
    **{
        f"{part} of another release of pgset": {
            "app.kubernetes.io/name": "pgset",
            "app.kubernetes.io/instance": "another",
            "app.kubernetes.io/component": part,
        }
        for part in ("webhook", "caretaker", "certs")
    },
}

Labels = dict[str, str]


def selectors() -> Iterator[tuple[str, Labels]]:
    """Where it is, and the labels that it asks for, of all selectors in deploy/base."""

    def within(it: Any, where: str) -> Iterator[tuple[str, Labels]]:
        for key, value in it.items() if isinstance(it, dict) else enumerate(it):
            here = f"{where}.{key}"
            if key in ("selector", "podSelector", "labelSelector"):
                yield here, value.get("matchLabels", value)
            elif isinstance(value, dict | list):
                yield from within(value, here)

    for path in sorted(BASE.glob("*.yaml")):
        for manifest in documents(path.name):
            yield from within(manifest.get("spec", {}), path.stem)


SELECTORS = dict(selectors())

PODS = {
    name: document(f"{name}.yaml")["spec"]["template"]["metadata"]["labels"]
    for name in sorted(path.stem for path in BASE.glob("*deployment.yaml"))
}


def matched(labels: Labels) -> set[str]:
    return {where for where, wanted in SELECTORS.items() if wanted.items() <= labels.items()}


def test_all_kinds_of_selectors_are_looked_at():
    assert {"deployment.selector", "service.selector", "pod-disruption-budget.selector"} < {
        *SELECTORS
    }
    assert {"network-policy.podSelector", "caretaker-network-policy.podSelector"} < {*SELECTORS}


@pytest.mark.parametrize("labels", OF_OTHERS.values(), ids=OF_OTHERS)
def test_no_selector_matches_pods_of_another_product(labels):
    assert matched(labels) == set()


def test_each_selector_matches_the_pods_of_one_deployment():
    found = [matched(labels) for labels in PODS.values()]
    assert set().union(*found) == {*SELECTORS}
    assert sum(map(len, found)) == len(SELECTORS)
