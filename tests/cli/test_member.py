"""What is done to one member, and when it is not."""

import json
import os
import re
from argparse import Namespace
from collections.abc import Callable

import pytest

from cli import completion
from cli import member as commands
from cli.kubectl import CannotError, Kubectl
from cli.member import member, nobody_would_lead
from cli.switchover import candidate
from cli.text import Paint
from tests.cli.objects import command, healthy, lease, pod, statefulset, the_set, there

Json = dict


def annotated(which: Json, **annotations: str) -> Json:
    ours = {f"pgset.dev/{name}": value for name, value in annotations.items()}
    which["metadata"]["annotations"].update(ours)
    return which


def new(number: int, role: str, **more) -> Json:
    """A pod whose sidecar knows what version 0.2.0 does not."""
    return annotated(pod(number, role, **more), signs="scrypt")


PAIR = (statefulset(), new(0, "primary"), new(1, "replica"), lease())
ALONE = (statefulset(), new(0, "primary"), new(1, "replica", ready=False), lease())


@pytest.fixture
def carried_out(tmp_path, monkeypatch) -> Callable[..., list[str]]:
    """Carry a command out on these objects; return what was changed, by kubectl's words."""

    def carry_out(name: str, which: str, *items: Json, yes: bool = False) -> list[str]:
        script, changed = tmp_path / "kubectl", tmp_path / "changed"
        changed.write_text("")
        for kind in ("statefulset", "pod", "lease", "service"):
            found = [it for it in items if it["kind"].lower() == kind]
            (tmp_path / f"{kind}s").write_text(json.dumps({"items": found}))
        script.write_text(
            f'#!/bin/sh\nif [ "$1" = get ]; then exec cat {tmp_path}/$2; fi\n'
            f'echo "$@" >> {changed}\n'
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        kubectl, chosen = Kubectl([], "shop"), Namespace(pod=which, yes=yes)
        assert getattr(commands, name)(kubectl, chosen, Paint(False)) == 0
        return changed.read_text().splitlines()

    return carry_out


def test_a_replica_is_fenced_and_unfenced_by_its_pods_annotation(carried_out) -> None:
    words = "annotate pod orders-1 -n shop pgset.dev/fenced{} --overwrite"
    assert carried_out("fence", "orders-1", *PAIR) == [words.format("=true")]
    fenced = (*PAIR[:2], annotated(new(1, "replica"), fenced="true"), lease())
    assert carried_out("unfence", "orders-1", *fenced) == [words.format("-")]


def test_who_is_not_fenced_is_not_said_to_start_again(carried_out, capsys) -> None:
    assert carried_out("unfence", "orders-1", *PAIR) == []
    assert capsys.readouterr().out == "orders-1 is not fenced: nothing was changed\n"


def test_a_primary_is_fenced_where_another_can_take_over(carried_out) -> None:
    assert len(carried_out("fence", "orders-0", *PAIR)) == 1
    with pytest.raises(CannotError, match="no other member can take over"):
        carried_out("fence", "orders-0", *ALONE)
    assert len(carried_out("fence", "orders-0", *ALONE, yes=True)) == 1


def test_a_replica_is_cloned_again_for_the_time_at_which_it_is_asked(carried_out) -> None:
    (words,) = carried_out("reinit", "orders-1", *PAIR)
    asked = r"annotate pod orders-1 -n shop pgset.dev/reinit=20\d\d-[\d-]+T[\d:]+Z --overwrite"
    assert re.fullmatch(asked, words)


@pytest.mark.parametrize(
    ("which", "items", "why"),
    [
        ("orders-0", PAIR, "it leads: kubectl pgset switchover orders --wait -n shop comes first"),
        ("orders-1", (*PAIR[:3], lease(holder=1)), "there is no primary to clone it from"),
        (
            "orders-1",
            (*PAIR[:2], annotated(new(1, ""), fenced="true"), lease()),
            "it is fenced: kubectl pgset unfence orders-1 -n shop comes first",
        ),
        ("orders-1", healthy(), "no sidecar newer than version 0.2.0"),
    ],
    ids=["the primary", "nobody leads", "fenced", "an old sidecar"],
)
def test_otherwise_it_is_told_why_not(carried_out, which, items, why) -> None:
    with pytest.raises(CannotError, match=re.escape(why)):
        carried_out("reinit", which, *items)


def test_a_paused_primary_hands_nothing_over() -> None:
    found = there(statefulset(paused="true"), *PAIR[1:])
    primary, replica = found.pods
    assert nobody_would_lead(the_set(found), found, primary)
    assert not nobody_would_lead(the_set(found), found, replica)


@pytest.mark.parametrize("mark", ["fenced", "nofailover"])
def test_nobody_is_asked_to_lead_who_is_fenced_or_left_to_others(mark: str) -> None:
    found = there(*PAIR[:2], annotated(new(1, "replica"), **{mark: "true"}), lease())
    assert candidate(the_set(found), found) is None


def test_a_sidecar_of_version_0_2_0_would_not_know_what_is_wanted(carried_out) -> None:
    with pytest.raises(CannotError, match="kubectl pgset restart orders orders-1 -n shop gives"):
        carried_out("fence", "orders-1", *healthy())


def test_a_pod_of_no_set_is_left_alone() -> None:
    with pytest.raises(CannotError, match='namespace "shop" has no set with a pod "other-0"'):
        member(there(*PAIR), "other-0", "shop")


def test_doctor_tells_of_a_fence_and_how_it_ends() -> None:
    fenced = annotated(new(1, "replica", ready=False, says="this pod is fenced"), fenced="true")
    found = command(statefulset(), pod(0, "primary"), fenced, lease())
    assert found == "annotate pod orders-1 pgset.dev/fenced-"


def test_they_are_completed_by_pods(monkeypatch) -> None:
    monkeypatch.setattr("cli.completion.read.namespace", lambda *_: there(*PAIR))
    assert completion._choices(["fence"]) == {"orders-0", "orders-1"}
    assert completion._choices(["restart"]) == {"orders"}
    assert completion._choices(["logs", "-f"]) == {"orders"}
    assert completion._choices(["restart", "orders"]) == {"orders-0", "orders-1"}
    assert completion._choices(["switchover", "orders", "--to"]) == {"orders-0", "orders-1"}


@pytest.mark.parametrize(
    "before",
    [["-n"], ["status", "-n"], ["logs", "orders", "--since"], ["status", "orders"], ["optin"]],
)
def test_nothing_is_proposed_where_neither_a_set_nor_a_pod_is_meant(monkeypatch, before) -> None:
    monkeypatch.setattr("cli.completion.read.namespace", lambda *_: there(*PAIR))
    assert completion._choices(before) == set()
