"""What the webhook makes of whole objects, kept in files to be read and reviewed.

`PGSET_UPDATE_GOLDEN=1 pytest tests/webhook/test_golden.py` writes them anew.
"""

import os
from typing import Any

import pytest
import yaml

from tests.support import documents
from tests.webhook import objects
from webhook.mutate import mutate_pod, mutate_statefulset

CASES = sorted(path.name for path in objects.GOLDEN.iterdir())
WITH_STATEFULSET = [case for case in CASES if (objects.GOLDEN / case / "statefulset.yaml").exists()]


class PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


@pytest.mark.parametrize("case", WITH_STATEFULSET)
def test_a_statefulset_is_stamped_as_in_its_golden_file(case):
    statefulset = objects.golden(case, "statefulset")
    verdict = mutate_statefulset(objects.review_of(statefulset))
    admitted = {
        "warnings": list(verdict.warnings),
        "object": objects.patched(statefulset, verdict),
    }
    assert_golden(case, "statefulset.admitted", admitted)


@pytest.mark.parametrize("case", CASES)
def test_a_pod_is_injected_as_in_its_golden_file(case):
    pod = objects.golden(case, "pod")
    verdict = mutate_pod(objects.review_of(pod), objects.IMAGE, objects.never_led)
    assert_golden(case, "pod.admitted", objects.patched(pod, verdict))


@pytest.mark.parametrize("case", WITH_STATEFULSET)
def test_the_pod_in_a_case_carries_what_its_statefulset_is_stamped_with(case):
    template = objects.golden(case, "statefulset.admitted")["object"]["spec"]["template"]
    pod = objects.golden(case, "pod")
    assert template["metadata"]["annotations"] == pod["metadata"]["annotations"]
    assert template["metadata"]["labels"].items() <= pod["metadata"]["labels"].items()


def test_a_pod_that_is_injected_already_gets_no_operation():
    pod = objects.golden("already-injected", "pod")
    verdict = mutate_pod(objects.review_of(pod), objects.IMAGE, objects.never_led)
    assert verdict.patch == []


def assert_golden(case: str, name: str, actual: dict[str, Any]) -> None:
    path = objects.GOLDEN / case / f"{name}.yaml"
    if os.environ.get("PGSET_UPDATE_GOLDEN") == "1":
        path.write_text(yaml.dump(actual, Dumper=PlainDumper, sort_keys=False, width=100))
    expected = documents.document(path.read_text()) if path.exists() else None
    assert expected == actual, (
        f"{path.name} of case {case} is not what the webhook makes of it; if this is meant: "
        "PGSET_UPDATE_GOLDEN=1 pytest tests/webhook/test_golden.py, and review the difference"
    )
