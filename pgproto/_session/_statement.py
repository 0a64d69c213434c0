"""What is known of a prepared statement, and its parameters as bytes.

The bytes of a Bind message around the parameters never change for a statement, so they are made once. For a
statement that is used again, a function is compiled that makes the whole message; arguments that it does not
expect are encoded one by one. PostgreSQL documentation: "Extended Query".
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Sequence
from operator import is_
from typing import TYPE_CHECKING, Final

from pgproto import messages as m
from pgproto._row_factories import RowFactory
from pgproto._rows import Decoder, compile_reader
from pgproto._session._packer import Packer
from pgproto._session._packing import Frame, Pack
from pgproto._short_way import UsualReply
from pgproto._state import Step
from pgproto._wire import MAX_FRAME_LENGTH
from pgproto.errors import DataError, LocalProtocolError
from pgproto.types import Codec

if TYPE_CHECKING:
    from pgproto._session._lease import Lease
    from pgproto._session._transaction import TransactionScope

__all__ = ["PreparedStatement", "Statement", "StatementCache", "check_arguments"]

_MAX_PARAMETERS: Final = 65_535
"""How many parameters a statement may have: their number travels in two bytes."""

_FIRST_COMPILATION: Final = 4
"""When it is bound for this time, the function is compiled: that takes as long as some fifty times."""

_LENGTH: Final = struct.Struct("!i")
_NULL: Final = _LENGTH.pack(-1)


def check_arguments(arguments: Sequence[object]) -> None:
    """Refuse more arguments than any statement takes, before the server is asked about it.

    It would answer, with a message that can no more be read than written.
    """
    if len(arguments) > _MAX_PARAMETERS:
        raise DataError(
            f"{len(arguments)} arguments were given; a statement has at most {_MAX_PARAMETERS} parameters"
        )


class Statement:
    """A statement that the server has described.

    ``name`` is what the server knows it by, empty if it is parsed anew for each use.
    """

    __slots__ = (
        "_encoders",
        "_head",
        "_packer",
        "_parameters",
        "_tail",
        "_uses",
        "codecs",
        "columns",
        "decoders",
        "generation",
        "keyword",
        "name",
        "names",
        "pack",
        "parameter_types",
        "parse",
        "sql",
    )

    def __init__(
        self,
        sql: str,
        name: str,
        keyword: str,
        parameters: Sequence[Codec],
        columns: Sequence[m.FieldDescription],
        codecs: Sequence[Codec],
        generation: int = 0,
    ) -> None:
        self.sql = sql
        self.name = name
        self.keyword = keyword
        """The statement's first word, in upper case."""
        self.parameter_types = tuple([codec.oid for codec in parameters])
        self.columns = tuple(columns)
        """As the server described them; empty if it returns no rows."""
        self.codecs = tuple(codecs)
        """One for each column."""
        self.generation = generation
        """Of the type registry, when the codecs were taken from it."""
        self.names = tuple([column.name for column in columns])
        self.parse = m.Parse(name, sql, self.parameter_types).encode()
        self._parameters = tuple(parameters)
        self._encoders = [codec.encode for codec in parameters]
        head = m.Bind("", name, tuple([codec.format for codec in parameters])).encode()
        # Behind the header and the portal's name: its terminator, the statement's name, the formats. Then,
        # each in two bytes, no parameters and no result formats, in whose place the real ones go.
        self._head = head[5:-4] + len(parameters).to_bytes(2, "big")
        self._tail = _formats([codec.format for codec in codecs])
        self.pack: Pack | None = None
        """What makes Bind messages fast, as soon as it is compiled; it fails for what it does not expect."""
        self._packer: Packer | None = None
        self._uses = 0
        self.decoders: dict[str, tuple[Decoder, UsualReply]] = {}
        """Those that `decoder` has made, by the factory's key."""

    def has_codecs_of(self, other: Statement) -> bool:
        """Whether its values are encoded and decoded as the other's are."""
        ours, theirs = (*self._parameters, *self.codecs), (*other._parameters, *other.codecs)
        return all(map(is_, ours, theirs))

    def bind(self, arguments: Sequence[object], portal: str = "") -> bytes:
        """The Bind message for these arguments; raises `DataError` for those that do not fit."""
        pack = self.pack
        if pack is not None and not portal:
            try:
                return pack(arguments)
            except Exception:
                # Whatever it was, the arguments are looked at one by one now.
                pass
        data = self.bind_one_by_one(arguments, portal)
        if not portal:
            self._learn(arguments)
        return data

    def packer(self, follower: bytes) -> Packer:
        """What makes Bind messages in bulk, each with ``follower`` behind it."""
        return Packer(self._encoders, Frame(self._head, self._tail, b"B", follower))

    def _learn(self, arguments: Sequence[object]) -> None:
        """The compiled function, if there is one, did not expect these arguments."""
        self._uses += 1
        if self._packer is None:
            if self._uses < _FIRST_COMPILATION:
                return
            self._packer = self.packer(b"")
        elif not self._packer.missed(arguments):
            return
        self.pack = self._packer.pack()

    def bind_one_by_one(self, arguments: Sequence[object], portal: str = "") -> bytes:
        """As `bind`, in the obvious way."""
        encoders = self._encoders
        if len(arguments) != len(encoders):
            raise DataError(
                f"the statement has {len(encoders)} parameters; {len(arguments)} arguments were given"
            )
        parts = [b"B", b"", portal.encode(), self._head]
        pack = _LENGTH.pack
        for value, encode in zip(arguments, encoders, strict=True):
            if value is None:
                parts.append(_NULL)
                continue
            try:
                data = encode(value)
            except Exception as error:
                # Not only a DataError: methods of the value itself may run, and raise whatever they like.
                raise self._explain(arguments, error) from error
            parts.append(pack(len(data)))
            parts.append(data)
        parts.append(self._tail)
        length = 3 + sum(map(len, parts))
        if length > MAX_FRAME_LENGTH:
            raise DataError(f"the arguments take {length} bytes; a message has at most {MAX_FRAME_LENGTH}")
        parts[1] = pack(length)
        return b"".join(parts)

    def _explain(self, arguments: Sequence[object], cause: Exception) -> DataError:
        """The error with the position of the argument, which the one who encodes it does not know."""
        for position, (value, encode) in enumerate(zip(arguments, self._encoders, strict=True), 1):
            if value is None:
                continue
            try:
                encode(value)
            except DataError as error:
                return DataError(f"parameter ${position}: {error}")
            except Exception as error:
                kind = type(error).__qualname__
                return DataError(
                    f"parameter ${position}: encoding a {type(value).__qualname__} raised {kind}"
                )
        return DataError(f"an argument could not be encoded: {type(cause).__qualname__}")

    def decoder(self, factory: RowFactory) -> tuple[Decoder, UsualReply]:
        """What turns this statement's rows into objects, compiled once for each way to make them; and what
        takes its replies at one go."""
        decoder = self.decoders.get(factory.key)
        if decoder is None:
            decoder = self.decoders[factory.key] = compile_reader(self.codecs, factory.make(self.names))
        return decoder


def _formats(codes: Sequence[int]) -> bytes:
    """The result formats of a Bind message: one code for all columns where they agree."""
    if len(set(codes)) == 1:
        codes = codes[:1]
    return struct.pack(f"!H{len(codes)}h", len(codes), *codes)


class PreparedStatement:
    """A statement that a caller holds, under a name of its own; it outlives what the server makes of it.

    One that was prepared on a transaction belongs to that, whatever the context in which it is executed.
    """

    __slots__ = ("_scope", "closed", "sql", "statement")

    def __init__(self, sql: str, scope: TransactionScope | None = None) -> None:
        self.sql = sql
        self._scope = scope
        self.statement: Statement | None = None
        """What the server knows; None when that is to be introduced again."""
        self.closed = False

    def current(self) -> Statement | None:
        """The statement to execute; raises `LocalProtocolError` if it has been closed."""
        if self.closed:
            raise LocalProtocolError("the prepared statement is closed")
        return self.statement

    def open_lease(self) -> Lease | None:
        """What it is executed under, None for that of the caller's context; raises if that has ended."""
        scope = self._scope
        if scope is None:
            return None
        try:
            return scope.open_lease()
        except LocalProtocolError:
            raise LocalProtocolError(
                "the statement was prepared on a transaction that has ended; "
                "one that is prepared on the session can be used for longer"
            ) from None

    def last_lease(self) -> Lease | None:
        """What it is closed under: its transaction may have ended."""
        scope = self._scope
        return None if scope is None or scope.is_over else scope.lease


class StatementCache:
    """Described statements by their SQL, the least recently used evicted first.

    ``prefix`` makes the names unique among all sessions of the server, for a pooler between may show one
    session's statements to another; no name is ever used twice. If they are to be ``unnamed``, it remembers
    what the server said of them, and they are parsed anew for each use.
    """

    __slots__ = ("_capacity", "_counter", "_named", "_prefix", "_statements", "evicted", "find", "touch")

    def __init__(self, capacity: int, prefix: str, *, unnamed: bool = False) -> None:
        self._capacity = capacity
        self._prefix = prefix
        self._named = capacity > 0 and not unnamed
        self._counter = 0
        self._statements: OrderedDict[str, Statement] = OrderedDict()
        # The dictionary's own methods: they are asked for each request, often more than once.
        self.find: Callable[[str], Statement | None] = self._statements.get
        """``find(sql)`` is the statement, if it is known."""
        self.touch: Callable[[str], None] = self._statements.move_to_end
        """``touch(sql)`` makes a statement that is known the most recently used."""
        self.evicted: list[str] = []
        """Names of statements that are to be closed with the next group."""

    def __len__(self) -> int:
        return len(self._statements)

    def name_to_give(self) -> str:
        """What to call a statement that is introduced now; empty where names must not be used."""
        return self.new_name() if self._named else ""

    def new_name(self) -> str:
        """A name that no statement has had."""
        self._counter += 1
        return f"{self._prefix}{self._counter}"

    def add(self, statement: Statement) -> None:
        """Remember a statement; one too many is evicted."""
        if self._capacity == 0:
            return
        old = self._statements.pop(statement.sql, None)
        if old is not None:
            self._forget(old)
        self._statements[statement.sql] = statement
        if len(self._statements) > self._capacity:
            self._forget(self._statements.popitem(last=False)[1])

    def renew(self, statement: Statement) -> None:
        """Take this for the statement of the same SQL and name, if that is still there."""
        if statement.sql in self._statements:
            self._statements[statement.sql] = statement

    def discard(self, statement: Statement) -> None:
        """Forget a statement that turned out stale."""
        if self._statements.get(statement.sql) is statement:
            del self._statements[statement.sql]
            self._forget(statement)

    def discard_all(self) -> None:
        """Forget all of them, whether the server still has them or not."""
        for statement in self._statements.values():
            self._forget(statement)
        self._statements.clear()

    def close(self, statement: Statement) -> None:
        """Have the server drop a statement that is not, or not any more, among these."""
        self._forget(statement)

    def clear(self) -> None:
        """Forget everything, because the server has."""
        self._statements.clear()
        self.evicted.clear()

    def _forget(self, statement: Statement) -> None:
        if statement.name:
            self.evicted.append(statement.name)

    def take_closes(self) -> tuple[bytes, tuple[Step, ...]]:
        """Close messages for those that are evicted, to travel at the head of the next group."""
        evicted, self.evicted = self.evicted, []
        return b"".join([m.Close("S", name).encode() for name in evicted]), (Step.CLOSE,) * len(evicted)
