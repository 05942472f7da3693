"""Which port the sidecar and the others expect PostgreSQL on."""

import pytest

from tests.webhook import objects
from tests.webhook.changes import annotate, in_database, together, verdict_on, with_env
from webhook.caretaker.facts import Workload
from webhook.mutate import mutate_pod, mutate_statefulset


def with_args(*arguments):
    return in_database(args=["postgres", *arguments])


def declared(*ports):
    return in_database(ports=[{"containerPort": number, "name": name} for number, name in ports])


CASES = {
    "nothing": (lambda _: None, 5432),
    "the arguments": (with_args("-p", "5433"), 5433),
    "an option": (with_args("--port=0x1539"), 5433),
    "PGPORT": (with_env(PGPORT="5433"), 5433),
    "the arguments before PGPORT": (
        together(with_env(PGPORT="5434"), with_args("-p", "5433")),
        5433,
    ),
    "a shell": (
        in_database(command=["sh", "-c", 'PGPORT=5433 exec postgres "$@"'], args=["x"]),
        5433,
    ),
    "what a container declares, which no server reads": (declared((5433, "postgresql")), 5432),
    "the annotation alone": (annotate(port="5433"), 5433),
    "what only the pod knows": (with_args("-p", "$(PORT)"), 5432),
}


@pytest.mark.parametrize("case", CASES)
def test_sidecar_bootstrap_and_caretaker_know_the_port_that_the_fields_tell(case):
    change, port = CASES[case]
    statefulset = objects.changed(objects.article_statefulset(), change)
    stamped = objects.patched(statefulset, mutate_statefulset(objects.review_of(statefulset)))
    template = stamped["spec"]["template"]
    named = {**template["metadata"], "name": "pgset-0"}
    pod = {"kind": "Pod", "metadata": named, "spec": template["spec"]}
    verdict = mutate_pod(objects.review_of(pod), objects.IMAGE, objects.never_led)
    containers = objects.patched(pod, verdict)["spec"]["initContainers"]
    for name in ("pgset-sidecar", "pgset-bootstrap"):
        (env,) = (it["env"] for it in containers if it["name"] == name)
        assert {"name": "PGSET_PORT", "value": str(port)} in env
    there = {**stamped, "metadata": {**stamped["metadata"], "uid": "u", "namespace": "shop"}}
    assert Workload.from_json(there).port == port


def test_a_port_that_is_found_is_not_stamped():
    """Or it would count as the annotation's, and contradict the next one in the arguments."""
    statefulset = objects.changed(objects.article_statefulset(), with_args("-p", "5433"))
    stamped = objects.patched(statefulset, mutate_statefulset(objects.review_of(statefulset)))
    assert "pgset.dev/port" not in stamped["spec"]["template"]["metadata"]["annotations"]


WARNING = (
    "the container's port by PostgreSQL's name is not where pgset expects it; if that is right, "
    "set pgset.dev/port"
)


@pytest.mark.parametrize(
    ("change", "warned"),
    [
        (declared((5433, "postgresql")), True),
        (together(declared((5434, "postgresql")), with_args("-p", "5433")), True),
        (together(declared((5433, "postgresql")), with_args("-p", "5433")), False),
        (together(declared((5433, "postgresql")), annotate(port="5433")), False),
        (declared((9187, "metrics")), False),
        (declared((5433, "postgresql"), (5432, "x")), False),
    ],
)
def test_a_declared_port_where_postgresql_is_not_expected_is_warned_of(change, warned):
    assert (WARNING in verdict_on(change).warnings) is warned
