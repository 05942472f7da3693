"""What somebody puts into the objects of a namespace takes little of the caretaker's memory."""

import subprocess
import sys

import pytest

from tests.webhook.caretaker.fat_api_server import FatApiServer, serving
from tests.webhook.caretaker.made import statefulset
from webhook.caretaker.facts import Workload
from webhook.caretaker.footprint import MAX_OF_ONE, Room, TooMuchError, bounded, footprint

LIMIT_MB = 256
"""Of the caretaker's container: deploy/base/caretaker-deployment.yaml."""

ONE_ROUND = """
import sys
from pathlib import Path
from kubernetes import client
from webhook.caretaker.carry_out import Writer
from webhook.caretaker.events import Events
from webhook.caretaker.look import Look
from webhook.caretaker.rounds import Rounds
from webhook.caretaker.settings import CaretakerSettings

configuration = client.Configuration()
configuration.host = sys.argv[1]
api = client.ApiClient(configuration)
settings = CaretakerSettings("me", "pgset-system", True, frozenset({"kube-system"}))
rounds = Rounds(Look(api), Writer(api), Events(api), settings, lambda: True)
rounds.follow()
status = Path("/proc/self/status").read_text()
print(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.thorough
def test_objects_of_a_megabyte_each_take_little_of_the_memory_and_others_are_served():
    api = FatApiServer()
    with serving(api) as url:
        ran = subprocess.run(
            [sys.executable, "-c", ONE_ROUND, url], capture_output=True, text=True, check=True
        )
    assert int(ran.stdout) < LIMIT_MB * 1024 * 3 / 4
    assert {it for it in api.created if "/shop/services/" in it} == {
        "/api/v1/namespaces/shop/services/orders-primary",
        "/api/v1/namespaces/shop/services/orders-replica",
    }


def test_of_a_set_that_takes_too_much_its_owner_is_told():
    manifest = statefulset(enabled="true")
    manifest["spec"]["template"]["metadata"]["labels"] |= {f"label-{it}": "x" for it in range(900)}
    found = Workload.from_json(manifest)
    assert found is not None
    assert footprint(found) > MAX_OF_ONE
    told = bounded(found)
    assert told.settings is None
    assert "allowed: 64 KiB" in told.fault
    assert footprint(told) < 4096


def test_a_usual_set_takes_little():
    found = Workload.from_json(statefulset(enabled="true"))
    assert found is not None
    assert footprint(found) < MAX_OF_ONE / 8
    assert bounded(found) is found


def test_what_a_namespace_takes_in_all_is_bounded():
    facts = ["x" * 50_000] * 700
    with pytest.raises(TooMuchError):
        list(Room().take(facts))
    assert len(list(Room().take(facts[:600]))) == 600
