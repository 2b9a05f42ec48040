"""Settings of all tests, and the real data where they are."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The same examples in every run, so that a red test is red again on the next machine.
# ``pytest --hypothesis-profile=search`` draws many other ones.
SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeatable", derandomize=True, max_examples=25, **SLOW)
settings.register_profile("search", max_examples=500, **SLOW)
settings.load_profile("repeatable")
