"""Patterns that are compiled when they are first used."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from pgproto._patterns import pattern


def test_same_as_compiled() -> None:
    word = pattern(r"([a-z]+)\d", re.IGNORECASE)
    for _ in range(2):
        assert word.match(" aB1") is None
        assert [match[1] for match in word.finditer("aB1 c2")] == ["aB", "c"]
        assert word.sub("x", "aB1 c2") == "x x"
        assert word.fullmatch("a1b") is None
    assert pattern(rb"\d+").findall(b"1 22") == [b"1", b"22"]
    assert (word.pattern, word.groups) == (r"([a-z]+)\d", 1)


def test_compiled_when_first_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    original = re.compile

    def recorded(*arguments: object) -> object:
        compiled.append(arguments[0])
        return original(*arguments)  # type: ignore[call-overload]  # passed on

    monkeypatch.setattr(re, "compile", recorded)
    digits = pattern(r"\d+")
    assert compiled == []
    for _ in range(3):
        assert digits.fullmatch("12")
    assert compiled == [r"\d+"]


def test_importing_compiles_none_of_ours() -> None:
    program = """
import re, sys, asyncio, ssl, dataclasses, uuid, decimal, json, ipaddress, stringprep, getpass, random
known = set(); original = re.compile
def compile(pattern, flags=0):
    known.add(pattern); return original(pattern, flags)
re.compile = compile
import pgproto_asyncio
print(*sorted(map(repr, known)), sep="\\n")
"""
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert result.stdout.split() == []
