"""The places on shared sessions that one-shot requests leave to whoever comes next."""

from __future__ import annotations

from tests.core.pool.people import Machine

__all__ = ["check_places"]


def check_places(machine: Machine) -> None:
    """Each session is listed once, and all is as it must be where somebody may take a place at once."""
    assert len({*machine._ring}) == len(machine._ring)
    recent = machine._recent
    if recent is not None:
        assert recent.shared
        assert recent.listed
        assert not recent.changed
        assert recent.holders + machine._places <= machine._multiplex
        assert machine._direct
        assert not machine._waiting
        assert not machine._idle
        assert len(machine._slots) >= machine._max_size
