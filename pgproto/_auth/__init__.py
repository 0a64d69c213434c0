"""How a client proves who it is, and makes sure of the server.

`authenticate` is the flow; `AuthenticationSettings` is what it needs to know. The rules of who may ask for
what are in `_policy`, the order of messages in `_flow`, SCRAM's messages in `_scram`.
"""

from __future__ import annotations

from pgproto._auth._channel_binding import server_end_point
from pgproto._auth._flow import AuthenticationOutcome, authenticate
from pgproto._auth._gssapi import make_gssapi_context
from pgproto._auth._policy import (
    DEFAULT_SCRAM_MAX_ITERATIONS,
    DEFAULT_SCRAM_MIN_ITERATIONS,
    AllowedMethods,
    AuthenticationSettings,
    Channel,
    GSSContext,
    Method,
)
from pgproto._auth._scram_keys import ScramKeys

__all__ = [
    "DEFAULT_SCRAM_MAX_ITERATIONS",
    "DEFAULT_SCRAM_MIN_ITERATIONS",
    "AllowedMethods",
    "AuthenticationOutcome",
    "AuthenticationSettings",
    "Channel",
    "GSSContext",
    "Method",
    "ScramKeys",
    "authenticate",
    "make_gssapi_context",
    "server_end_point",
]
