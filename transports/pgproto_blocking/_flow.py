"""Carrying out a flow on plain sockets: one effect after the other, in the thread that asked for it."""

from __future__ import annotations

import inspect
import logging
import os
import socket
import time
from typing import TypeVar, cast

from pgproto import _effects as effects
from pgproto._host import PEER_CREDENTIALS_SIZE, peer_user, read_file
from pgproto_blocking._wire import Wire

__all__ = ["run_flow"]

logger = logging.getLogger("pgproto")

R = TypeVar("R")


def run_flow(wire: Wire, flow: effects.Flow[R], latest: float | None = None) -> R:
    """Carry out a flow; if it fails, the socket is closed. It fails if it takes until ``latest``."""
    try:
        if latest is not None:
            wire.latest = min(wire.latest, latest)
        return _carry_out(wire, flow)
    except BaseException:
        wire.close()
        raise
    finally:
        flow.close()


def _carry_out(wire: Wire, flow: effects.Flow[R]) -> R:
    result: object = None
    error: BaseException | None = None
    while True:
        try:
            effect = flow.send(result) if error is None else flow.throw(error)
        except StopIteration as stop:
            return cast("R", stop.value)
        result = error = None
        try:
            result = _perform(wire, effect)
        except Exception as failure:
            # Not a cancellation, which is no Exception: the flow decides what a failure means.
            error = failure


def _perform(wire: Wire, effect: effects.Effect[object]) -> object:
    match effect:
        case effects.SetDeadline():
            wire.deadline = effect.at
        case effects.Now():
            return time.monotonic()
        case effects.Entropy():
            return os.urandom(effect.size)
        case effects.ReadFile():
            return read_file(effect.path)
        case effects.Warn():
            logger.warning("%s", effect.message)
        case effects.RunInThread():
            return wire.in_time(effect.work, "the connection was not established in time")
        case effects.AskPassword():
            answer = effect.ask()
            if inspect.isawaitable(answer):
                raise TypeError("a blocking session cannot await the password; give a plain function")
            return answer
        case effects.Resolve():
            found = wire.resolve(effect.host, effect.port)
            return tuple([effects.TCPAddress(str(each[4][0]), effect.port) for each in found])
        case effects.OpenSocket():
            wire.open(effect)
        case effects.OpenStream():
            wire.open_stream(effect)
        case effects.PeerUser():
            opened = wire.expect()
            return peer_user(opened.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS_SIZE))
        case effects.Send():
            wire.send(effect.data)
        case effects.Receive():
            return wire.receive(effect.limit)
        case effects.StartTLS():
            return wire.start_tls(effect)
        case effects.CloseSocket():
            wire.close()
        case _:
            raise TypeError(f"{effect!r} is no effect that a transport knows")
    return None
