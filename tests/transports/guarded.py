"""A fake server that asks for a password, by SCRAM."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Final

from pgproto import messages as m
from pgproto.testing import FakeServer, FakeSession, Statement
from tests.core.auth.support import ScramServer

__all__ = ["PASSWORD", "GuardedServer"]

PASSWORD: Final = "pencil-and-paper"
_MECHANISM: Final = "SCRAM-SHA-256"
_SALTED: Final = ScramServer(PASSWORD.encode()).salted


class _ReadyScramServer(ScramServer):
    """As its base; what takes time has been done before."""

    def __init__(self) -> None:
        self.binding = None
        self.salt = b"0123456789abcdef"
        self.count = 4096
        self.salted = _SALTED
        self.first_bare = self.header = self.server_first = b""


class _GuardedSession(FakeSession):
    """Lets in who knows the password."""

    def __init__(self, server: GuardedServer, process_id: int) -> None:
        super().__init__(server, process_id)
        self._scram = _ReadyScramServer()
        self._startup_message: m.StartupMessage | None = None

    def _greet(self, message: m.StartupMessage) -> None:
        self._startup_message = message
        self._say(m.AuthenticationSASL((_MECHANISM,)))

    def _respond(self, message: m.Message) -> Generator[float, None, None]:
        if isinstance(message, m.SASLInitialResponse | m.SASLResponse):
            self._authenticate(message)
        else:
            yield from super()._respond(message)

    def _authenticate(self, message: m.SASLInitialResponse | m.SASLResponse) -> None:
        try:
            if isinstance(message, m.SASLInitialResponse):
                assert message.mechanism == _MECHANISM
                self._say(self._scram.challenge(message))
                return
            verdict = self._scram.final(message)
        except (AssertionError, ValueError, IndexError):
            verdict = m.ErrorResponse({"S": "FATAL", "V": "FATAL", "C": "28P01", "M": "malformed"})
        self._say(verdict)
        if isinstance(verdict, m.AuthenticationSASLFinal) and self._startup_message is not None:
            super()._greet(self._startup_message)
        else:
            self.hang_up()


class GuardedServer(FakeServer):
    """As a `FakeServer`, for those who know the password.

    Args:
        statements: as there.
    """

    def __init__(self, statements: Mapping[str, Statement] | Callable[[str], Statement | None]) -> None:
        super().__init__(statements)
        self.guarded: list[_GuardedSession] = []

    def __call__(self) -> FakeSession:
        session = _GuardedSession(self, 1000 + len(self.sessions))
        self.sessions.append(session)
        self.guarded.append(session)
        return session
