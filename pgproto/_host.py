"""The little that all transports need to know of the machine they run on, and ask in the same words.

Nothing in the core calls this. What a flow needs of the world it asks for by an effect, and a transport
decides in which thread that is done.
"""

from __future__ import annotations

import getpass
import os
import struct
import sys
from collections.abc import Mapping
from typing import Final, NamedTuple

from pgproto._effects import FileContents

__all__ = ["Host", "describe_host", "peer_user", "read_file"]

_LIMIT: Final = 1024 * 1024


_CREDENTIALS: Final = struct.Struct("3i")
"""Process, user and group of the other end of a Unix-domain socket, as Linux has them."""


class Host(NamedTuple):
    """What connection parameters default to."""

    environ: Mapping[str, str]
    user: str | None
    home: str | None
    windows: bool


def describe_host() -> Host:
    """The environment, and the user whom the process runs as."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = None
    home = os.path.expanduser("~")
    return Host(os.environ, user, None if home == "~" else home, sys.platform == "win32")


def read_file(path: str) -> FileContents | None:
    """The file's contents, or None if there is no such file; raises `OSError`.

    This is how a transport carries out `pgproto._effects.ReadFile`.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(data) > _LIMIT:
        raise OSError(f"{path} has more than {_LIMIT} bytes, which is no file of settings")
    return FileContents(data, status.st_mode, status.st_uid)


def peer_user(credentials: bytes) -> str:
    """The name of the user whom the other end of a Unix-domain socket runs as; raises `OSError`.

    ``credentials`` is what the socket option SO_PEERCRED gives, `PEER_CREDENTIALS_SIZE` bytes.
    """
    import pwd

    _, user, _ = _CREDENTIALS.unpack(credentials)
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        raise OSError(f"the server runs as user {user}, who has no name here") from None


PEER_CREDENTIALS_SIZE: Final = _CREDENTIALS.size
"""In bytes."""
