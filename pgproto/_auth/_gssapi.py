"""A Kerberos security context by the package gssapi, for those who have it installed.

It is looked for when a server asks for GSSAPI, and not before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from pgproto.errors import AuthenticationError

if TYPE_CHECKING:
    from typing import Any

    from pgproto._auth._policy import GSSContext

__all__ = ["make_gssapi_context"]


def make_gssapi_context(service: str, host: str, *, delegate: bool) -> GSSContext:
    """Make a context for a server's service principal; with `delegate`, the server may act for the user.

    Raises `AuthenticationError` if the package is not there, or has no credentials.
    """
    try:
        gssapi: Any = import_module("gssapi")
    except ImportError as error:
        raise AuthenticationError(
            "the server asks for GSSAPI authentication: install the package gssapi, or pass gss_context, a "
            "function that makes a security context"
        ) from error
    flag = gssapi.RequirementFlag
    flags = flag.mutual_authentication | (flag.delegate_to_peer if delegate else 0)
    try:
        name = gssapi.Name(f"{service}@{host}", gssapi.NameType.hostbased_service)
        return cast("GSSContext", gssapi.SecurityContext(name=name, flags=flags, usage="initiate"))
    except gssapi.exceptions.GSSError as error:
        raise AuthenticationError(f"there is no security context for {service}@{host}: {error}") from error
