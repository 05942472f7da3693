"""What `make bench-pods` makes of answers that are made by hand; its clients, on loopback."""

import http.client
import json
import socket
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

import pytest

from sidecar import contract
from tests.bench.cost import NotMeasuredError
from tests.bench.options import number
from tests.bench.pods.creations import MEMBERS, Kind, creations
from tests.bench.pods.load import create
from tests.bench.pods.result import (
    NO_ANSWER,
    Answer,
    added,
    faults,
    interval,
    of_kind,
    table,
    verdict,
)
from tests.support.api_server import client_of
from tests.support.loopback import QuietHandler
from tests.webhook import objects
from webhook.mutate import mutate_pod

PATH = "/api/v1/namespaces/shop/pods"


def answers(
    plain: list[float], of_sets: list[float], written_out: list[float] | None = None
) -> list[Answer]:
    times = {Kind.PLAIN: plain, Kind.OPTED_IN: of_sets, Kind.WRITTEN_OUT: written_out or of_sets}
    return [
        Answer(kind, milliseconds=it, status=201, injected=kind is not Kind.PLAIN)
        for kind, found in times.items()
        for it in found
    ]


def refused(said: str, kind: Kind = Kind.OPTED_IN, status: int = 429) -> Answer:
    return Answer(kind, 900.0, status, injected=False, said=said)


SPREAD = [10.0 + step / 10 for step in range(100)]

# ── The numbers ───────────────────────────────────────────────────────────────────────────


def test_the_added_time_is_between_the_medians_whatever_the_slowest_took():
    assert added(answers([10, 11, 12], [13, 14, 900])) == 3


def test_the_interval_holds_the_added_time_and_is_the_same_each_time():
    found = answers(SPREAD, [it + 3 for it in SPREAD])
    low, high = interval(found)
    assert low < 3 < high
    assert (low, high) == interval(found)


@pytest.mark.thorough
def test_more_answers_make_the_interval_smaller():
    (low, high), (lower, higher) = (
        interval(answers(SPREAD * times, [it + 3 for it in SPREAD] * times)) for times in (9, 1)
    )
    assert high - low < (higher - lower) / 2


@pytest.mark.parametrize(("more", "said"), [(3.9, "met"), (4.0, "MISSED")])
def test_less_than_the_target_is_enough(more, said):
    found = answers([10.0] * 3, [10.0 + more] * 3, [11.5] * 3)
    assert verdict(found).splitlines() == [
        f"added time, p50: {more:.2f} ms (95 % interval {more:.2f} to {more:.2f}; "
        f"target < 4.0)  {said}",
        f"  {more - 1.5:.2f} ms for asking the webhook, 1.50 ms for the larger pod",
    ]


def test_the_table_has_the_percentiles_of_each_kind_below_their_heads():
    hundred = [float(it) for it in range(101)]
    found = answers(hundred, [it + 1000 for it in hundred], [it + 500 for it in hundred])
    head, *lines = table(found).splitlines()
    assert [line.split() for line in lines] == [
        ["opted", "in", "101", "1050.00", "1090.00", "1099.00", "0"],
        ["written", "out", "101", "550.00", "590.00", "599.00", "0"],
        ["plain", "101", "50.00", "90.00", "99.00", "0"],
    ]
    assert {len(line) for line in lines} == {len(head)}


def test_what_was_not_created_counts_as_failed_and_not_in_the_times():
    found = [*answers([1, 2], [1, 2]), *(refused("too many", kind) for kind in Kind)]
    assert [line.split()[-5:] for line in table(found).splitlines()[1:]] == [
        ["2", "1.50", "1.90", "1.99", "1"]
    ] * 3


def test_a_sidecar_that_is_missing_or_should_not_be_there_is_a_fault():
    slipped = Answer(Kind.OPTED_IN, milliseconds=1, status=201, injected=False)
    caught = Answer(Kind.PLAIN, milliseconds=1, status=201, injected=True)
    assert faults([slipped, caught]) == ["1 x no sidecar", "1 x a sidecar"]


def test_faults_are_told_by_how_many_they_are_with_one_answer_each():
    found = [refused("one"), refused("two"), refused("gone", status=NO_ANSWER)]
    assert faults(found) == ["2 x status 429: one", "1 x no answer: gone"]


def test_without_two_pods_of_a_kind_there_is_nothing_to_tell():
    with pytest.raises(NotMeasuredError, match=r"only 0 pods \(opted in\).* 1 x status 429: full"):
        of_kind([*answers([1, 2], []), refused("full")], Kind.OPTED_IN)


@pytest.mark.parametrize("text", ["1", "51", "-3", "ten", "", "٣"])
def test_an_option_out_of_its_range_is_refused_with_what_is_allowed(text):
    with pytest.raises(NotMeasuredError, match=f'PODS is "{text}"; allowed: 2 to 50'):
        number("PODS", text, 2, 50)


# ── The pods ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.thorough
def test_the_pods_are_of_each_kind_alike_and_the_seed_says_where():
    made = creations(100, seed=1)
    assert Counter(it.kind for it in made) == dict.fromkeys(Kind, 100)
    assert len({json.loads(it.body)["metadata"]["name"] for it in made}) == 300
    assert 20 < sum(it.kind is Kind.PLAIN for it in made[:150]) < 80
    assert made == creations(100, seed=1) != creations(100, seed=2)


def pods(kind):
    return [json.loads(it.body) for it in creations(MEMBERS, seed=0) if it.kind is kind]


def test_nobody_schedules_them_and_those_of_sets_differ_in_nothing_but_name_and_stamp():
    of_sets, plain = pods(Kind.OPTED_IN), pods(Kind.PLAIN)
    for pod in of_sets:
        assert pod["spec"]["schedulerName"] == "nobody"
        assert pod["metadata"]["labels"].pop(contract.SET_LABEL) == "set-0"
        pod["metadata"].pop("annotations")
    unnamed = [json.dumps(pod).replace("set-0", "plain-0") for pod in of_sets]
    assert sorted(unnamed) == sorted(json.dumps(pod) for pod in plain)


def test_the_webhook_injects_a_sidecar_into_those_of_sets():
    for it in creations(MEMBERS + 1, seed=0):
        pod = json.loads(it.body)
        verdict = mutate_pod(objects.review_of(pod), objects.IMAGE, objects.never_led)
        assert (verdict.patch != []) == (it.kind is Kind.OPTED_IN)


def test_what_is_written_out_is_what_the_webhook_makes_of_those_of_sets():
    made = [
        objects.patched(pod, mutate_pod(objects.review_of(pod), objects.IMAGE, objects.never_led))
        for pod in pods(Kind.OPTED_IN)
    ]
    expected = sorted(json.dumps(pod["spec"]["containers"]) for pod in made)
    assert sorted(json.dumps(it["spec"]["containers"]) for it in pods(Kind.WRITTEN_OUT)) == expected
    for pod in pods(Kind.WRITTEN_OUT):
        names = [container["name"] for container in pod["spec"]["initContainers"]]
        assert names == [contract.SIDECAR_CONTAINER, contract.BOOTSTRAP_CONTAINER]
        assert contract.SET_LABEL not in pod["metadata"]["labels"]


# ── The clients ───────────────────────────────────────────────────────────────────────────


class Handler(QuietHandler):
    """Creates pods, with a sidecar where they are stamped; it refuses or drops those it is told."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    refuses: str
    drops: str
    seconds: float
    clients: set[int]
    created: Counter[str]

    def do_POST(self) -> None:
        pod = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = pod["metadata"]["name"]
        self.clients.add(self.client_address[1])
        self.created[name] += 1
        if name == self.drops:
            self.close_connection = True
            return
        if contract.SET_LABEL in pod["metadata"]["labels"]:
            pod["spec"]["initContainers"] = [{"name": contract.SIDECAR_CONTAINER}]
        content = b"no more" if name == self.refuses else json.dumps(pod).encode()
        time.sleep(self.seconds)
        self.send_response(429 if name == self.refuses else 201)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def created(connections, refuses="", drops="", seconds=0.0, enter=lambda: None):
    """Return the answers to twenty pods, and the server's handler."""
    told = {"refuses": refuses, "drops": drops, "seconds": seconds}
    handler = type("Handler", (Handler,), {"clients": set(), "created": Counter(), **told})

    def connect():
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        connection.connect()
        return connection

    with client_of(handler) as api:
        address = urlsplit(api.configuration.host)
        return create(PATH, creations(10, seed=3), connections, connect, enter), handler


@pytest.mark.parametrize("connections", [1, 8, 40])
def test_each_pod_is_created_once_on_connections_that_are_kept(connections):
    found, handler = created(connections)
    assert Counter(it.kind for it in found) == dict.fromkeys(Kind, 10)
    assert faults(found) == []
    assert set(handler.created.values()) == {1}
    assert len(handler.created) == 30
    assert len(handler.clients) <= connections


def test_a_refused_pod_is_told_of_and_its_connection_goes_on():
    found, handler = created(1, refuses="set-1-2")
    assert faults(found) == ["1 x status 429: no more"]
    assert len(handler.clients) == 1


def test_a_dropped_connection_is_told_of_and_opened_again():
    found, handler = created(1, drops="plain-0-1")
    (fault,) = faults(found)
    assert fault.startswith("1 x no answer: RemoteDisconnected")
    assert len(found) == 30
    assert len(handler.clients) == 2


def test_the_time_is_that_from_the_request_to_the_answer():
    found, _ = created(8, seconds=0.05)
    assert all(it.milliseconds >= 50 for it in found)


def test_each_clients_thread_enters_first():
    entered = set()
    created(3, enter=lambda: entered.add(threading.get_ident()))
    assert threading.get_ident() not in entered
    assert 1 <= len(entered) <= 3


def test_a_server_that_is_not_there_is_not_measured():
    def connect():
        connection = http.client.HTTPConnection(*bound.getsockname())
        connection.connect()
        return connection

    # Bound, so that nobody else is given the port meanwhile, and nobody listens there.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            create(PATH, creations(2, seed=0), 2, connect)
