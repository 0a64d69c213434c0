"""A server that changes its kind under a session: whether it is wanted still."""

from __future__ import annotations

import pytest

from pgproto._config._config import TARGET_SESSION_ATTRS, TargetSessionAttrs
from pgproto._connecting._target import change_of_kind

__all__: list[str] = []

WANTED = {
    "any": "standby, read-only standby, primary, read-only primary",
    "read-write": "primary, read-only primary",
    "read-only": "standby, read-only standby, read-only primary",
    "primary": "primary, read-only primary",
    "standby": "standby, read-only standby",
    "prefer-standby": "standby, read-only standby",
}
"""What a server may become; that a session of a primary is read-only is its holder's doing."""


@pytest.mark.parametrize("target", TARGET_SESSION_ATTRS)
@pytest.mark.parametrize("kind", ["standby", "primary"])
@pytest.mark.parametrize("read_only", ["", "read-only "])
def test_what_a_server_may_become(target: TargetSessionAttrs, kind: str, read_only: str) -> None:
    parameters = {
        "in_hot_standby": "on" if kind == "standby" else "off",
        "default_transaction_read_only": "on" if read_only else "off",
    }
    unfit = change_of_kind(target, parameters)
    assert (unfit is None) == (f"{read_only}{kind}" in WANTED[target].split(", "))
    if unfit is not None:
        assert f"target_session_attrs={target}" in str(unfit)
        assert ("in hot standby" if kind == "standby" else "a primary") in str(unfit)
