"""The superuser's password is set to what its pods have, and to nothing else; and pods that have
different ones are made anew."""

import os
import shlex
import subprocess

import pytest

from tests.cli.objects import (
    Json,
    causes,
    command,
    event,
    healthy,
    lease,
    pod,
    said,
    statefulset,
    waiting,
)

REFUSED = said("FollowingProblem", "password authentication failed for user")


def run(tmp_path, **variables: str):
    """Run what the command runs in the pod, with a psql that prints what it got."""
    psql = tmp_path / "psql"
    psql.write_text('#!/bin/sh\nprintf "%s\\n" "$@"; cat\n')
    psql.chmod(0o755)
    script = shlex.split(command(*healthy(), REFUSED))[-1]
    path = f"{tmp_path}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", script],
        env={"PATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "PG_ROOT_PASSWORD"])
def test_it_is_set_to_the_one_of_the_pods(tmp_path, name) -> None:
    done = run(tmp_path, **{name: "new 'one"})
    assert done.returncode == 0
    assert "new=new 'one" in done.stdout
    assert """alter role :"who" password :'new'""" in done.stdout


def test_it_is_read_from_a_file(tmp_path) -> None:
    (tmp_path / "secret").write_text("in a file\n")
    done = run(tmp_path, POSTGRES_PASSWORD_FILE=str(tmp_path / "secret"))
    assert "new=in a file" in done.stdout


def test_an_empty_one_is_no_password(tmp_path) -> None:
    for variables in ({}, {"POSTGRES_PASSWORD": ""}, {"POSTGRES_PASSWORD_FILE": "/nowhere"}):
        done = run(tmp_path, **variables)
        assert (done.returncode, done.stdout) == (1, "")


def test_the_log_does_not_have_it(tmp_path) -> None:
    said_before, _, _ = run(tmp_path, POSTGRES_PASSWORD="x").stdout.partition("alter role")
    assert "set log_statement=none; set log_min_duration_statement=-1;" in said_before


def test_it_is_the_primary_that_changes_it() -> None:
    words = shlex.split(command(*healthy(), REFUSED))
    assert words[:6] == ["exec", "orders-0", "-c", "postgres", "--", "sh"]
    assert "-p 5432" in words[-1]
    items = healthy()
    items[2] = waiting(pod(1, "", ready=False), "postgres", "PodInitializing")
    assert shlex.split(command(*items, REFUSED))[:4] == words[:4]
    items = [healthy()[0], pod(0, ""), pod(1, ""), REFUSED]
    assert not [it for it in causes(*items) if "exec" in it.command]


def test_while_pods_are_made_anew_the_old_one_is_not_brought_back() -> None:
    items = healthy()
    items[0]["status"] = {"currentRevision": "a", "updateRevision": "b"}
    assert command(*items, REFUSED) == "rollout status statefulset orders"


OF_MEMBERS = said("CloneFailed", 'password authentication failed for user "pgset_replication"')


def of_ages(*seconds: int) -> list[Json]:
    """A set whose Secret was changed, after which the last pod came, and cannot be cloned."""
    last = len(seconds) - 1
    items = [statefulset(), pod(0, "primary"), lease()]
    items += [pod(number, "replica") for number in range(1, last)]
    items.append(pod(last, "", ready=False, says=OF_MEMBERS["message"]))
    items[0]["spec"]["replicas"] = len(seconds)
    made = [items[1], *items[3:]]
    for it, age in zip(made, seconds, strict=True):
        it["metadata"]["creationTimestamp"] = f"2026-11-29T11:00:{age:02}Z"
    return [*items, event("Pod", f"orders-{last}", "CloneFailed", OF_MEMBERS["message"])]


def test_pods_made_with_a_former_password_are_made_anew_the_primary_as_the_last() -> None:
    assert command(*of_ages(1, 9)) == "delete pod orders-0"
    assert command(*of_ages(1, 2, 9)) == (
        "delete pod orders-1 && until kubectl -n shop wait --for=condition=Ready pod/orders-1 "
        "--timeout=5m; do sleep 1; done && kubectl -n shop delete pod orders-0"
    )
    assert command(*of_ages(1, 9, 9)) == "delete pod orders-0", "that one has the new password"


def test_a_pod_that_is_older_than_the_primary_is_made_anew_itself() -> None:
    assert command(*of_ages(9, 1)) == "delete pod orders-1"


def test_what_has_passed_is_no_cause() -> None:
    over = event("Pod", "orders-1", "ProblemOver", f"this is over: {REFUSED['message']}")
    over |= {"type": "Normal", "lastTimestamp": "2026-11-29T12:00:10Z"}
    assert causes(*healthy(), REFUSED, over) == ()
