"""What ordinary users of a database do to it, and to the objects around it, takes nobody down."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo import manifests
from deploy.demo.stage import NAMESPACE, Stage
from deploy.demo.steps import install, members, roles

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="demo-0")]

LONGER_THAN_THE_TTL = 14.0
"""Seconds; what would be given up after a ttl has been given up by then."""


@pytest.fixture(scope="module")
def namespace(stage: Stage) -> Stage:
    install(stage)
    stage.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    stage.ask("-n", NAMESPACE, "create", "secret", "generic", "pgset", "--from-literal=password=x")
    stage.ask("-n", NAMESPACE, "create", "serviceaccount", "pgset-sa")
    return stage


@pytest.fixture
def trio(namespace: Stage) -> Iterator[Stage]:
    """A set `trio` of three members, beside a Service of its user's that leads to all of them."""
    *others, statefulset = manifests.legacy(namespace, name="trio", replicas=3)
    everybody = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "trio-app", "namespace": NAMESPACE},
        "spec": {"selector": {"app": "trio"}, "ports": [{"port": 5432}]},
    }
    namespace.apply([*others, everybody, opted_in(statefulset)])
    led = {"trio-0": "primary", "trio-1": "replica", "trio-2": "replica"}
    namespace.wait(lambda: roles(namespace, "trio") == led, "three members")
    yield namespace
    remove(namespace, "trio")


# Two minutes with its set; that nothing needs this database is shown in tests/postgres, too.
@pytest.mark.rarely
def test_a_set_whose_database_postgres_is_dropped_goes_on_and_fails_over(trio: Stage) -> None:
    sql(trio, "trio-0", "create database app template template0", "postgres")
    sql(trio, "trio-0", "create table kept as select 42 as n", "app")
    sql(trio, "trio-0", "drop database postgres with (force)", "template1")
    time.sleep(LONGER_THAN_THE_TTL)
    # It leads still, and a busy machine may keep it from being ready for a moment.
    trio.wait(lambda: primary(trio) == "trio-0", "the primary")
    sql(trio, "trio-0", "insert into kept values (43)", "app")

    trio.ask("-n", NAMESPACE, "delete", "pod", "trio-0", "--wait=false")
    trio.wait(lambda: primary(trio) not in (None, "trio-0"), "another primary")
    total = "select sum(n) from kept"
    trio.wait(lambda: sql(trio, primary(trio) or "", total, "app") == "85", "both rows on it")
    led = ["primary", "replica", "replica"]
    trio.wait(lambda: sorted(roles(trio, "trio").values()) == led, "three members again")

    # A Service that leads to replicas, too, is told of with what mends it.
    def told() -> list[str]:
        messages = [event["message"] for event in events(trio, "trio")]
        return [message for message in messages if "trio-app" in message]

    trio.wait(lambda: bool(told()), "an Event about the Service")
    command = told()[0].partition("kubectl ")[2]
    assert command.startswith(f"-n {NAMESPACE} annotate --overwrite service trio-app")


@pytest.fixture
def alone(namespace: Stage) -> Iterator[dict[str, Any]]:
    """A plain database `alone`, about to be opted in."""
    *others, statefulset = manifests.legacy(namespace, name="alone")
    namespace.apply([*others])
    yield statefulset
    remove(namespace, "alone")


@pytest.mark.parametrize("where", ["command line", pytest.param("file", marks=pytest.mark.rarely)])
def test_a_set_of_one_comes_up_writable_with_a_setting_that_a_standby_refuses(
    namespace: Stage, alone: dict[str, Any], where: str
) -> None:
    container = alone["spec"]["template"]["spec"]["containers"][0]
    container["args"] = ["postgres", "-c", "max_connections=150"]
    namespace.apply(opted_in(alone))
    namespace.wait(lambda: roles(namespace, "alone") == {"alone-0": "primary"}, "the primary")
    sql(
        namespace,
        "alone-0",
        "drop table if exists kept; create table kept as select 42 as n",
        "postgres",
    )
    if where == "file":
        sql(namespace, "alone-0", "alter system set max_connections = 40", "postgres")
    container["args"] = (
        ["postgres"] if where == "file" else ["postgres", "-c", "max_connections=40"]
    )
    namespace.apply(opted_in(alone))
    namespace.ask("-n", NAMESPACE, "rollout", "status", "statefulset/alone", "--timeout=800s")
    namespace.wait(lambda: roles(namespace, "alone") == {"alone-0": "primary"}, "the primary again")
    sql(namespace, "alone-0", "insert into kept values (43)", "postgres")
    assert sql(namespace, "alone-0", "select sum(n) from kept", "postgres") == "85"


def remove(stage: Stage, name: str) -> None:
    """Until its pods are gone, so that none is taken for one of the next test."""
    stage.ask("-n", NAMESPACE, "delete", "statefulset", name, "--ignore-not-found")
    stage.wait(lambda: not members(stage, name), "no pod")


def opted_in(statefulset: dict[str, Any]) -> dict[str, Any]:
    statefulset["metadata"]["annotations"] = {"pgset.dev/enabled": "true"}
    return statefulset


def primary(stage: Stage) -> str | None:
    return next((pod for pod, role in roles(stage, "trio").items() if role == "primary"), None)


def events(stage: Stage, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.get("events", namespace=NAMESPACE)["items"]
    return [event for event in found if event["involvedObject"]["name"] == name]


def sql(stage: Stage, pod: str, statement: str, database: str) -> str:
    psql = ("psql", "-U", "postgres", "-d", database, "-At", "-c", statement)
    return stage.ask("-n", NAMESPACE, "exec", pod, "-c", "postgres", "--", *psql).strip()
