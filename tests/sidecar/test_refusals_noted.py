"""What did not come about, as it is noted: a copy that was refused, a deletion that failed."""

from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.act import Actor
from sidecar.action import Clone, DeleteOwnPod, ForgetReturns, StartPostgres
from sidecar.kube.events import Events
from sidecar.observe import Adapters
from sidecar.settings import Settings
from tests.sidecar.test_loop import ME, adapters, data

__all__ = ["adapters", "data"]


def test_a_clone_from_nobody_is_a_failure_and_no_order(adapters: Adapters, tmp_path: Path) -> None:
    # A set whose Service has a name that no resolver knows.
    seen = replace(adapters, settings=Settings(set_name="orders.invalid"))
    actor = Actor(seen, Events(adapters.client, "shop", ME))
    for number in (1, 2):
        problem = actor.carry_out((Clone("111"),), float("inf"))
        assert problem is not None
        assert problem.startswith("the primary cannot be copied: ")
        failures = adapters.bootstrap.observe(adapters.clock()).failures
        assert failures is not None
        assert (failures.verb, failures.number, failures.refused) == ("clone", number, True)
        assert failures.why in " ".join(problem.split())
    assert not (tmp_path / "handshake/order").exists()


@pytest.mark.parametrize(("writable", "verb"), [(False, "start"), (True, "start-writable")])
def test_a_start_that_cannot_be_prepared_is_a_failure_and_no_order(
    adapters: Adapters, tmp_path: Path, data: Path, verb: str, *, writable: bool
) -> None:
    """On a full volume nothing can be written, and the holder whose it is must not keep the Lease:
    see `test_a_holder_whose_start_fails_lets_its_lease_run_out`."""
    (data / "postgresql.auto.conf.new").mkdir()
    actor = Actor(adapters, Events(adapters.client, "shop", ME))
    assert actor.carry_out((StartPostgres(writable=writable),), float("inf")) is not None
    failures = adapters.bootstrap.observe(adapters.clock()).failures
    assert failures is not None
    assert (failures.verb, failures.holder, failures.refused) == (verb, "", True)
    assert not (tmp_path / "handshake/order").exists()


def test_a_deletion_that_the_api_server_did_not_take_is_no_return(adapters: Adapters) -> None:
    actor = Actor(adapters, Events(adapters.client, "shop", ME))
    problem = actor.carry_out((DeleteOwnPod(reclone=False, returns=1),), float("inf"))
    assert problem is not None
    assert adapters.bootstrap.observe(adapters.clock()).returns is None

    adapters.bootstrap.note_returns(2)
    assert actor.carry_out((ForgetReturns(),), float("inf")) is None
    assert adapters.bootstrap.observe(adapters.clock()).returns is None
