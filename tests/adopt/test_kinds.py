"""What admission says of StatefulSets as charts and blogs write them, before a pod is touched."""

import copy
from typing import Any

import pytest

from tests.adopt.kinds import KINDS, Kind
from tests.webhook.objects import patched, review_of
from webhook.errors import DeniedError
from webhook.mutate import mutate_statefulset

ADOPTED = [pytest.param(it, id=it.name) for it in KINDS.values() if not it.refused]
REFUSED = [pytest.param(it, id=it.name) for it in KINDS.values() if it.refused]
NAMED = [pytest.param(it, id=it.name) for it in KINDS.values() if it.annotations]


def opting_in(kind: Kind, **annotations: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The StatefulSet as it is, and as the user would have it."""
    (plain,) = (it for it in kind.objects if it["kind"] == "StatefulSet")
    wanted = copy.deepcopy(plain)
    wanted["metadata"]["annotations"] = {"pgset.dev/enabled": "true", **annotations}
    return plain, wanted


@pytest.mark.parametrize("kind", ADOPTED)
def test_it_is_stamped_and_nothing_else_of_it_changes(kind: Kind) -> None:
    plain, wanted = opting_in(kind, **kind.annotations)
    review = review_of(wanted, operation="UPDATE", old=plain)
    result = patched(wanted, mutate_statefulset(review))
    assert result["spec"]["template"]["metadata"]["labels"]["pgset.dev/set"] == kind.name
    assert result["spec"]["template"]["spec"] == plain["spec"]["template"]["spec"]


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_in_a_sentence_that_says_why(kind: Kind) -> None:
    plain, wanted = opting_in(kind)
    with pytest.raises(DeniedError, match=kind.refused):
        mutate_statefulset(review_of(wanted, operation="UPDATE", old=plain))


@pytest.mark.parametrize("kind", NAMED)
def test_what_it_needs_besides_is_what_the_refusal_says(kind: Kind) -> None:
    plain, wanted = opting_in(kind)
    with pytest.raises(DeniedError) as refused:
        mutate_statefulset(review_of(wanted, operation="UPDATE", old=plain))
    for name, value in kind.annotations.items():
        assert name in str(refused.value)
        assert f'"{value}"' in str(refused.value)
