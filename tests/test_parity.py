"""The three transports have the same names with the same parameters, ``async`` aside."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from types import ModuleType
from typing import Any

import pytest

import pgproto_asyncio
import pgproto_blocking
from pgproto._verbs import (
    _async,
    _async_listening,
    _async_pool,
    _async_scopes,
    _async_session,
    _blocking,
    _blocking_listening,
    _blocking_pool,
    _blocking_scopes,
    _blocking_session,
)

__all__: list[str] = []

_PAIRS = (
    (_async, _blocking),
    (_async_listening, _blocking_listening),
    (_async_pool, _blocking_pool),
    (_async_scopes, _blocking_scopes),
    (_async_session, _blocking_session),
)
_DUNDERS = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "__await__": "",
}
# An asynchronous source of arguments makes no sense to a thread.
_ASYNC_ONLY = re.compile(r" \| Async(Iterable|Iterator|Generator)\[.*\]$")
_EVENT_LOOPS = [
    name
    for name in ("pgproto_asyncio", "pgproto_trio")
    if name == "pgproto_asyncio" or importlib.util.find_spec("trio")
]


# What a finalizer says where a block was left without its end, which happens to no task.
_BLOCKING_ONLY = {"BlockingDriver": frozenset({"cut_off"})}


def _blocking_name(name: str) -> str:
    return _DUNDERS.get(name, name.replace("Async", "Blocking"))


def _public(owner: object) -> dict[str, Any]:
    """What a class offers: its own and inherited names, without those that are private or everybody's."""
    found: dict[str, Any] = {}
    for name in dir(owner):
        if name in _DUNDERS or name in _DUNDERS.values() or not name.startswith("_"):
            found[name] = inspect.getattr_static(owner, name)
    return found


def _annotation(annotation: object) -> str:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    text = _ASYNC_ONLY.sub("", text).replace("AbstractAsync", "Abstract").replace("Async", "Blocking")
    return re.sub(r"\bAwaitable\[(.*)\]", r"\1", text)


def _shape(function: Any) -> list[tuple[str, object, object, str]]:
    """Name, kind, default and annotation of each parameter."""
    return [
        (each.name, each.kind, each.default, _annotation(each.annotation))
        for each in inspect.signature(function).parameters.values()
    ]


def _describe(member: Any) -> object:
    if isinstance(member, property):
        return (
            ("property", _annotation(inspect.signature(member.fget).return_annotation))
            if member.fget
            else None
        )
    if inspect.isroutine(member):
        return ("method", _shape(member), _annotation(inspect.signature(member).return_annotation))
    return type(member).__name__


def _compare(
    asynchronous: type[object], blocking: type[object], ignore: frozenset[str] = frozenset()
) -> None:
    ours = {_blocking_name(name): member for name, member in _public(asynchronous).items()}
    theirs = _public(blocking)
    for names in (ours, theirs):
        for name in ("", *ignore):
            names.pop(name, None)
    assert set(ours) == set(theirs)
    for name, member in ours.items():
        assert _describe(member) == _describe(theirs[name]), name
        assert inspect.getdoc(member) or name.startswith("__"), f"{name} has no docstring"
        assert not inspect.iscoroutinefunction(theirs[name]), name


_CLASSES = [
    (getattr(asynchronous, name), getattr(blocking, _blocking_name(name)))
    for asynchronous, blocking in _PAIRS
    for name in asynchronous.__all__
]


@pytest.mark.parametrize(("asynchronous", "blocking"), _PAIRS)
def test_the_modules_of_verbs_have_the_same_names(asynchronous: ModuleType, blocking: ModuleType) -> None:
    assert sorted(map(_blocking_name, asynchronous.__all__)) == sorted(blocking.__all__)


@pytest.mark.parametrize(("asynchronous", "blocking"), _CLASSES)
def test_the_verbs_are_the_same(asynchronous: type[object], blocking: type[object]) -> None:
    _compare(asynchronous, blocking, _BLOCKING_ONLY.get(blocking.__name__, frozenset()))


@pytest.mark.parametrize("package", _EVENT_LOOPS)
def test_the_packages_have_the_same_names(package: str) -> None:
    assert sorted(importlib.import_module(package).__all__) == sorted(pgproto_blocking.__all__)


@pytest.mark.parametrize("package", _EVENT_LOOPS)
@pytest.mark.parametrize("name", sorted(pgproto_blocking.__all__))
def test_the_packages_names_mean_the_same(package: str, name: str) -> None:
    asynchronous = getattr(importlib.import_module(package), name)
    blocking = getattr(pgproto_blocking, name)
    if name == "connect":
        assert _shape(asynchronous) == _shape(blocking)
    else:
        _compare(asynchronous, blocking, _NOT_EVERYWHERE.get((package, name), frozenset()))


_BLOCK = frozenset({"__enter__", "__exit__"})
_NOT_EVERYWHERE = {
    # A session of an event loop ends with the block of `connect`, not with one of its own.
    ("pgproto_asyncio", "Session"): _BLOCK,
    ("pgproto_trio", "Session"): _BLOCK,
    # Trio's tasks need a scope, so its pool has nothing but the block.
    ("pgproto_trio", "Pool"): frozenset({"open"}),
}

_DOCUMENTED = {
    "execute",
    "fetch",
    "fetchrow",
    "fetch_one",
    "fetchval",
    "fetch_columns",
    "set_type_codec",
    "reset_type_codec",
    "executemany",
    "simple_query",
    "prepare",
    "transaction",
    "stream",
    "pipeline",
    "copy_in",
    "copy_out",
    "copy_records_to_table",
    "listen",
    "ping",
    "cancel",
    "close",
    "terminate",
    "is_closed",
    "transaction_status",
    "parameters",
    "server_version",
    "backend_pid",
    "add_notice_handler",
}


def test_a_session_can_do_what_its_documentation_says() -> None:
    assert set(_public(pgproto_asyncio.Session)) >= _DOCUMENTED


def test_every_public_name_is_documented() -> None:
    for package in (pgproto_asyncio, pgproto_blocking):
        for name in package.__all__:
            assert inspect.getdoc(getattr(package, name)), name
