"""The watchdog: PostgreSQL is killed where the loop does not come back in time."""

from sidecar.watchdog import Watchdog


class Clock:
    """Seconds, as they are set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_kills_at_the_moment_until_which_the_loop_is_trusted_and_not_before() -> None:
    clock, killed = Clock(), list[float]()
    watchdog = Watchdog(clock=clock, kill=lambda: killed.append(clock.now))
    watchdog.trust_until(109.0)
    clock.now = 108.9
    watchdog.check()
    clock.now = 109.0
    watchdog.check()
    assert killed == [109.0]


def test_a_loop_that_comes_back_is_trusted_further() -> None:
    clock, killed = Clock(), list[float]()
    watchdog = Watchdog(clock=clock, kill=lambda: killed.append(clock.now))
    for moment in (109.0, 111.0, None):
        watchdog.trust_until(moment)
        clock.now += 2
        watchdog.check()
    clock.now += 1000
    watchdog.check()
    assert killed == []
