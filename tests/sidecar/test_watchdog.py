"""The watchdog: PostgreSQL is killed where the loop does not come back in time."""

import errno
import logging
import threading
import time

import pytest

from sidecar.watchdog import Watchdog
from tests.support.clock import Clock


def test_it_kills_at_the_moment_until_which_the_loop_is_trusted_and_not_before() -> None:
    clock, killed = Clock(100.0), list[float]()
    watchdog = Watchdog(clock=clock, kill=lambda: killed.append(clock.now))
    watchdog.trust_until(109.0)
    clock.now = 108.9
    watchdog.check()
    clock.now = 109.0
    watchdog.check()
    assert killed == [109.0]


def test_a_loop_that_comes_back_is_trusted_further() -> None:
    clock, killed = Clock(100.0), list[float]()
    watchdog = Watchdog(clock=clock, kill=lambda: killed.append(clock.now))
    for moment in (109.0, 111.0, None):
        watchdog.trust_until(moment)
        clock.now += 2
        watchdog.check()
    clock.now += 1000
    watchdog.check()
    assert killed == []


def test_a_kill_that_is_refused_is_tried_again_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, tried = Clock(100.0), list[float]()

    def refused() -> None:
        tried.append(clock.now)
        raise PermissionError(errno.EPERM, "Operation not permitted")

    watchdog = Watchdog(clock=clock, kill=refused)
    watchdog.trust_until(100.0)
    for _ in range(3):
        watchdog.check()
    assert len(tried) == 3
    assert sum("could not be killed" in line for line in caplog.messages) == 1
    watchdog.trust_until(None)
    watchdog.check()
    watchdog.trust_until(100.0)
    watchdog.check()
    assert sum("could not be killed" in line for line in caplog.messages) == 2


def test_it_kills_though_nobody_takes_the_log() -> None:
    """The loop may hang for just that: its pipe is full."""
    killed, go_on = threading.Event(), threading.Event()

    class Full(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            go_on.wait(60)

    full = Full()
    logging.getLogger().addHandler(full)
    try:
        watchdog = Watchdog(clock=time.monotonic, kill=killed.set)
        watchdog.trust_until(time.monotonic())
        watchdog.start()
        assert killed.wait(60)
    finally:
        logging.getLogger().removeHandler(full)
        watchdog.trust_until(None)
        go_on.set()


@pytest.mark.parametrize("error", [PermissionError(errno.EPERM, "no"), RuntimeError("a fault")])
def test_whatever_the_kill_ends_with_the_thread_goes_on(error: Exception) -> None:
    tried = threading.Semaphore(0)

    def refused() -> None:
        tried.release()
        raise error

    watchdog = Watchdog(clock=time.monotonic, kill=refused)
    watchdog.trust_until(time.monotonic())
    watchdog.start()
    assert all(tried.acquire(timeout=60) for _ in range(2))
    watchdog.trust_until(None)
