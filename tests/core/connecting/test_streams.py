"""Streams that the application opens: what the core asks for, and what it makes of failures."""

from __future__ import annotations

import pytest

from pgproto._connecting import connect
from pgproto._effects import CloseSocket, Effect, Flow, Now, OpenStream, SetDeadline
from pgproto.errors import AuthenticationError, ConfigError, ConnectionLost, Error
from tests.support.config import load

__all__: list[str] = []


class Refusal(Exception):
    """A library's own error."""


def make(host: str, port: int) -> object:
    raise AssertionError("only transports call it")


def opened(flow: Flow[object], failures: list[Exception]) -> tuple[list[OpenStream], Error]:
    """Let every stream fail in these ways; what was asked for, and the end."""
    asked: list[OpenStream] = []
    result: object = None
    error: Exception | None = None
    try:
        while True:
            effect: Effect[object] = flow.send(result) if error is None else flow.throw(error)
            result, error = None, None
            match effect:
                case OpenStream():
                    asked.append(effect)
                    error = failures[len(asked) - 1]
                case Now():
                    result = 100.0
                case SetDeadline() | CloseSocket():
                    pass
                case _:
                    raise AssertionError(f"{effect} is asked for")
    except Error as end:
        return asked, end


def test_names_and_paths_are_handed_on_as_they_are() -> None:
    config = load(
        host="db.example,/run/postgresql,db.example", hostaddr=",,192.0.2.1", port=7, open_socket=make
    )
    asked, error = opened(connect(config), [OSError("no"), Refusal("no"), TimeoutError()])
    assert asked == [
        OpenStream(make, "db.example", 7),
        OpenStream(make, "/run/postgresql", 7),
        OpenStream(make, "192.0.2.1", 7),
    ]
    assert isinstance(error, ConnectionLost)
    assert "failed while opening a stream to db.example:7: no" in str(error)
    assert "failed while opening a stream to /run/postgresql:7: Refusal: no" in str(error)
    assert "timed out while opening a stream to 192.0.2.1:7" in str(error)


def test_without_a_host_there_is_one_stream() -> None:
    asked, error = opened(connect(load(open_socket=make)), [Refusal("no")])
    assert [(effect.host, effect.port) for effect in asked] == [("localhost", 5432)]
    assert isinstance(error.__cause__, Refusal)


@pytest.mark.parametrize("error", [ConfigError("no stream"), AuthenticationError("who are you?")])
def test_errors_of_our_own_come_out_as_they_are(error: Error) -> None:
    asked, end = opened(connect(load(host="a,b", open_socket=make)), [error])
    assert len(asked) == 1
    assert end is error


def test_a_peer_that_cannot_be_checked() -> None:
    with pytest.raises(ConfigError, match="requirepeer cannot be checked"):
        load(host="/run/postgresql", requirepeer="postgres", open_socket=make)
    with pytest.raises(ConfigError, match='"open_socket" must be something that can be called'):
        load(host="a", open_socket="a socket")
