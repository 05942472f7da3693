"""Services that lead where they should not, and the ports that they lead to."""

import json
import os
import shlex
import subprocess

import pytest

from cli.look import psql_in_pod
from cli.view import port_of
from tests.cli.objects import causes, command, healthy, pod, service, the_set, there

ALONE = "annotate --overwrite service app pgset.dev/selects=primary"


def test_a_service_that_leads_to_all() -> None:
    assert command(*healthy(), service("app", app="orders")) == ALONE


def test_the_roles_names_of_the_set_are_the_services_too() -> None:
    items = healthy()[:-1]
    own = {"role-label": "name", "primary-value": "leader", "replica-value": "follower"}
    items[0]["metadata"]["annotations"] |= {f"pgset.dev/{key}": it for key, it in own.items()}
    for it, role in ((items[1], "leader"), (items[2], "follower")):
        it["metadata"]["labels"]["name"] = role
    assert command(*items, service("app", app="orders")) == (
        f"{ALONE} pgset.dev/role-label=name pgset.dev/primary-value=leader "
        "pgset.dev/replica-value=follower"
    )


def test_a_headless_one_is_refused_by_the_webhook() -> None:
    app = service("app", app="orders")
    app["spec"]["clusterIP"] = "None"
    patch = shlex.split(command(*healthy(), app))
    assert patch[:-1] == ["patch", "service", "app", "--type", "merge", "-p"]
    assert json.loads(patch[-1]) == {"spec": {"selector": {"pgset.dev/role": "primary"}}}


def test_in_a_set_of_one_all_are_the_primary() -> None:
    items = healthy()
    items[0]["spec"]["replicas"] = 1
    del items[2]
    assert causes(*items, service("app", app="orders")) == ()
    assert command(*items, pod(1, "replica"), service("app", app="orders")) == ALONE


def test_a_users_service_in_the_way_is_not_deleted() -> None:
    items = healthy()[:-1]
    wrong = service("orders-primary", app="orders")
    assert command(*items, wrong) == ALONE.replace(" app ", " orders-primary ")
    other = service("orders-primary", app="mail")
    assert command(*items, other) == "describe service orders-primary"


def patched(line: str):
    words = shlex.split(line)
    assert (words[:2], words[3:6]) == (["patch", "service"], ["--type", "merge", "-p"])
    return words[2], json.loads(words[-1])["spec"]


def test_a_role_that_the_user_has_put_into_the_selector_is_changed_there() -> None:
    """The webhook refuses to change it for an annotation."""
    replicas = service("orders-primary", app="orders", role="replica")
    found = patched(command(*healthy()[:-1], replicas))
    assert found == ("orders-primary", {"selector": {"pgset.dev/role": "primary"}})


def test_a_role_that_no_pod_has_leads_nowhere() -> None:
    found = patched(command(*healthy(), service("app", app="orders", role="leader")))
    assert found == ("app", {"selector": {"pgset.dev/role": "primary"}})


def test_a_role_label_that_no_pod_has_leads_nowhere() -> None:
    app = service("app", **{"app": "orders", "role-of-app": "leader"})
    app["metadata"]["annotations"] = {
        "pgset.dev/selects": "primary",
        "pgset.dev/selected-by": "role-of-app",
        "pgset.dev/role-label": "role-of-app",
        "pgset.dev/primary-value": "leader",
    }
    assert command(*healthy(), app) == (
        f"{ALONE} pgset.dev/role-label- pgset.dev/primary-value- pgset.dev/replica-value-"
    )
    app["metadata"]["annotations"].pop("pgset.dev/selected-by")
    assert causes(*healthy(), app) == (), "the user's own key"


@pytest.mark.parametrize("selector", [{"app": "mail"}, {"app": "orders", "role": "replica"}, {}])
def test_other_services_are_left_alone(selector) -> None:
    assert causes(*healthy(), service("app", **selector)) == ()


def test_a_service_to_another_port_is_left_alone() -> None:
    metrics = service("app", app="orders")
    metrics["spec"]["ports"] = [{"port": 9187}]
    assert causes(*healthy(), metrics) == ()


# ── ports ─────────────────────────────────────────────────────────────────────────────────


def on_port(target, *, annotation: str = ""):
    items = healthy()
    items[-1]["spec"]["ports"] = [{"port": 5432, "targetPort": target}]
    container = items[0]["spec"]["template"]["spec"]["containers"][0]
    container["ports"] = [{"name": "db", "containerPort": 5433}]
    if annotation:
        items[0]["metadata"]["annotations"]["pgset.dev/port"] = annotation
    return items


@pytest.mark.parametrize(
    ("items", "port"),
    [
        (on_port(5433), 5433),
        (on_port("db"), 5433),
        (on_port("unknown"), 5432),
        (on_port(5433, annotation="5434"), 5434),
        (on_port(5433, annotation="1" * 5000), 5433),
    ],
)
def test_the_databases_port(items, port) -> None:
    found = there(*items)
    assert port_of(the_set(found), found) == port


def test_a_service_to_the_databases_own_port_leads_to_all() -> None:
    for target in (5433, "db"):
        app = service("app", app="orders")
        app["spec"]["ports"] = [{"port": 5432, "targetPort": target}]
        assert command(*on_port(5433), app) == ALONE
        assert causes(*healthy(), app) == ()


def test_psqls_own_words_come_last() -> None:
    words = psql_in_pod(5433, ["shop"])
    assert words[-1] == "shop"
    assert "-d" not in words[2].split()
    assert 'PGDATABASE="${PGDATABASE:-postgres}"' in words[2]
    assert "-p 5433" in words[2]


@pytest.mark.parametrize(
    ("variables", "user"), [({}, "postgres"), ({"POSTGRES_USER": "me"}, "me"), (None, "of a file")]
)
def test_psql_is_the_superuser_of_the_image(tmp_path, variables, user) -> None:
    psql = tmp_path / "psql"
    psql.write_text('#!/bin/sh\necho "$2"\n')
    psql.chmod(0o755)
    (tmp_path / "user").write_text("of a file\n")
    own = {"POSTGRES_USER_FILE": str(tmp_path / "user")} if variables is None else variables
    done = subprocess.run(
        psql_in_pod(5432, []),
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **own},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"{user}\n", "")
