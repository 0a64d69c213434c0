"""How hard hypothesis tries: ``HYPOTHESIS_PROFILE=long`` for hours of it, ``fast`` while editing."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

__all__ = ["load_profile"]


def load_profile() -> None:
    """Register our profiles and take the one that the environment names.

    In CI the examples are the same in each run, so that a change is judged by itself and not by its luck.
    """
    common = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("fast", common, max_examples=20)
    settings.register_profile("default", common, max_examples=100)
    settings.register_profile("ci", common, max_examples=200, derandomize=True)
    settings.register_profile("long", common, max_examples=20_000)
    settings.load_profile(
        os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default")
    )
