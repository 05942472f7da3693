"""The Lease watch over real HTTP."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import Clock
from tests.webhook.lease_server import LeaseServer, serving
from webhook.api_server import MAX_ANSWER, MAX_EVENT, ApiError
from webhook.initial_role import LeaseState
from webhook.lease_cache import STALE_AFTER, LeaseCache
from webhook.lease_watch import LEASES, LeaseWatch
from webhook.lines import lines


class Stopped(BaseException):
    """Ends the endless loop from within its sleep."""


@pytest.fixture
def server():
    return LeaseServer()


def test_a_round_lists_and_then_follows_the_events(server):
    cache = LeaseCache(Clock())
    server.leases = [("shop", "pgset-old"), ("shop", "pgset-gone")]
    server.send("ADDED", "shop", "pgset-new")
    server.send("MODIFIED", "other", "pgset-old")
    server.send("DELETED", "shop", "pgset-gone")
    server.end_watch()
    with serving(server) as api:
        LeaseWatch(api, cache).follow()
    assert [
        cache.state(namespace, name)
        for namespace, name in [
            ("shop", "old"),
            ("shop", "new"),
            ("other", "old"),
            ("shop", "gone"),
            ("other", "new"),
        ]
    ] == [
        LeaseState.HAS_LED,
        LeaseState.HAS_LED,
        LeaseState.HAS_LED,
        LeaseState.NEVER_LED,
        LeaseState.NEVER_LED,
    ]


@pytest.mark.thorough
def test_leases_of_megabytes_are_listed_a_few_at_a_time(server):
    """Whoever may create some in a namespace must not take all of the webhook's memory."""
    cache = LeaseCache(Clock())
    server.leases = [("shop", f"pgset-{number}") for number in range(12)]
    server.padding = "x" * 2**20
    server.end_watch()
    with serving(server) as api:
        LeaseWatch(api, cache).follow()
    assert all(cache.state("shop", str(number)) is LeaseState.HAS_LED for number in range(12))
    assert sum(it for it in server.sizes if it <= MAX_ANSWER) > 12 * 2**20


DEEP = '{"f:a":' * 50_000 + "{}" + "}" * 50_000
"""As whoever writes managedFields may nest them."""


@pytest.mark.parametrize("of_one", [f'"{"x" * MAX_ANSWER}"', DEEP], ids=["too large", "too deep"])
def test_a_lease_that_cannot_be_read_hides_no_other(server, of_one):
    cache = LeaseCache(Clock())
    names = ["odd" if number == 5 else f"pgset-{number}" for number in range(12)]
    server.leases = [("shop", name) for name in names]
    server.of_one = of_one
    server.end_watch()
    with serving(server) as api:
        LeaseWatch(api, cache).follow()
    others = [str(number) for number in range(12) if number != 5]
    assert all(cache.state("shop", it) is LeaseState.HAS_LED for it in others)
    assert cache.state("shop", "5") is LeaseState.NEVER_LED


def test_an_event_that_cannot_be_read_ends_no_watch(server):
    cache = LeaseCache(Clock())
    server.send_text("ADDED", "shop", "odd", DEEP)
    server.send("ADDED", "shop", "pgset-new")
    server.end_watch()
    with serving(server) as api:
        LeaseWatch(api, cache).follow()
    assert cache.state("shop", "new") is LeaseState.HAS_LED


def test_an_event_of_megabytes_is_passed_over(server):
    server.send_text("ADDED", "shop", "odd", f'"{"x" * MAX_EVENT}"')
    server.send("ADDED", "shop", "pgset-new")
    server.end_watch()
    with serving(server) as api:
        events = list(api.watch(LEASES, {"labelSelector": "pgset.dev/set"}, 30))
    assert [it["object"]["metadata"]["name"] for it in events] == ["pgset-new"]


@given(
    st.lists(st.binary(max_size=6).map(lambda it: it.replace(b"\n", b"-")), max_size=6),
    st.integers(1, 5),
)
def test_however_a_watch_is_cut_its_lines_are_the_same(written, size):
    text = b"".join(it + b"\n" for it in written) + b"cut"
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    assert list(lines(chunks, 4)) == [it for it in written if 0 < len(it) <= 4]


def test_only_leases_of_sets_are_asked_for(server):
    server.end_watch()
    with serving(server) as api:
        LeaseWatch(api, LeaseCache(Clock())).follow()
    assert server.selectors == ["pgset.dev/set", "pgset.dev/set"]


def test_a_watch_that_ended_in_good_order_is_a_sign_of_life(server):
    clock = Clock()
    cache = LeaseCache(clock)

    def hours_pass(*_):
        clock.advance(STALE_AFTER + 1)

    server.end_watch()
    with serving(server) as api:
        watch = LeaseWatch(api, cache)
        watch.follow()
        hours_pass()
        assert not cache.known
        server.end_watch()
        watch.follow()
        assert cache.known


def test_an_expired_resource_version_is_told_and_the_next_round_lists_anew(server):
    cache = LeaseCache(Clock())
    server.send_error(410)
    with serving(server) as api:
        watch = LeaseWatch(api, cache)
        with pytest.raises(ApiError):
            watch.follow()
        server.leases = [("shop", "pgset-pgset")]
        server.end_watch()
        server.end_watch()
        watch.follow()
    assert cache.state("shop", "pgset") == LeaseState.HAS_LED
    assert server.lists == 2


def test_the_loop_outlives_errors_and_waits_longer_each_time(server):
    server.list_status = 500
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 7:
            raise Stopped

    cache = LeaseCache(Clock())
    with serving(server) as api, pytest.raises(Stopped):
        LeaseWatch(api, cache, sleep=sleep)._run()
    assert cache.state("shop", "pgset") == LeaseState.UNKNOWN
    limits = [1, 2, 4, 8, 16, 30, 30]
    assert all(limit / 2 <= wait <= limit for wait, limit in zip(waits, limits, strict=True))
