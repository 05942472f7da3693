"""Requests that a user of one namespace may send, made to take long: each is judged at once."""

import copy
import json
import time

import pytest

from sidecar import contract
from tests.fuzz import claims
from tests.webhook import objects

SECONDS = 4.0
"""Of CPU, on a busy machine; without a bound, those that its author found took 7 to 50."""

LONG = 300_000
"""Characters: a request has up to three million."""


def shell(script, *positional):
    return {"command": ["sh", "-c", script, *positional]}


def environment(*values):
    """Variables A0, A1 and so on."""
    return {"env": [{"name": f"A{i}", "value": value} for i, value in enumerate(values)]}


DOUBLING = [f"$(A{i - 1})$(A{i - 1})" for i in range(1, 30)]

COSTLY = {
    "a word": shell("a" * LONG),
    "the longest word that is read": shell("a" * 16_000),
    "words": shell("echo a; " * (LONG // 8)),
    "words that are read": shell("a;" * 8_000),
    "quotations": shell("''" * 8_000),
    "braces": shell("${1+" * (LONG // 4)),
    "braces that are read": shell("${1+" * 4_000),
    "lines": shell("\n" * LONG),
    "lines that are read": shell("\n" * 16_000),
    "programs in programs": {"command": ["gosu", "u"] * 2000 + ["postgres"]},
    "entrypoints": {"command": ["docker-entrypoint.sh"] * 2000},
    "users in a script": shell("exec " + "gosu u " * 2000 + "postgres"),
    "shells in shells": {"command": ["sh", "-c", '"$@"; "$@"', "x"] * 2000},
    "words times words": shell('"$@";' * 3000, *["w"] * 10_000),
    "words times words in one": shell('exec "$0"' + ' "$@"' * 3000, "postgres", *["w"] * 10_000),
    "no words": {"command": ["postgres", *[""] * 100_000]},
    "flags": {"command": ["postgres", f"-{'F' * 60_000}"]},
    "doubling": {**environment("x" * 1000, *DOUBLING), "command": ["postgres", "$(A29)"]},
    "many references": environment("x" * 4000, *["$(A0)" * 10] * 20_000),
    "references that do not end": {
        "env": [{"name": "POSTGRES_PASSWORD", "value": "$(" * (LONG // 2)}]
    },
    "a path of references": {
        "volumeMounts": [{"name": "d", "mountPath": "/d", "subPathExpr": "$(" * (LONG // 2)}]
    },
    "digits": {"env": [{"name": "PGPORT", "value": "9" * LONG}]},
    "a long number": {"args": ["-c", f"max_connections=0x{'f' * 60_000}"]},
    "an image": {"image": "bitnami/" * (LONG // 8)},
    "a tag": {"image": f"postgres:{'-pg' * (LONG // 3)}"},
    "a path": {"env": [{"name": "PGDATA", "value": "/.." * (LONG // 3)}]},
    "a path with a fault": {"command": ["postgres", "-D", "/a" * 30_000]},
}

ANNOTATIONS = {
    "ports": {"linkerd.io/inject": "enabled", "config.linkerd.io/skip-inbound-ports": "9" * 5000},
    "many ports": {
        "linkerd.io/inject": "enabled",
        "config.linkerd.io/skip-inbound-ports": "1-2," * (LONG // 4),
    },
    "resources": {contract.SIDECAR_RESOURCES: "requests.cpu=1m," * (LONG // 16)},
    "a quantity": {contract.SIDECAR_RESOURCES: f"requests.cpu={'9' * LONG}"},
}


def statefulset(container, annotations):
    made = objects.article_statefulset()
    template = made["spec"]["template"]
    template["spec"]["containers"][0].update(container)
    template.setdefault("metadata", {}).setdefault("annotations", {}).update(annotations)
    return made


def pod(container, annotations):
    made = objects.article_pod()
    made["spec"]["containers"][0].update(container)
    made["metadata"].setdefault("annotations", {}).update(annotations)
    return made


def seconds(path, review):
    body = json.dumps(review).encode()
    start = time.process_time()
    status, _ = claims.HANDLERS["never_led"](path, body)
    # 400: it has more values than a review may have.
    assert status in (200, 400)
    return time.process_time() - start


def is_judged_soon(path, review):
    """Once in three times: what else runs on a machine takes CPU from this, too."""
    return any(seconds(path, review) < SECONDS for _ in range(3))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("container", "annotations"),
    [
        *(pytest.param(it, {}, id=name) for name, it in COSTLY.items()),
        *(pytest.param({}, it, id=name) for name, it in ANNOTATIONS.items()),
    ],
)
def test_no_request_takes_long(container, annotations):
    review = objects.admission_review(pod(container, annotations))
    assert is_judged_soon("/mutate/pods", review)
    changed = objects.admission_review(statefulset(container, annotations))
    assert is_judged_soon("/mutate/statefulsets", changed)
    # What was accepted before is a warning, in lines.
    before = copy.deepcopy(changed)
    before["request"].update(operation="UPDATE", oldObject=_stamped(container, annotations))
    before["request"]["object"]["spec"]["replicas"] = 2
    assert is_judged_soon("/mutate/statefulsets", before)


def _stamped(container, annotations):
    made = statefulset(container, annotations)
    labels = made["spec"]["template"]["metadata"].setdefault("labels", {})
    labels[contract.SET_LABEL] = made["metadata"]["name"]
    return made
