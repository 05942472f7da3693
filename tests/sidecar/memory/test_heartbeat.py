"""Two pods in one directory: who has to wait, who goes on, and who never may again."""

from sidecar.memory.heartbeat import Beat, HeartbeatMemory


def beat(uid: str, count: int, generation: int | None = None) -> Beat:
    return Beat(uid, str(count), generation)


def owner(*, generation: int = 1) -> HeartbeatMemory:
    """One of pod `mine` that has the directory, from another pod if it is not the first."""
    memory = HeartbeatMemory("mine", 10)
    if generation > 1:
        before = beat("old", 5, generation - 1)
        assert memory.look(before, 0.0, started=False, stalled=False) == "old"
        assert memory.look(before, 11.0, started=False, stalled=False) is None
    else:
        assert memory.look(None, 11.0, started=False, stalled=False) is None
    assert memory.generation == generation
    return memory


def test_who_takes_a_directory_over_counts_on() -> None:
    assert owner(generation=4).generation == 4


def test_whose_directory_was_taken_over_never_has_it_again() -> None:
    """However silent its successor is, or whatever has become of its file."""
    memory = owner()
    later = (beat("new", 1, 2), beat("new", 1, 2), None, beat("mine", 9, 1))
    told = [
        memory.look(it, 20.0 + 100 * n, started=True, stalled=False) for n, it in enumerate(later)
    ]
    assert told == ["new"] * 4
    assert memory.is_foreign


def test_a_late_beat_of_the_pod_before_stops_nobody() -> None:
    memory = owner(generation=2)
    assert memory.look(beat("old", 6, 1), 20.0, started=True, stalled=False) is None
    assert not memory.is_foreign


def test_before_the_start_such_a_beat_is_waited_for_all_the_same() -> None:
    memory = owner(generation=2)
    assert memory.look(beat("old", 6, 1), 20.0, started=False, stalled=False) == "old"


def test_a_restarted_sidecar_knows_its_own_generation_again() -> None:
    memory = HeartbeatMemory("mine", 10)
    assert memory.look(beat("mine", 7, 3), 0.0, started=True, stalled=False) is None
    assert memory.look(beat("old", 6, 2), 1.0, started=True, stalled=False) is None
    assert memory.look(beat("new", 1, 4), 2.0, started=True, stalled=False) == "new"


def test_a_restarted_sidecar_that_finds_another_pod_has_been_replaced() -> None:
    memory = HeartbeatMemory("mine", 10)
    told = [memory.look(beat("new", 1, 2), at, started=True, stalled=False) for at in (0.0, 99.0)]
    assert told == ["new", "new"]


def test_an_older_version_tells_no_generation_and_counts_until_it_is_silent() -> None:
    memory = owner()
    told = [memory.look(beat("new", 1), at, started=True, stalled=False) for at in (20.0, 31.0)]
    assert told == ["new", None]


def test_the_longer_of_two_ttls_counts() -> None:
    """The set's ttl was lowered, or raised, while the other pod was being stopped."""
    for mine, theirs in ((10, 60), (60, 10)):
        memory, last = HeartbeatMemory("mine", mine), Beat("old", "5", 1, theirs)
        told = [memory.look(last, at, started=False, stalled=False) for at in (0.0, 59.0, 61.0)]
        assert told == ["old", "old", None]


def test_the_longer_ttl_counts_after_a_stall_as_well() -> None:
    """A beat of ours came late, so that the file no longer tells the other's."""
    memory = HeartbeatMemory("mine", 10)
    memory.look(Beat("old", "5", 1, 60), 0.0, started=False, stalled=False)
    mine = Beat("mine", "1", 2, 10)
    memory.look(mine, 100.0, started=False, stalled=True)
    told = [memory.look(mine, at, started=False, stalled=False) for at in (159.0, 161.0)]
    assert told == ["old", None]
