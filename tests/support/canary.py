"""A password that must not sing: looking for it in everything that can be seen."""

from __future__ import annotations

import pickle
import traceback
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pgproto
import pgproto_asyncio

__all__ = ["CANARY", "everything_about", "expect_no_song_in", "songs"]

CANARY = "Xq7canary9Zz"

_OURS = tuple(str(Path(package.__file__ or "").parent) for package in (pgproto, pgproto_asyncio))
_TRANSPORTS = str(Path(pgproto_asyncio.__file__ or "").parents[1])


def songs(secret: str = CANARY) -> tuple[bytes, ...]:
    """The forms in which a secret may show."""
    raw = secret.encode()
    # In base64 it looks different at each of three positions; the middle is the same whatever is around it.
    based = [b64encode(bytes(pad) + raw)[pad and 4 :].rstrip(b"=")[:-1] for pad in range(3)]
    texts = [raw, *based, raw.hex().encode(), raw.hex().upper().encode(), b", ".join(b"%d" % c for c in raw)]
    return (*texts, secret.encode("utf-16-le"), secret.encode("utf-16-be"))


def expect_no_song_in(*texts: bytes) -> None:
    """Fail if the canary sings in one of them."""
    for song in songs():
        assert not [text for text in texts if song in text], f"the canary sings: {song!r}"


def everything_about(error: BaseException) -> bytes:
    """All that can be seen of an exception: text, chain, groups, notes, variables of our frames, pickle."""
    seen: list[str] = []
    for each in _chain(error, set()):
        seen += [str(each), repr(each), repr(each.args), repr(getattr(each, "__dict__", None))]
    lines = traceback.TracebackException.from_exception(error, capture_locals=True)
    seen += _frames(lines)
    return "\n".join(seen).encode("utf-8", "backslashreplace") + pickle.dumps(error)


def _chain(error: BaseException | None, known: set[int]) -> Iterator[BaseException]:
    if error is None or id(error) in known:
        return
    known.add(id(error))
    yield error
    yield from _chain(error.__cause__, known)
    yield from _chain(error.__context__, known)
    if isinstance(error, BaseExceptionGroup):
        for each in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _chain(each, known)


def _frames(lines: traceback.TracebackException | None) -> list[str]:
    """The variables of the frames of our code: the caller of `connect` knows the password, of course."""
    if lines is None:
        return []
    seen = [
        f"{frame.name}: {frame.locals}"
        for frame in lines.stack
        if frame.filename.startswith((*_OURS, _TRANSPORTS))
    ]
    return seen + _frames(lines.__cause__) + _frames(lines.__context__)
