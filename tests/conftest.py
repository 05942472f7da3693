"""For all tests: they run side by side, so how long one takes says nothing.

What Hypothesis draws is enough for every day by default, and `make test` asks for more.
"""

from typing import Final

from hypothesis import HealthCheck, settings

EXAMPLES: Final = {"check": 20, "thorough": 150}
"""By the name of the profile: pytest's --hypothesis-profile."""

for name, number in EXAMPLES.items():
    settings.register_profile(
        name,
        max_examples=number,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("check")
