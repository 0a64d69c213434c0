"""The fuzzers run under the same profiles as the tests."""

from __future__ import annotations

from tests.support.profiles import load_profile

load_profile()
