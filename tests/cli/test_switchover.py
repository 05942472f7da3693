"""Who is asked to lead, and what is told of it."""

import json
import os
import re
from typing import Any

import pytest

from cli import arguments
from cli.change import switchover, withdrawn
from cli.kubectl import CannotError, Kubectl
from cli.switchover import Asked, Outcome, candidate, outcome
from cli.text import Paint
from tests.cli.objects import event, healthy, lease, pod, statefulset, the_set, there
from tests.cli.stand import Stand


def test_how_a_request_is_withdrawn() -> None:
    found = there(statefulset())
    assert withdrawn("kubectl --context=c", the_set(found)) == (
        "kubectl --context=c -n shop annotate lease pgset-orders pgset.dev/switchover-to-"
    )


def request(kubectl: Stand, to: str) -> int:
    chosen = arguments.parser().parse_args(["switchover", "orders", "--to", to])
    return switchover(kubectl, chosen, Paint(False))


def test_a_replica_is_asked_by_the_leases_annotation() -> None:
    kubectl = Stand(*healthy())
    assert request(kubectl, "orders-1") == 0
    assert kubectl.done == [
        "annotate lease pgset-orders -n shop pgset.dev/switchover-to=orders-1 --overwrite"
    ]


@pytest.mark.parametrize(
    ("to", "paused", "why"),
    [
        ("orders-0", "false", "orders-0 leads already"),
        (
            "orders-1",
            "true",
            "the set is paused: kubectl pgset resume orders -n shop comes first",
        ),
        ("orders-7", "false", 'set "orders" has no pod "orders-7"'),
    ],
)
def test_what_the_primary_would_refuse_is_not_asked_for(to, paused, why) -> None:
    kubectl = Stand(statefulset(paused=paused), *healthy()[1:])
    with pytest.raises(CannotError, match=re.escape(why)):
        request(kubectl, to)
    assert kubectl.done == []


def waited_for(kubectl: Kubectl, seconds: int) -> int:
    words = ["switchover", "orders", "--to", "orders-1", "--wait", "--timeout", str(seconds)]
    return switchover(kubectl, arguments.parser().parse_args(words), Paint(False))


def test_a_wait_ends_also_where_the_api_server_does_not_answer(
    tmp_path, monkeypatch, capsys
) -> None:
    answers, script = tmp_path / "answers", tmp_path / "kubectl"
    answers.write_text(json.dumps({"items": healthy()}))
    script.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = annotate ] && exec touch {tmp_path}/asked\n'
        f"[ -e {tmp_path}/asked ] && exec sleep 600\n"
        f"exec cat {answers}\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("cli.change.LOOK_SECONDS", 1.0)
    assert waited_for(Kubectl([], "shop"), 1) == 3
    said = capsys.readouterr().err
    assert "kubectl has not answered within 1.0 s" in said
    assert "The request stands until it is withdrawn" in said


class Refusing(Stand):
    """One that shows the set until something is changed, and then nothing more."""

    def items(self, *words: str) -> list[dict[str, Any]]:
        if self.done:
            raise CannotError("kubectl: Unable to connect to the server: no")
        return super().items(*words)


def test_what_keeps_a_wait_from_looking_is_told_once(monkeypatch, capsys) -> None:
    monkeypatch.setattr("cli.change.POLL_SECONDS", 0.01)
    assert waited_for(Refusing(*healthy()), 1) == 3
    assert capsys.readouterr().err.count("Unable to connect to the server") == 1


def test_who_interrupts_the_wait_is_told_that_the_request_stands(monkeypatch, capsys) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.change.outcome", interrupted)
    with pytest.raises(KeyboardInterrupt):
        waited_for(Stand(*healthy()), 60)
    assert (
        "The request stands until it is withdrawn: "
        "kubectl -n shop annotate lease pgset-orders pgset.dev/switchover-to-"
    ) in capsys.readouterr().err


def asked(*before) -> Asked:
    found = there(statefulset(), pod(0, "primary"), pod(1, "replica"), lease(), *before)
    return Asked(the_set(found), found.pods[0], "orders-1", frozenset(it.id for it in found.events))


def choice(*items) -> str | None:
    found = there(statefulset(), *items)
    return candidate(the_set(found), found)


def test_a_replica_that_is_ready_is_preferred_and_one_in_sync_before_all() -> None:
    pods = [pod(0, "primary"), pod(1, "replica"), pod(2, "replica"), pod(3, "replica", ready=False)]
    assert choice(*pods, lease()) == "orders-1"
    assert choice(*pods, lease(in_sync="orders-0,orders-2", copies="2")) == "orders-2"
    assert choice(pods[0], pods[3], lease()) is None


def test_it_is_done_when_another_pod_has_the_label_and_the_lease() -> None:
    after = there(pod(0, "replica"), pod(1, "primary"), lease(holder=1))
    said = outcome(asked(), after)
    assert (said.outcome, said.sentence) == (Outcome.DONE, "orders-1 is primary")


def test_it_is_not_done_when_a_third_one_leads() -> None:
    after = there(pod(0, "replica"), pod(2, "primary"), lease(holder=2))
    assert outcome(asked(), after).sentence == "orders-2 is primary, and not orders-1"


def test_in_between_nobody_has_both() -> None:
    for items in ([pod(0, "primary"), lease(holder=1)], [pod(0, ""), lease()]):
        assert outcome(asked(), there(*items)).outcome is Outcome.NOBODY


def test_it_is_waited_for_while_the_wish_stands() -> None:
    same = [pod(0, "primary"), lease(switchover_to="orders-1")]
    assert outcome(asked(), there(*same)).outcome is Outcome.WAITING


def test_a_refusal_is_the_primarys_own_sentence() -> None:
    refused = event("Pod", "orders-0", "SwitchoverRefused", "it is paused", id="new")
    said = outcome(asked(), there(pod(0, "primary"), lease(), refused))
    assert (said.outcome, said.sentence) == (Outcome.REFUSED, "it is paused")


def test_an_earlier_refusal_is_none_of_this_request() -> None:
    earlier = event("Pod", "orders-0", "SwitchoverRefused", "it was paused", id="old")
    now = there(pod(0, "primary"), lease(), earlier)
    assert outcome(asked(earlier), now).outcome is Outcome.WAITING
