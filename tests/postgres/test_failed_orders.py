"""What fails in a real bootstrap container is counted by its sidecar."""

import time

import pytest

from sidecar.postgres.configuration import conninfo
from tests.support.bootstrap_pod import Pod
from tests.support.database import Host, free_port

pytestmark = pytest.mark.postgres


def test_a_clone_that_fails_again_is_counted_with_its_reason(host: Host) -> None:
    pod = Pod(host)
    pod.boot()
    pod.wait_for(lambda view: view.data is not None)
    nobody = conninfo({"host": "127.0.0.1", "port": str(free_port()), "connect_timeout": "2"})
    for number in (1, 2):
        pod.sidecar.order("clone", nobody, holder="orders-1_uid-1")
        began = time.monotonic()
        failures = pod.wait_for(lambda view: view.busy is None).failures
        assert failures is not None
        assert (
            failures.verb,
            failures.holder,
            failures.number,
            failures.why,
            failures.refused,
        ) == (
            *("clone", "orders-1_uid-1", number),
            *("the clone failed: see the log of container pgset-bootstrap", False),
        )
        assert began <= failures.at <= time.monotonic()
        assert pod.look().failures == failures

    pod.obey("initdb")
    assert pod.look().failures is None
