"""The invariants, over random schedules, recorded ones, and rules that are broken on purpose."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar import memory
from tests.simulator import golden
from tests.simulator.faults.wishes import SHORTER
from tests.simulator.member.parts import Parts
from tests.simulator.memory_mutants import MEMORY_MUTANTS
from tests.simulator.mutants import MUTANTS, Mutant
from tests.simulator.runner import run
from tests.simulator.schedule import Fault, Schedule
from tests.simulator.seeds import from_seed
from tests.simulator.shrink import shrink
from tests.simulator.sidecar_process import HTTP, LOOP, PROBE, WATCHDOG


def test_every_invariant_holds_over_random_schedules() -> None:
    """The first few; `make simulate` runs any number, and `make test` 2,000."""
    broken = {
        f"python -m tests.simulator --replay {seed}": str(violation)
        for seed in range(2)
        if (violation := run(from_seed(seed)).violation) is not None
    }
    assert broken == {}


@pytest.mark.thorough
def test_a_seed_gives_the_same_run_each_time() -> None:
    schedule = from_seed(7)
    assert run(schedule, recording=True) == run(schedule, recording=True)


def test_a_schedule_is_read_back_as_it_was_written() -> None:
    for seed in range(50):
        schedule = from_seed(seed)
        assert Schedule.from_json(schedule.to_json()) == schedule


@pytest.mark.parametrize("path", golden.PATHS, ids=lambda path: path.stem)
def test_a_recorded_run_goes_as_recorded(path: Path) -> None:
    """PGSET_UPDATE_GOLDEN=1 records it anew; then read the difference."""
    schedule = golden.schedule_of(path.read_text())
    result = run(schedule, recording=True)
    assert result.violation is None
    if os.environ.get("PGSET_UPDATE_GOLDEN"):
        path.write_text(golden.render(schedule, result))
    assert golden.render(schedule, result) == path.read_text()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "mutant",
    [*MUTANTS, *MEMORY_MUTANTS],
    ids=lambda mutant: f"{mutant.invariant} {mutant.name}",
)
def test_a_broken_rule_is_found_out_and_so_is_a_broken_memory(mutant: Mutant) -> None:
    violations = (run(schedule, mutant.parts).violation for schedule in mutant.schedules(150))
    assert any(found is not None and found.invariant == mutant.invariant for found in violations)


def test_each_part_of_the_memory_has_a_mutant() -> None:
    parts = {path.stem for path in Path(memory.__file__).parent.glob("[a-z]*.py")}
    assert {mutant.name.partition(":")[0] for mutant in MEMORY_MUTANTS} == parts


QUIET = Schedule(seed=1, members=3, parallel=True, length=150.0)


@pytest.mark.thorough
def test_a_suspended_machine_would_not_know_it_by_a_clock_that_stands_still_as_long() -> None:
    suspended = (Fault(60.0, "freeze_node", 0, 30.0), Fault(60.0, "cut_from_api", 0, 90.0))
    schedule = replace(QUIET, faults=suspended, length=120.0)
    assert run(schedule).violation is None
    found = run(schedule, Parts(clock_stands_still=True)).violation
    assert found is not None
    assert found.invariant == "I2"


def test_a_switchover_makes_the_wished_pod_the_leader() -> None:
    result = run(replace(QUIET, faults=(Fault(60.0, "switchover", 2),)))
    assert (result.violation, result.leader, result.promotions) == (None, "pg-2", 2)


def test_a_switchover_to_a_pod_that_is_not_there_changes_nothing() -> None:
    result = run(replace(QUIET, faults=(Fault(60.0, "switchover", 7),)))
    assert (result.violation, result.leader, result.promotions) == (None, "pg-0", 1)


@pytest.mark.thorough
@pytest.mark.parametrize("members", [2, 3, 4, 5])
@pytest.mark.parametrize("durability", ["async", "sync", "sync-strict", "quorum"])
def test_a_rolling_update_takes_two_failovers_at_the_most(members: int, durability: str) -> None:
    schedule = replace(QUIET, members=members, durability=durability, length=300.0)
    result = run(replace(schedule, faults=(Fault(60.0, "roll"),)))
    assert result.violation is None
    assert result.promotions <= 1 + 2


@pytest.mark.parametrize("durability", ["async", "sync", "sync-strict", "quorum"])
def test_a_paused_set_waits_for_its_primary(durability: str) -> None:
    faults = (Fault(50.0, "pause", 0, 100.0), Fault(60.0, "cut_node", 0, 30.0))
    result = run(replace(QUIET, durability=durability, faults=faults, length=200.0))
    assert (result.violation, result.leader) == (None, "pg-0")


@pytest.mark.parametrize("durability", ["async", "sync", "sync-strict", "quorum"])
def test_a_primary_that_is_taken_out_for_its_node_hands_over_with_its_kubelet_dead(
    durability: str,
) -> None:
    faults = (Fault(55.0, "stop_kubelet", 0, 60.0), Fault(60.0, "take_out", 0, 55.0))
    result = run(replace(QUIET, durability=durability, faults=faults, length=200.0))
    assert (result.violation, result.promotions, result.leader != "pg-0") == (None, 2, True)


def test_where_every_node_is_taken_for_lost_nobody_moves() -> None:
    result = run(replace(QUIET, faults=(Fault(60.0, "take_out", 0, 50.0, "every node"),)))
    assert (result.violation, result.leader, result.promotions) == (None, "pg-0", 1)


@pytest.mark.thorough
def test_a_primary_that_does_not_hear_that_it_should_go_is_asked_to_give_way() -> None:
    faults = (Fault(55.0, "cut_from_api", 0, 90.0), Fault(60.0, "take_out", 0, 80.0))
    result = run(replace(QUIET, faults=faults, length=200.0))
    assert (result.violation, result.promotions, result.leader != "pg-0") == (None, 2, True)


def test_a_primary_that_is_cut_off_before_it_has_its_label_is_asked_to_give_way() -> None:
    """No new client would find a primary for as long as that lasts."""
    faults = (Fault(60.0, "switchover", 1), Fault(61.0, "cut_from_api", 1, 75.0))
    schedule = replace(QUIET, durability="sync", orders=(0.5, 2.0), faults=faults, length=120.0)
    result = run(schedule)
    assert (result.violation, result.leader) == (None, "pg-2")


def test_a_primary_whose_node_is_evicted_has_handed_over() -> None:
    result = run(replace(QUIET, durability="sync", faults=(Fault(60.0, "evict", 0, 60.0),)))
    assert (result.violation, result.promotions, result.leader != "pg-0") == (None, 2, True)


def test_where_a_database_is_lost_before_anybody_has_led_a_new_one_is_made() -> None:
    faults = (Fault(0.0, "find_data", 0, detail="of a standby"), Fault(60.0, "lose_volume", 0))
    result = run(replace(QUIET, parallel=False, faults=faults))
    assert (result.violation, result.leader) == (None, "pg-0")


def test_a_volume_of_a_pod_that_is_not_wanted_keeps_nobody_from_making_a_database() -> None:
    """World's 5000090: a volume with data for pg-2, in a set of one."""
    faults = (Fault(0.0, "find_data", 2), Fault(0.0, "object_to_data", 2, 30.0))
    for fault in faults:
        result = run(replace(QUIET, members=1, faults=(fault,), length=60.0))
        assert (result.violation, result.leader) == (None, "pg-0")


def test_what_a_primary_writes_that_nobody_can_stop_is_not_waited_for() -> None:
    """A standby that still follows it shows it (docs/limits.md). Seed 4000214 was so, too."""
    alone = (Fault(60.0, "stop_kubelet", 0, 60.0), Fault(60.0, "freeze_sidecar", 0, 40.0))
    schedule = replace(QUIET, seed=3, durability="sync-strict", commit_every=0.5, length=100.0)
    assert run(replace(schedule, faults=alone)).violation is None


def test_a_member_that_is_outrun_waits_for_its_operator() -> None:
    """World's 7001381."""
    outrun = (Fault(7.8, "cut_node", 1, 12.0), Fault(18.0, "remove_wal", -1))
    schedule = replace(QUIET, members=2, tick=2.0, commit_every=2.0, faults=outrun)
    assert run(schedule).violation is None


def test_a_former_life_gets_no_wal_by_a_slot_that_is_in_use() -> None:
    """PostgreSQL refuses it; the fake let it take the new life's place (world's 7001076)."""
    faults = (Fault(66.0, "replace_cut_off", -1, 23.0), Fault(80.0, "split", -1, 18.0, "0,api"))
    circumstances = replace(QUIET, seed=9001082, members=2, orders=(0.01, 0.5), tick=1.0)
    schedule = replace(circumstances, durability="sync-strict", faults=faults, length=300.0)
    assert run(schedule).violation is None


def test_a_pod_that_stays_pending_keeps_nobody_from_leading() -> None:
    result = run(replace(QUIET, durability="sync", faults=(Fault(60.0, "keep_pending", 0, 60.0),)))
    assert (result.violation, result.promotions, result.leader != "pg-0") == (None, 2, True)


def test_a_primary_whose_sidecar_may_not_read_the_set_goes_on() -> None:
    result = run(replace(QUIET, faults=(Fault(60.0, "hide_set", 0, 60.0),)))
    assert (result.violation, result.promotions, result.leader) == (None, 1, "pg-0")


@pytest.mark.thorough
@pytest.mark.parametrize("becomes", ["quorum", "async", SHORTER])
def test_settings_that_a_roll_changes_take_two_failovers_at_the_most(becomes: str) -> None:
    changed = (Fault(60.0, "change_settings", detail=becomes),)
    schedule = replace(QUIET, durability="sync", ttl=20, renew_interval=5, length=300.0)
    result = run(replace(schedule, faults=changed))
    assert result.violation is None
    assert result.promotions <= 1 + 2


_CUT_OFF = (Fault(59.0, "stop_kubelet", 0, 60.0), Fault(60.0, "cut_node", 0, 60.0))


def test_a_loop_that_hangs_would_write_on_without_its_watchdog() -> None:
    """Where there is a kubelet, it does what the watchdog should have done."""
    schedule = replace(QUIET, faults=(*_CUT_OFF, Fault(60.5, "hang_thread", 0, 55.0, LOOP)))
    assert run(schedule).violation is None
    found = run(schedule, Parts(watches_its_loop=False)).violation
    assert found is not None
    assert found.invariant == "I2"


def test_who_stands_still_right_after_a_promotion_would_write_beside_the_next_primary() -> None:
    """Its kubelet stops PostgreSQL, and starts it again; standby.signal is not back."""
    faults = (
        Fault(39.0, "freeze_sidecar", 1, 45.0, "PutStandbySignal"),
        Fault(40.0, "switchover", 1),
    )
    schedule = replace(QUIET, durability="sync", faults=faults)
    assert run(schedule).violation is None
    found = run(schedule, Parts(holds_the_next_start=False)).violation
    assert found is not None
    assert found.invariant == "I2"


def test_a_pod_gets_ready_whose_postmaster_went_on_while_its_machine_stood_still() -> None:
    faults = (Fault(60.0, "hang_postmaster", 0, 8.0), Fault(64.0, "freeze_node", 0, 6.0))
    result = run(replace(QUIET, members=1, faults=faults))
    assert (result.violation, result.leader) == (None, "pg-0")


def test_the_watchdog_stops_an_entrypoint_that_makes_another_database() -> None:
    """Before it has; where the ttl is long, clients may write to it first (docs/limits.md)."""
    stands_still = (Fault(60.0, "freeze_sidecar", 0, 40.0), Fault(60.1, "vanish", 0))
    schedule = replace(QUIET, durability="sync", tick=2.0, commit_every=0.5)
    crashed = (*stands_still, Fault(60.3, "kill_postmaster", 0))
    result = run(replace(schedule, faults=crashed))
    assert (result.violation, result.leader != "pg-0") == (None, True)


@pytest.mark.parametrize("thread", [LOOP, WATCHDOG, HTTP, PROBE])
@pytest.mark.parametrize("whom", [0, 1])
def test_a_set_survives_a_thread_that_hangs_alone(thread: str, whom: int) -> None:
    hangs = (Fault(60.0, "hang_thread", whom, 40.0, thread),)
    assert run(replace(QUIET, durability="sync", faults=hangs)).violation is None


@pytest.mark.thorough
def test_clients_that_cancel_their_wait_were_told_of_no_commit() -> None:
    """The row is there, on one disk, and is gone with it: nobody was told otherwise."""
    apart = (Fault(60.0, "cut_from_peers", 0, 40.0), Fault(66.0, "cut_node", 0, 40.0))
    schedule = replace(QUIET, durability="sync-strict", commit_every=0.5)
    waiting = run(replace(schedule, faults=apart))
    cancelling = run(replace(schedule, faults=(Fault(59.0, "cancel_waits", 0, 50.0), *apart)))
    assert (waiting.violation, cancelling.violation) == (None, None)
    assert cancelling.commits <= waiting.commits


@pytest.mark.parametrize("durability", ["async", "sync", "sync-strict", "quorum"])
def test_a_set_of_one_comes_back_from_each_crash(durability: str) -> None:
    crashes = (Fault(60.0, "kill_postmaster", 0), Fault(90.0, "reboot_node", 0, 5.0))
    result = run(replace(QUIET, members=1, durability=durability, faults=crashes))
    assert (result.violation, result.leader) == (None, "pg-0")


@pytest.mark.thorough
def test_a_failing_schedule_is_made_smaller() -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "no fencing")
    # Where there is a kubelet, it does what the rule should have done.
    needed = (Fault(59.0, "stop_kubelet", -1, 60.0), Fault(60.0, "cut_node", -1, 60.0))
    idle = tuple(Fault(at, "edit_lease") for at in (50.0, 55.0, 100.0))
    schedule = replace(from_seed(1), members=3, length=120.0, faults=(*idle, *needed))

    small, result = shrink(schedule, "I2", mutant.parts, most_runs=100)

    assert result.violation is not None
    assert [fault.kind for fault in small.faults] == ["stop_kubelet", "cut_node"]
    assert small.members == 2
