"""A member is let lead where nobody may: what is told before, what is asked, what comes of it."""

import io
import json
import os
import re
from argparse import Namespace
from typing import Any

import pytest

from cli import failover as commands
from cli.failover import at_stake, outcome
from cli.kubectl import CannotError, Kubectl
from cli.switchover import Asked, Outcome
from cli.text import Paint
from tests.cli.objects import event, lease, pod, statefulset, the_set, there

Json = dict[str, Any]
AT = "2026-11-29T12:00:00Z"


def new(number: int, role: str = "", **annotations: str) -> Json:
    """A pod whose sidecar knows the annotation."""
    made = pod(number, role, says=f"orders-{number} waits")
    ours = {f"pgset.dev/{name}": value for name, value in annotations.items()}
    made["metadata"]["annotations"].update({"pgset.dev/signs": "scrypt"} | ours)
    return made


def record(holder: int = 0, **annotations: str) -> Json:
    made = lease(holder, **annotations)
    made["metadata"]["resourceVersion"] = "17"
    return made


PROMISE = {
    "members": "orders-0,orders-1,orders-2",
    "in_sync": "orders-0,orders-1,orders-2",
    "copies": "2",
    "history": f"3 orders-0 {AT}",
    "position": str(0x1_0000_0000),
    "followers": "term-0,orders-1 4026531840 4026531840 -",
}
LEADERLESS = (statefulset(), new(1), record(**PROMISE))


def asked(*items: Json) -> Asked:
    found = there(*items)
    waiting = next(it for it in found.pods if it.name == "orders-1")
    return Asked(the_set(found), waiting, "orders-1", frozenset(it.id for it in found.events))


def test_what_may_be_lost_is_told_of_the_lease_and_of_each_member() -> None:
    found = there(*LEADERLESS)
    told = "\n".join(at_stake(the_set(found), found, found.leases[0], found.pods[0]))
    assert "Nobody leads set shop/orders; orders-0 was the last that did" in told
    assert (
        "The last WAL position on record is 1/0; orders-1 had received up to 0/F0000000 by then, "
        "268435456 bytes less."
    ) in told
    assert "was asked to lead, too" not in told
    assert "on at least 2 of orders-0, orders-1, orders-2. That promise is waived" in told
    assert "orders-0: is not there" in told
    assert "orders-1: orders-1 waits" in told
    assert "orders-2: is not there" in told
    found = there(statefulset(), new(1), record(position="5"))
    told = "\n".join(at_stake(the_set(found), found, found.leases[0], found.pods[0]))
    assert "how much of that orders-1 has received is not" in told
    assert "No standby is promised anything" in told


@pytest.mark.parametrize(("version", "told"), [("17", True), ("16", False)])
def test_that_another_was_asked_on_the_same_lease_is_told(version: str, told: bool) -> None:
    """By somebody else, at the same time. An older request is none any more."""
    found = there(*LEADERLESS, new(2, failover=version))
    lines = at_stake(the_set(found), found, found.leases[0], found.pods[0])
    assert ("orders-2 was asked to lead, too: whichever can do so first leads." in lines) is told


def test_it_is_done_when_it_has_the_label_and_the_lease() -> None:
    before = asked(*LEADERLESS)
    assert outcome(before, there(new(1), record())).outcome is Outcome.WAITING
    assert outcome(before, there(new(1, "primary"), record(1))).outcome is Outcome.DONE
    other = outcome(before, there(new(1), new(0, "primary"), record(0)))
    assert (other.outcome, other.sentence) == (
        Outcome.REFUSED,
        "orders-0 is primary, and not orders-1",
    )

    gone = new(0, "primary")
    gone["status"]["conditions"] = []
    assert outcome(before, there(new(1), gone, record(0))).outcome is Outcome.WAITING


def test_a_request_ends_with_the_pod_that_was_asked() -> None:
    """Its next pod does nothing by the annotation, if it has it at all."""
    before = asked(*LEADERLESS)
    anew = new(1)
    anew["metadata"]["uid"] = "uid-new"
    for found in (there(anew, record()), there(record())):
        said = outcome(before, found)
        assert (said.outcome, "and the request with it" in said.sentence) == (
            Outcome.REFUSED,
            True,
        )
    anew = new(1, "primary")
    anew["metadata"]["uid"] = "uid-new"
    led = record(1)
    led["spec"]["holderIdentity"] = "orders-1_uid-new"
    assert outcome(before, there(anew, led)).outcome is Outcome.DONE


def test_a_refusal_is_its_own_sentence() -> None:
    old = event("Pod", "orders-1", "FailoverRefused", "it was fenced", id="old")
    fresh = event("Pod", "orders-1", "FailoverRefused", "it is paused", id="new")
    before = asked(*LEADERLESS, old)
    assert outcome(before, there(*LEADERLESS, old)).outcome is Outcome.WAITING
    assert outcome(before, there(*LEADERLESS, old, fresh)).sentence == "it is paused"


@pytest.fixture
def carried_out(tmp_path, monkeypatch):
    """Carry it out on these objects; return the exit code and kubectl's words of what was changed.

    As soon as the annotation is there, orders-1 leads. `uid`: of the pod that has got it.
    """

    def carry_out(
        *items: Json, typed: str = "", yes: bool = False, to: str = "orders-1", uid: str = "uid-1"
    ):
        script, changed = tmp_path / "kubectl", tmp_path / "changed"
        changed.write_text("")
        after = [new(1, "primary"), record(1)]
        for folder, which in (("before", list(items)), ("after", [items[0], *after])):
            (tmp_path / folder).mkdir(exist_ok=True)
            for kind in ("statefulset", "pod", "lease", "service", "event"):
                found = [it for it in which if it["kind"].lower() == kind]
                (tmp_path / folder / f"{kind}s").write_text(json.dumps({"items": found}))
        script.write_text(
            f"#!/bin/sh\nfolder=before; grep -q failover= {changed} && folder=after\n"
            f'if [ "$1" = get ]; then exec cat {tmp_path}/$folder/$2; fi\n'
            f'echo "$@" >> {changed}\n'
            f'case "$*" in *jsonpath*) printf {uid};; esac\n'
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        chosen = Namespace(set="orders", to=to, yes=yes, timeout=60)
        code = commands.failover(Kubectl([], "shop"), chosen, Paint(False))
        return code, changed.read_text().splitlines()

    return carry_out


WORDS = "annotate pod orders-1 -n shop pgset.dev/failover"
ASKED = f"{WORDS}=17 --overwrite -o jsonpath={{.metadata.uid}}"


def test_the_version_of_the_lease_that_was_looked_at_is_given(carried_out, capsys) -> None:
    assert carried_out(*LEADERLESS, yes=True) == (0, [ASKED])
    assert "orders-1 is primary after" in capsys.readouterr().out


def test_nothing_is_changed_before_the_sets_name_is_typed(carried_out) -> None:
    assert carried_out(*LEADERLESS) == (1, [])
    assert carried_out(*LEADERLESS, typed="yes\n") == (1, [])
    assert carried_out(*LEADERLESS, typed="orders\n") == (0, [ASKED])


def test_what_was_refused_is_asked_again(carried_out) -> None:
    again = (statefulset(), new(1, failover="17"), record())
    assert carried_out(*again, yes=True) == (0, [f"{WORDS}-", ASKED])


def test_a_pod_that_was_made_anew_meanwhile_is_not_asked(carried_out) -> None:
    """It was not looked at, and might lead with less than was told."""
    with pytest.raises(CannotError, match="orders-1 was made anew meanwhile"):
        carried_out(*LEADERLESS, yes=True, uid="another")


def test_who_interrupts_the_wait_is_told_that_the_request_stands(
    carried_out, monkeypatch, capsys
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "outcome", interrupted)
    with pytest.raises(KeyboardInterrupt):
        carried_out(*LEADERLESS, yes=True)
    assert f"kubectl -n shop {WORDS.replace(' -n shop', '')}-" in capsys.readouterr().err


def leaving() -> Json:
    made = new(1)
    made["metadata"]["deletionTimestamp"] = AT
    return made


@pytest.mark.parametrize(
    ("items", "to", "why"),
    [
        (
            (statefulset(), new(0, "primary"), new(1, "replica"), record()),
            "orders-1",
            "orders-0 leads, so nothing need be lost: kubectl pgset switchover orders --to "
            "orders-1 -n shop",
        ),
        (
            (statefulset(), new(0), new(1, "primary"), record(1)),
            "orders-1",
            "orders-1 leads already",
        ),
        (LEADERLESS, "orders-7", 'set "orders" has no pod "orders-7"'),
        (LEADERLESS[:2], "orders-1", "has no Lease that says which database is its own"),
        ((statefulset(), pod(1, ""), record()), "orders-1", "newer than version 0.2.0"),
        (
            (statefulset(), new(1, fenced="true"), record()),
            "orders-1",
            "orders-1 is fenced: kubectl pgset unfence orders-1 -n shop comes first",
        ),
        (
            (statefulset(), new(1, nofailover="true"), record()),
            "orders-1",
            "kubectl -n shop annotate pod orders-1 pgset.dev/nofailover- comes first",
        ),
        ((statefulset(paused="true"), new(1), record()), "orders-1", "the set is paused"),
        ((statefulset(), leaving(), record()), "orders-1", "orders-1 is being deleted"),
        (
            (statefulset(), new(1), record(members="orders-0,orders-2")),
            "orders-1",
            "orders-1 is none of the members that the Lease records: orders-0, orders-2",
        ),
    ],
    ids=[
        "somebody leads",
        "it leads",
        "no such pod",
        "no Lease",
        "old sidecar",
        "fenced",
        "left to others",
        "paused",
        "it is being deleted",
        "no member",
    ],
)
def test_otherwise_it_is_told_what_helps(carried_out, items, to, why) -> None:
    with pytest.raises(CannotError, match=re.escape(why)):
        carried_out(*items, yes=True, to=to)
