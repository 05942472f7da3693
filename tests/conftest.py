"""For all tests: they run side by side, so how long one takes says nothing.

What Hypothesis draws is the same each time, so that a run fails by what has changed and by nothing
else: little of it by default, more in `make test`. `make test-all` draws anew, and more again.
"""

from typing import Final

from hypothesis import HealthCheck, settings

EXAMPLES: Final = {"check": 10, "thorough": 150, "anew": 1000}
"""By the name of the profile: pytest's --hypothesis-profile."""

for name, number in EXAMPLES.items():
    settings.register_profile(
        name,
        max_examples=number,
        derandomize=name != "anew",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("check")
