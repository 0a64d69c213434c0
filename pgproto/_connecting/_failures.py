"""What goes wrong while connecting: whether another server may do better, and one error for all of them.

| what went wrong                                                  | what comes next                    |
|------------------------------------------------------------------|------------------------------------|
| no such host, refused, unreachable, too late, closed             | the next address                   |
| no TLS as it must be; a server that breaks the protocol          | the next address                   |
| the server is starting up or shutting down (57P03)               | the next host                      |
| it is not the kind of server that is wanted                      | the next host                      |
| the server refuses: a wrong password, no such database, too many | the end; another host would say it |
| it asks for a kind of authentication that is not allowed         | the end                            |
| the parameters cannot be used                                    | the end                            |

The end is also when there is nothing left to try. If only one thing was tried, its error is the error. If
there were several, their errors are told in one message, and grouped in its cause.

PostgreSQL documentation: "Specifying Multiple Hosts".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from pgproto.errors import CannotConnectNow, ConnectionLost, Error, RemoteProtocolError, TLSError

__all__ = ["Attempts", "Next", "what_next"]


class Next(enum.Enum):
    """Where to go on after a failure."""

    ADDRESS = "the next address of the host, else the next host"
    HOST = "the next host"
    END = "nowhere"


def what_next(error: Error) -> Next:
    """Say where to go on after a failure."""
    match error:
        case CannotConnectNow():
            return Next.HOST
        case ConnectionLost() | TLSError() | RemoteProtocolError():
            return Next.ADDRESS
        case _:
            return Next.END


@dataclass(slots=True)
class Attempts:
    """What was tried without success."""

    failures: list[tuple[str, Error]] = field(default_factory=list[tuple[str, Error]])
    """Where, and what went wrong there."""

    def add(self, where: str, error: Error) -> None:
        """Note a failure, after which something else is tried."""
        self.failures.append((where, error))

    def annotate(self, where: str, error: Error) -> None:
        """Note, on the error that ends it all, where it came from and what had failed before."""
        error.add_note(f"while connecting to {where}")
        for place, failure in self.failures:
            error.add_note(f"before that, {place}: {failure}")

    def summary(self) -> Error:
        """Return one error for all of them."""
        if len(self.failures) == 1:
            return self.failures[0][1]
        lines = [f"{where}: {error}" for where, error in self.failures]
        message = f"none of {len(lines)} attempts led to a session:\n  " + "\n  ".join(lines)
        kinds = {type(error) for _, error in self.failures}
        summary = TLSError(message) if kinds == {TLSError} else ConnectionLost(message, outcome="not_sent")
        summary.__cause__ = ExceptionGroup("attempts to connect", [error for _, error in self.failures])
        return summary
