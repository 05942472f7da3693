"""What `make bench-scale` makes of looks and logs that are made by hand; and a small run of it."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from tests.bench.scale.bench import Bench, Options
from tests.bench.scale.control_plane import OURS, running
from tests.bench.scale.result import (
    PROGRAMS,
    Footprint,
    Renewals,
    Rest,
    Stage,
    asked,
    leases,
    requests,
    table,
)
from tests.bench.scale.sets import MEMBERS, Set, ready, sets
from tests.webhook import objects
from webhook.caretaker import pod_status
from webhook.caretaker.facts import Workload
from webhook.mutate import mutate_statefulset


def rest(seconds=60.0, **worked):
    """A time in which each program has worked for so many seconds."""
    worked = dict.fromkeys(PROGRAMS, 0.0) | worked
    return Rest(
        seconds,
        {name: Footprint(10.0, 50.0) for name in worked},
        {name: Footprint(10.0 + it, 60.0) for name, it in worked.items()},
        {"webhook": Counter(), "caretaker": Counter({"list pods": 60, "get leases": 15})},
    )


STAGE = Stage(
    sets=1000,
    pods=3000,
    whole=300.0,
    served=0.5,
    admissions=[float(it) for it in range(1, 101)],
    admitted_in=2.0,
    admission_cpu=0.6,
    rest=rest(caretaker=3.0),
    renewals=Renewals(600, rest(seconds=30.0, webhook=0.06, etcd=0.6)),
    webhook_ready=1.5,
    caretaker_done=4.0,
    caretaker_peak=80.0,
    objects={"services": 2000, "poddisruptionbudgets": 1000},
)


def entry(who="caretaker", verb="list", stage="ResponseComplete", namespace="shop"):
    about = {"resource": "pods"} | ({"namespace": namespace} if namespace else {})
    return json.dumps(
        {
            "stage": stage,
            "verb": verb,
            "user": {"username": OURS[who]},
            "objectRef": about,
            "requestReceivedTimestamp": "2026-01-01T00:00:10.500000Z",
        }
    )


def test_a_request_counts_once_and_a_watch_from_when_it_is_open():
    found = asked(
        [
            entry(),
            entry(verb="watch", stage="ResponseStarted", namespace=""),
            entry(verb="watch", stage="ResponseComplete", namespace=""),
        ]
    )
    assert [(it.verb, it.everywhere) for it in found] == [("list", False), ("watch", True)]
    assert found[0].at == pytest.approx(1767225610.5)


def test_each_number_is_in_the_column_of_its_stage():
    lines = table([STAGE, replace(STAGE, sets=1001, pods=10_000, served=0.7)]).splitlines()
    assert " ".join(lines[0].split()) == "1000 sets, 3000 pods 1001 sets, 10000 pods"
    rows = [line.rsplit(maxsplit=2) for line in lines[1:]]
    by_name = {name.strip(): numbers for name, *numbers in rows}
    assert by_name["one more set has its Services after, s"] == ["0.50", "0.70"]
    assert by_name["admissions a second"] == ["50", "50"]
    assert by_name["p99, ms"] == ["99.0", "99.0"]
    # CPU, memory at rest and at its highest, requests.
    assert len([it for it in lines if it.split()[:1] == ["caretaker"]]) == 4


def test_what_is_told_of_a_rest_is_by_the_second_and_by_the_minute():
    assert STAGE.rest.share("caretaker") == pytest.approx(0.05)
    assert STAGE.rest.a_minute("caretaker") == 75
    assert requests(STAGE).splitlines()[1] == (
        "caretaker at rest, requests a minute: list pods 60.0, get leases 15.0"
    )


def test_a_leases_cost_is_what_its_writes_take_beside_a_rest():
    at_rest = rest(etcd=0.6)
    assert STAGE.renewals.cost("etcd", at_rest) == pytest.approx(0.5)
    assert leases(replace(STAGE, sets=10, rest=at_rest), 1000, interval=2).splitlines() == [
        "1000 sets, by calculation: 500 Lease writes a second to etcd; in cores: webhook 0.05, "
        "kube-apiserver 0.00, etcd 0.25.",
        "The kubelets of their nodes, 10 members each: 30 Lease writes a second to etcd; in cores: "
        "kube-apiserver 0.00, etcd 0.01.",
    ]


def test_sets_share_namespaces_as_they_are_told_to():
    assert [(it.namespace, it.name) for it in sets(9, 11, in_namespace=10)] == [
        ("bench-0", "set-9"),
        ("bench-1", "set-10"),
    ]


def test_the_webhook_takes_the_sets_and_the_caretaker_has_nothing_to_tell_of_ready_members():
    statefulset = Set(7, 10).statefulset()
    statefulset["metadata"]["namespace"] = "bench-0"
    review = objects.review_of({**statefulset, "kind": "StatefulSet"})
    made = objects.patched(statefulset, mutate_statefulset(review))
    made["metadata"]["uid"] = "uid"
    workload = Workload.from_json(made, own_accounts=True)
    assert (workload.stamped, workload.fault, workload.replicas) == (True, "", MEMBERS)
    pod = ready("set-7", "set-7-0")
    assert pod_status.unready_since(pod) is pod_status.unheard_since(pod) is None


@pytest.mark.rarely
def test_a_few_sets_are_made_measured_and_taken_away(tmp_path):
    options = Options(
        sets=2, pods=10, in_namespace=1, seconds=5, renewed=2, admissions=10, renewed_seconds=5
    )
    with running(tmp_path) as plane, Bench(plane, tmp_path, options) as bench:
        stages = [bench.grown(0, 2), bench.beside_others()]
    assert [(it.sets, it.pods) for it in stages] == [(2, 6), (3, 13)]
    for it in stages:
        assert it.objects["services"] == 2 * it.sets
        assert it.renewals.writes > 0
        # It renews its own Lease, and looks; nobody lists anything for a pod.
        assert it.rest.a_minute("caretaker") > 0
        assert not any(verb.startswith("list pods") for verb in it.rest.requests["webhook"])
    assert table(stages)
