"""Pods that stay out of their set, and how each comes in."""

import pytest

from cli import stays_out
from sidecar.table import TABLE
from tests.cli.objects import causes, command, pod, said, waits, with_replica
from tests.cli.test_member import annotated


@pytest.mark.parametrize("reason", stays_out.OTHER_DATA)
def test_data_that_is_none_of_the_sets_is_replaced_once_it_is_saved(reason: str) -> None:
    (only,) = causes(*with_replica(annotated(waits(), signs="scrypt"), said(reason)))
    assert only.command == "kubectl pgset reinit orders-1 -n shop"
    assert "Dump what is needed" in only.sentence
    assert command(*with_replica(waits(), said(reason))) == "describe pod orders-1", "of 0.2.0"
    nobody = with_replica(annotated(waits(), signs="scrypt"), said(reason))
    del nobody[1]
    assert not [it for it in causes(*nobody) if "reinit" in it.command], "nothing to copy from"


def copy_of(uid: str):
    """As `kubectl debug --copy-to` makes it: without the labels and the owner."""
    made = pod(7, "")
    made["metadata"] |= {"name": "look", "uid": uid, "labels": {}, "ownerReferences": []}
    return made


def test_a_copy_of_a_member_that_has_its_directory_is_deleted() -> None:
    message = "another pod (UID 1-2) is writing to this data directory: waiting until it stops"
    items = with_replica(pod(1, "", ready=False, says=message), said(stays_out.IN_USE, message))
    assert command(*items, copy_of("1-2")) == "delete pod look"
    assert command(*items, copy_of("1-")) == "describe pod orders-1", "another pod"
    items[1]["metadata"]["uid"] = "1-2"
    items[3]["spec"]["holderIdentity"] = "orders-0_1-2"
    assert command(*items) == "describe pod orders-1", "a member is not deleted for it"


def test_they_are_known_by_names_of_situations() -> None:
    names = {row.name for part in TABLE for row in part.rows}
    assert {*stays_out.OTHER_DATA, stays_out.IN_USE} <= names
