"""One slow probe stops nobody; a server on which two in a row failed is handed over from."""

import math
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar import heartbeat
from sidecar.action import StopPostgres
from sidecar.bootstrap import Bootstrap
from sidecar.decide import decide
from sidecar.memory.probe import Verdict
from sidecar.memory.status import describe, read_peer
from sidecar.observation import Observation
from sidecar.situation.timing import NEVER_WELL_PATIENCE, SLOW_MEMORY, UNWELL_PATIENCE
from tests.sidecar.rules.observations import LEADER, ME, NOW, RUNNING, SETTINGS, WRITABLE, peer
from tests.support.patient_volume import patient

PERIOD = 3.0
GIVEN_UP = 2.0
"""Seconds after which a probe that hangs is given up."""


@pytest.fixture
def verdict() -> Verdict:
    """Of a primary on which one probe was good."""
    verdict = Verdict()
    verdict.note(well=True, began=0.0, ended=0.01)
    return verdict


def seen(verdict: Verdict, now: float) -> Observation:
    since = verdict.unwell_since
    unwell_since = None if since is None else NOW - (now - since)
    return replace(LEADER, postgres=replace(WRITABLE, unwell_since=unwell_since), peers=peer(1))


def test_one_probe_that_fails_is_no_reason(verdict: Verdict) -> None:
    verdict.note(well=False, began=10.0, ended=12.0)
    assert verdict.unwell_since is None
    verdict.note(well=True, began=12.0, ended=13.9)
    verdict.note(well=False, began=17.0, ended=19.0)
    assert verdict.unwell_since is None


def test_the_second_begins_at_once_after_one_that_hung(verdict: Verdict) -> None:
    assert verdict.pause(PERIOD, 0.01) == PERIOD
    verdict.note(well=False, began=10.0, ended=12.0)
    assert verdict.pause(PERIOD, GIVEN_UP) == 0.0


def test_what_is_refused_at_once_is_tried_again_within_a_second(verdict: Verdict) -> None:
    verdict.note(well=False, began=10.0, ended=10.01)
    assert 0.5 < verdict.pause(PERIOD, 0.01) <= 1.0
    verdict.note(well=False, began=11.0, ended=11.01)
    assert verdict.unwell_since == 10.0


def test_a_server_that_hangs_gets_the_mildest_signal_first(verdict: Verdict) -> None:
    verdict.note(well=False, began=10.0, ended=12.0)
    assert decide(seen(verdict, 12.0), SETTINGS).situation == "Leading"
    verdict.note(well=False, began=12.0, ended=14.0)
    sent = [decide(seen(verdict, now), SETTINGS).actions[-1] for now in (14.1, 15.1, 16.1)]
    signals = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
    assert sent == [StopPostgres(each) for each in signals]


def test_a_primary_that_was_never_well_is_kept_for_longer() -> None:
    """Where the storage of all members is slow, the next one fares no better."""
    verdict = Verdict()
    now = 10.0
    while now + GIVEN_UP - 10.0 <= NEVER_WELL_PATIENCE:
        verdict.note(well=False, began=now, ended=now + GIVEN_UP)
        assert verdict.unwell_since is None
        now += GIVEN_UP
    verdict.note(well=False, began=now, ended=now + GIVEN_UP)
    assert verdict.unwell_since == now + GIVEN_UP - UNWELL_PATIENCE


def test_a_new_leadership_begins_without_a_good_probe(verdict: Verdict) -> None:
    verdict.leads_not()
    verdict.note(well=False, began=10.0, ended=12.0)
    verdict.note(well=False, began=12.0, ended=14.0)
    assert verdict.unwell_since is None


def test_nobody_hands_over_for_its_health_to_a_member_whose_volume_is_as_slow() -> None:
    unwell = replace(LEADER, postgres=replace(WRITABLE, unwell_since=NOW - 3.5))
    slow = peer(1, slow_ago=0.0)
    assert decide(replace(unwell, peers=slow), SETTINGS).situation == "Leading"
    assert decide(replace(unwell, peers=slow | peer(2)), SETTINGS).situation == "Stopping"


def test_a_volume_that_was_slow_counts_as_slow_until_a_primary_has_probed_again(
    tmp_path: Path,
) -> None:
    """What has stalled for all comes back for all at once, and that is no time to hand over."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += takes
        return now

    takes = 20.0
    ours = heartbeat.Heartbeat("uid", 10, clock=clock)
    ours.beat(tmp_path)
    takes = 0.1
    ours.beat(tmp_path)
    assert ours.slow_ago < 1.0
    now += SLOW_MEMORY
    assert ours.slow_ago > SLOW_MEMORY


def test_a_volume_that_stumbles_at_times_does_not_hold_a_handover_back_for_ever() -> None:
    def unwell_for(seconds: float, slow_ago: float) -> str:
        unwell = replace(WRITABLE, since=NOW - 600, unwell_since=NOW - seconds)
        seen = replace(LEADER, postgres=unwell, peers=peer(1, slow_ago=slow_ago))
        return decide(seen, SETTINGS).situation

    assert unwell_for(2 * SLOW_MEMORY - 1, slow_ago=9.0) == "Leading"
    assert unwell_for(2 * SLOW_MEMORY + 1, slow_ago=9.0) == "Stopping"
    assert unwell_for(600, slow_ago=1.0) == "Leading"


def test_a_pod_that_goes_hands_over_to_a_slow_member_too() -> None:
    pod, *others = LEADER.pods or ()
    goes = replace(
        LEADER,
        leaving_since=NOW - 6,
        pods=(replace(pod, deleting=True), *others),
        postgres=replace(WRITABLE, unwell_since=NOW - 3.5),
        peers=peer(1, slow_ago=0.0),
    )
    assert decide(goes, SETTINGS).situation == "Stopping"


def test_a_member_tells_that_its_heart_beat_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "report").write_text(
        f"session=1\ndone=0\nrefusal=\nfailure=\nrewind=none\npgdata={data}\ndata=present\n"
    )
    member = patient(Bootstrap(tmp_path, ME, ttl=10))
    # A busy machine may take long itself, and each write takes longer than no time.
    monkeypatch.setattr(heartbeat, "SLOW_WRITE", math.inf)
    assert member.observe(0.0).slow_ago == math.inf
    monkeypatch.setattr(heartbeat, "SLOW_WRITE", -1.0)
    assert member.observe(1.0).slow_ago < 600.0
    told = describe(replace(LEADER, bootstrap=replace(RUNNING, slow_ago=3.9)), SETTINGS)
    assert read_peer("orders-0", told).slow_ago == 3.9
    del told["slow_ago"]
    assert read_peer("orders-0", told).slow_ago == math.inf
