"""For all tests: they run side by side, so how long one takes says nothing."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "side by side", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("side by side")
