"""Made-up requests from a seed: the golden reviews, broken at random places, and plain noise.

Each is made of (seed, number) alone, so any of a million can be made again.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sidecar import contract
from tests.webhook import objects

Place = tuple[Any, Any]
"""An object or list, and the key or index of something in it."""


@dataclass(frozen=True)
class Request:
    path: str
    body: bytes
    lease_state: str
    """The name of a function in `tests.webhook.objects`."""


def _reviews() -> list[dict[str, Any]]:
    found = [
        objects.golden(case.name, name)
        for case in sorted(objects.GOLDEN.iterdir())
        for name in ("pod", "statefulset", "pod.admitted", "statefulset.admitted")
        if (case / f"{name}.yaml").exists()
    ]
    return [objects.admission_review(document.get("object", document)) for document in found]


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {
        "name": "orders",
        "annotations": {contract.SELECTS: "primary", contract.SELECTED_BY: "a/role"},
    },
    "spec": {"selector": {"app": "orders", "a/role": "primary"}, "clusterIP": "10.96.0.7"},
}
REVIEWS = [json.dumps(it) for it in (*_reviews(), objects.admission_review(SERVICE))]
PATHS = {
    "Pod": "/mutate/pods",
    "Service": "/mutate/services",
    "StatefulSet": "/mutate/statefulsets",
}

DEEP = "@deep@"
"""Stands in a body for lists in lists; as Python lists, they would be too deep to be written."""

WORDS = [
    *contract.STATEFULSET_ANNOTATIONS,
    *(contract.SET_LABEL, contract.INJECTED, contract.FIRST_ORDINAL, contract.DEFAULT_ROLE_LABEL),
    *(contract.SIDECAR_CONTAINER, contract.BOOTSTRAP_CONTAINER),
    *(contract.HANDSHAKE_VOLUME, contract.TOKEN_VOLUME, contract.TOKEN_DIRECTORY),
    *("name", "env", "initContainers", "volumes", "volumeMounts", "lifecycle", "preStop", "labels"),
    *("annotations", "securityContext", "livenessProbe", "readinessProbe", "resources", "args"),
    *("runAsUser", "command", "valueFrom", "envFrom", "ports", "containerPort", "generateName"),
    *("automountServiceAccountToken", "shareProcessNamespace", "hostPID", "aFieldOfTheFuture"),
    *("kube-api-access-x", "postgres", "pgset", "pgset-0", "pgset-7", "true", "false", "sync"),
    *("", "0", "-1", "10s", "1Gi", "~/~1~0", "a/b", "-", "ä\u202e\U0001f418", "\ud800", "\x00"),
    *("x" * 300, DEEP),
]
NUMBERS = [0, 1, -1, 8008, 2**31, 2**63, 10**400, -0.5, 1e308, True]


def request(seed: int, number: int) -> Request:
    """Make one request."""
    rng = random.Random(f"{seed}:{number}")  # noqa: S311 - to be made again, not to be secret
    path = rng.choice(sorted(PATHS.values()))
    lease_state = rng.choice(["never_led", "has_led"])
    if rng.random() < 0.01:
        return Request(path, rng.randbytes(rng.randrange(200)), lease_state)
    review = json.loads(rng.choice(REVIEWS))
    if rng.random() < 0.95:
        path = PATHS[review["request"]["kind"]["kind"]]
    for _ in range(rng.choice([1, 1, 1, 2, 3, 5, 8])):
        rng.choice(MUTATIONS)(rng, review)
    body = json.dumps(review, ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")
    depth = rng.choice([1, 10, 100, 500, 2000, rng.randrange(900, 1000)])
    body = body.replace(json.dumps(DEEP).encode(), b"[" * depth + b"]" * depth)
    if rng.random() < 0.1:
        body = _noisy(rng, body)
    return Request(path, body, lease_state)


def _places(node: Any) -> Iterator[Place]:
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in list(keys):
        yield node, key
        yield from _places(node[key])


def _place(rng: random.Random, review: Any) -> Place:
    """Pick one; mostly in the object, since what is around it is soon told."""
    root = review
    if rng.random() < 0.9 and isinstance(review.get("request"), dict):
        root = review["request"].get("object")
    return rng.choice(list(_places(root)) or list(_places(review)) or [(review, "request")])


def _value(rng: random.Random) -> Any:
    pick = rng.random()
    if pick < 0.2:
        return None
    if pick < 0.4:
        return rng.choice(NUMBERS)
    if pick < 0.6:
        return rng.choice(WORDS)
    if pick < 0.8:
        return rng.choice([list, dict])()
    parent, key = rng.choice(list(_places(json.loads(rng.choice(REVIEWS)))))
    return parent[key]


def _replace(rng: random.Random, review: Any) -> None:
    parent, key = _place(rng, review)
    parent[key] = _value(rng)


def _drop(rng: random.Random, review: Any) -> None:
    parent, key = _place(rng, review)
    if key in parent or isinstance(parent, list):
        del parent[key]


def _duplicate(rng: random.Random, review: Any) -> None:
    lists = [parent for parent, _ in _places(review) if isinstance(parent, list)]
    if lists:
        items = rng.choice(lists)
        items.insert(rng.randrange(len(items) + 1), json.loads(json.dumps(rng.choice(items))))


def _nest(rng: random.Random, review: Any) -> None:
    parent, key = _place(rng, review)
    inner = parent[key] if key in parent or isinstance(parent, list) else None
    parent[key] = rng.choice([[inner], {rng.choice(WORDS): inner}])


def _insert(rng: random.Random, review: Any) -> None:
    parent, _ = _place(rng, review)
    if isinstance(parent, dict):
        parent[rng.choice(WORDS)] = _value(rng)
    else:
        parent.insert(rng.randrange(len(parent) + 1), _value(rng))


def _annotate(rng: random.Random, review: Any) -> None:
    marks = [parent[key] for parent, key in _places(review) if key in ("annotations", "labels")]
    for mark in marks:
        if isinstance(mark, dict):
            mark[rng.choice(WORDS)] = rng.choice(WORDS)


def _noisy(rng: random.Random, body: bytes) -> bytes:
    start = rng.randrange(len(body))
    end = min(len(body), start + rng.choice([0, 1, 1, 8, 10_000]))
    return body[:start] + rng.randbytes(rng.choice([0, 1, 4])) + body[end:]


MUTATIONS: list[Callable[[random.Random, Any], None]] = [
    *(_replace, _replace, _drop, _drop, _duplicate, _nest, _insert, _insert, _annotate)
]
