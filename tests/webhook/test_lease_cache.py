import math

from tests.support.clock import Clock
from webhook.initial_role import LeaseState
from webhook.lease_cache import STALE_AFTER, LeaseCache


def test_before_the_first_list_nothing_is_known():
    cache = LeaseCache(Clock())
    assert cache.state("shop", "pgset") == LeaseState.UNKNOWN


def test_a_set_has_led_once_its_lease_exists_in_its_own_namespace():
    cache = LeaseCache(Clock())
    cache.replace([("shop", "pgset-pgset")])
    assert cache.state("shop", "pgset") == LeaseState.HAS_LED
    assert cache.state("other", "pgset") == LeaseState.NEVER_LED


def test_events_change_what_is_known():
    cache = LeaseCache(Clock())
    cache.replace([])
    cache.add(("shop", "pgset-pgset"))
    assert cache.state("shop", "pgset") == LeaseState.HAS_LED
    cache.discard(("shop", "pgset-pgset"))
    assert cache.state("shop", "pgset") == LeaseState.NEVER_LED


def test_its_age_counts_from_the_last_word_of_the_api_server():
    clock = Clock()
    cache = LeaseCache(clock)
    assert cache.age == math.inf
    cache.replace([])
    clock.advance(7.0)
    assert cache.age == 7.0


def test_silence_makes_it_unknown_and_a_word_makes_it_known_again():
    clock = Clock()
    cache = LeaseCache(clock)
    cache.replace([("shop", "pgset-pgset")])
    clock.advance(STALE_AFTER)
    assert cache.state("shop", "pgset") == LeaseState.HAS_LED
    clock.advance(0.1)
    assert cache.state("shop", "pgset") == LeaseState.UNKNOWN
    cache.confirm()
    assert cache.state("shop", "pgset") == LeaseState.HAS_LED
