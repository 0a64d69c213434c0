"""Security contexts by the package gssapi, which need not be there."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from pgproto._auth import make_gssapi_context
from pgproto.errors import AuthenticationError


class GSSError(Exception):
    pass


def package(made: list[Any], failure: Exception | None = None) -> Any:
    """What is used of the package."""

    def hostbased(name: str, kind: str) -> tuple[str, str]:
        return kind, name

    def security_context(**arguments: Any) -> object:
        if failure is not None:
            raise failure
        made.append(arguments)
        return SimpleNamespace(complete=False)

    return SimpleNamespace(
        Name=hostbased,
        NameType=SimpleNamespace(hostbased_service="hostbased"),
        RequirementFlag=SimpleNamespace(mutual_authentication=2, delegate_to_peer=1),
        SecurityContext=security_context,
        exceptions=SimpleNamespace(GSSError=GSSError),
    )


@pytest.mark.parametrize(("delegate", "flags"), [(False, 2), (True, 3)])
def test_a_context(monkeypatch: pytest.MonkeyPatch, delegate: bool, flags: int) -> None:
    made: list[Any] = []
    monkeypatch.setitem(sys.modules, "gssapi", package(made))
    assert not make_gssapi_context("postgres", "db.example", delegate=delegate).complete
    name = ("hostbased", "postgres@db.example")
    assert made == [{"name": name, "flags": flags, "usage": "initiate"}]


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", package([], GSSError("no ticket")))
    with pytest.raises(AuthenticationError, match=r"postgres@db\.example: no ticket"):
        make_gssapi_context("postgres", "db.example", delegate=False)


def test_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    with pytest.raises(AuthenticationError, match="install the package gssapi"):
        make_gssapi_context("postgres", "db.example", delegate=False)
