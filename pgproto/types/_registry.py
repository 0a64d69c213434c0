"""`TypeRegistry`: which codec goes with which OID."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any, Final, Literal, NoReturn, TypeAlias

from pgproto.errors import DataError
from pgproto.types._arrays import array_codec
from pgproto.types._builtin import (
    BUILTIN_ARRAYS,
    BUILTIN_CODECS,
    CONTAINERS,
    RECORD,
    SQL_NAMES,
    container_codec,
)
from pgproto.types._codec import (
    BINARY,
    MAX_DEPTH,
    TEXT,
    Codec,
    Decode,
    Encode,
    malformed,
    shortened,
    wrong_value,
)
from pgproto.types._composites import composite_codec, record_codec
from pgproto.types._extensions import EXTENSION_CODECS
from pgproto.types._introspection import INTROSPECTION_SQL, TypeDescription, description
from pgproto.types._ranges import multirange_codec, range_codec
from pgproto.types._temporal import Overflow, temporal_codecs
from pgproto.types._text import text_codec, text_encoder

__all__ = ["CodecFormat", "TypeRegistry"]

CodecFormat: TypeAlias = Literal["text", "binary"]

_FORMATS: Final = {"text": TEXT, "binary": BINARY}

_GENERATIONS: Final = count(1)

_BUILTIN_NAMES: Final = BUILTIN_CODECS.names()


class TypeRegistry:
    """The codecs of one database, as far as they are known: the built-in ones, and what was added here.

    Built-in types need nothing. Of a type that the database defines (an enum, a composite, a domain, a type
    of an extension, or an array or range of these) the server must be asked once: `unknown` says which OIDs,
    `introspection_query` how to ask, `learn` takes the answer. Until then, and for types that no codec is
    known for, values travel as text, as `str` both ways.

    OIDs above 10,000 differ between databases: share a registry between sessions of one database only. Of its
    methods, any number of threads may call `codec` at a time.

    Args:
        overflow: what becomes of dates and times that `datetime` cannot hold: "wrap", "raise" or "text".
    """

    __slots__ = (
        "_codecs",
        "_custom",
        "_custom_by_name",
        "_custom_to_come",
        "_known",
        "_overflow",
        "generation",
    )

    def __init__(self, *, overflow: Overflow = "wrap") -> None:
        self._overflow: Overflow = overflow
        self.generation: int = next(_GENERATIONS)
        """Grows with each change: a row decoder that was made from codecs of an earlier one is outdated.

        No two registries have the same, so a session that goes from one to another cannot mix them up.
        """
        self._known: dict[int, TypeDescription | None] = {}
        self._custom_by_name: dict[str, _Functions] = {}
        self._custom_to_come: dict[int, tuple[_Functions, ...]] = {}
        self._custom = {codec.oid: codec for codec in self._temporal()}
        self._codecs: dict[int, Codec] = {}
        self._forget_codecs()

    def copy(self) -> TypeRegistry:
        """Another registry that knows the same; what is registered in one does not show in the other."""
        other = TypeRegistry(overflow=self._overflow)
        other._known = dict(self._known)
        other._custom = dict(self._custom)
        other._custom_by_name = dict(self._custom_by_name)
        other._custom_to_come = dict(self._custom_to_come)
        other._forget_codecs()
        return other

    def codec(self, oid: int) -> Codec:
        """The codec for a type; for an unknown one a codec of the text format, with `str` for values."""
        try:
            return self._codecs[oid]
        except KeyError:
            return self._resolve(oid, ())

    def find(self, name: str) -> Codec | None:
        """The codec of a known type by its name in `pg_type`, such as "int4", or "schema.name"; None if
        unknown."""
        oid = _BUILTIN_NAMES.get(name.removeprefix("pg_catalog."))
        if oid is None:
            for known in list(self._known.values()):
                if known is not None and name in (known.name, known.qualified_name):
                    oid = known.oid
        return None if oid is None else self.codec(oid)

    # Custom codecs

    def register(self, codec: Codec) -> None:
        """Takes this codec for its OID; arrays and other types made of it follow."""
        self._custom[codec.oid] = codec
        self._forget_codecs()

    def set_codec(
        self,
        type: str | int,
        *,
        encoder: Callable[[Any], Any] | None = None,
        decoder: Callable[[Any], object] | None = None,
        format: CodecFormat = "text",
        takes_sequences: bool = False,
    ) -> None:
        """Takes these functions for the values of a type, which then travels in this format only.

        In the text format ``encoder`` returns a `str` and ``decoder`` gets one; in the binary format it is
        `bytes`. Both are pure functions; an exception of theirs becomes a `DataError`. One that is not given
        stays what it was. Arrays and other types made of this one follow.

            registry.set_codec("numeric", encoder=str, decoder=float)

        Args:
            type: the OID, or the name as in `pg_type`: "numeric", "mood", or with its schema "public.mood";
                for built-in types also what SQL calls them, such as "integer". What is not known yet counts
                from when the type is looked up.
            takes_sequences: whether one value may be a list or tuple, so that an array has one dimension.

        Raises:
            DataError: there is no such format.
        """
        code = _FORMATS.get(format)
        if code is None:
            raise DataError(f'the format is "text" or "binary", not {shortened(format)}')
        functions = _Functions(encoder, decoder, code, takes_sequences)
        if isinstance(type, int):
            if self.unknown((type,)) or type in self._custom_to_come:
                # What it is otherwise, for the direction that is not given, is not known yet.
                self._custom_to_come[type] = (*self._custom_to_come.get(type, ()), functions)
            self.register(functions.applied_to(self.codec(type)))
            return
        name = SQL_NAMES.get(type, type)
        known = self.find(name)
        self._custom_by_name[name] = functions
        if known is not None:
            self.register(functions.applied_to(known))

    def reset_codec(self, type: str | int) -> None:
        """Takes back what was registered for a type, given its OID or the name that was used for it."""
        if isinstance(type, str):
            name = SQL_NAMES.get(type, type)
            self._custom_by_name.pop(name, None)
            known = self.find(name)
            oid = None if known is None else known.oid
        else:
            oid = type
        if oid is not None:
            self._custom.pop(oid, None)
            self._custom_to_come.pop(oid, None)
            self._custom |= {codec.oid: codec for codec in self._temporal() if codec.oid == oid}
        self._forget_codecs()

    def _temporal(self) -> Iterable[Codec]:
        return () if self._overflow == "wrap" else temporal_codecs(self._overflow)

    # Types of the database

    def unknown(self, oids: Iterable[int]) -> set[int]:
        """Those of these types that the server has to be asked about."""
        return {
            oid
            for oid in oids
            if oid and oid not in BUILTIN_CODECS and oid not in self._known
            if oid not in self._custom or oid in self._custom_to_come
        }

    def introspection_query(self, oids: Iterable[int]) -> tuple[str, tuple[list[int]]]:
        """The SQL and its one argument; the rows of its result are for `learn`."""
        return INTROSPECTION_SQL, (sorted(set(oids)),)

    def learn(self, rows: Iterable[Sequence[object]], requested: Iterable[int] = ()) -> None:
        """Takes the rows that `introspection_query` brought.

        Args:
            rows: each a sequence of the columns' values, decoded.
            requested: the OIDs that were asked about. The ones without a row (dropped meanwhile) travel as
            text,
                and are not unknown any more.

        Raises:
            DataError: a row is not what was asked for; nothing is learned.
        """
        found: dict[int, TypeDescription | None] = dict.fromkeys(requested)
        found |= {known.oid: known for known in map(description, rows)}
        self._known |= {oid: known for oid, known in found.items() if oid not in BUILTIN_CODECS}
        self._forget_codecs()
        for known in found.values():
            if known is not None:
                self._apply_custom(known)

    def _apply_custom(self, known: TypeDescription) -> None:
        functions = self._custom_by_name.get(known.qualified_name) or self._custom_by_name.get(known.name)
        if functions is not None and known.oid not in BUILTIN_CODECS:
            self._custom.pop(known.oid, None)
            self.register(functions.applied_to(self.codec(known.oid)))
        to_come = self._custom_to_come.pop(known.oid, ())
        if to_come:
            self._custom.pop(known.oid, None)
            self._forget_codecs()
        for each in to_come:
            self.register(each.applied_to(self.codec(known.oid)))

    def forget(self, oids: Iterable[int] | None = None) -> None:
        """Drops what was learned about these types, or about all: they were altered, or dropped and made
        anew."""
        for oid in list(self._known) if oids is None else list(oids):
            known = self._known.pop(oid, None)
            if known is not None and {known.name, known.qualified_name} & self._custom_by_name.keys():
                self._custom.pop(oid, None)
        self._forget_codecs()

    # How OIDs become codecs

    def _forget_codecs(self) -> None:
        self.generation = next(_GENERATIONS)
        self._codecs = {}

    def _resolve(self, oid: int, path: tuple[int, ...]) -> Codec:
        """The codec for an OID that has none in `_codecs` yet; `path` is what it is a part of."""
        # The dictionary of now: what is learned or forgotten meanwhile puts another in its place.
        codecs = self._codecs
        cached = codecs.get(oid)
        if cached is not None:
            return cached
        if oid in path or len(path) >= MAX_DEPTH:
            # PostgreSQL has no types that contain themselves; what a server says that has goes as text.
            return text_codec(oid, f"with OID {oid}", TEXT)
        codec = self._custom.get(oid) or self._builtin(oid, path) or self._learned(oid, path)
        codecs[oid] = codec
        return codec

    def _builtin(self, oid: int, path: tuple[int, ...]) -> Codec | None:
        if oid == RECORD:
            return record_codec(oid, self._find_for_record)
        builtin = BUILTIN_CODECS.get(oid)
        if builtin is None or oid not in CONTAINERS:
            return builtin
        part_oid = CONTAINERS[oid]
        part = self._resolve(part_oid, (*path, oid))
        return builtin if part is BUILTIN_CODECS[part_oid] else container_codec(oid, part)

    def _find_for_record(self, oid: int) -> Codec | None:
        return None if self.unknown((oid,)) else self.codec(oid)

    def _learned(self, oid: int, path: tuple[int, ...]) -> Codec:
        known = self._known.get(oid)
        if known is None:
            return text_codec(oid, f"with OID {oid}", TEXT)
        name = known.qualified_name
        parts = tuple([self._resolve(part, (*path, oid)) for part in known.parts])
        match known.kind:
            case "array":
                return array_codec(oid, name, parts[0], known.delimiter)
            case "range":
                return range_codec(oid, name, parts[0])
            case "multirange":
                return multirange_codec(oid, name, parts[0])
            case "composite":
                return composite_codec(oid, name, known.attribute_names, parts)
            case "domain":
                # A list is then one value, and not a dimension of an array of the domain.
                takes_sequences = parts[0].takes_sequences or self._is_array(known.parts[0])
                return dataclasses.replace(parts[0], oid=oid, name=name, takes_sequences=takes_sequences)
            case "enum":
                return text_codec(oid, name, BINARY)
            case _:
                factory = EXTENSION_CODECS.get((known.extension or "", known.name))
                return text_codec(oid, name, TEXT) if factory is None else factory(oid, name)

    def _is_array(self, oid: int) -> bool:
        known = self._known.get(oid)
        return oid in BUILTIN_ARRAYS if known is None else known.kind == "array"


class _Functions:
    """What `set_codec` was given, to be applied to a type once it is known."""

    __slots__ = ("decode", "encode", "format", "takes_sequences")

    def __init__(
        self,
        encode: Callable[[Any], Any] | None,
        decode: Callable[[Any], object] | None,
        format: int,
        takes_sequences: bool,
    ) -> None:
        self.encode = encode
        self.decode = decode
        self.format = format
        self.takes_sequences = takes_sequences

    def applied_to(self, codec: Codec) -> Codec:
        """A codec of the same type with these functions in place of its own."""
        encode = codec.encode_binary if self.format == BINARY else codec.encode_text
        if self.encode is not None:
            encode = _guarded_encode(codec.name, self.encode, self.format)
        decode = codec.decode_binary if self.format == BINARY else codec.decode_text
        if self.decode is not None:
            decode = _guarded_decode(codec.name, self.decode, self.format)
        # A type that we know no binary form of may be given one for one direction only.
        return Codec(
            oid=codec.oid,
            name=codec.name,
            format=self.format,
            encode=encode or _refuser(codec.name, "encode"),
            decode=decode or _refuser(codec.name, "decode"),
            takes_sequences=self.takes_sequences or (self.encode is None and codec.takes_sequences),
            takes_tuples=self.encode is None and codec.takes_tuples,
        )


def _refuser(name: str, direction: str) -> Callable[[object], NoReturn]:
    def refuse(value: object) -> NoReturn:
        raise DataError(f"the codec of type {name} was given no function to {direction} its binary format")

    return refuse


def _guarded_encode(name: str, function: Callable[[Any], Any], format: int) -> Encode:
    encode_text = text_encoder(name)

    def encode(value: object) -> bytes:
        try:
            result = function(value)
        except DataError:
            raise
        except Exception as error:
            raise wrong_value(name, value, f"its codec failed: {type(error).__name__}: {error}") from error
        if format == TEXT and isinstance(result, str):
            return encode_text(result)
        if isinstance(result, bytes):
            return result
        raise wrong_value(name, value, f"its codec returned {type(result).__name__}")

    return encode


def _guarded_decode(name: str, function: Callable[[Any], object], format: int) -> Decode:
    def decode(data: bytes) -> object:
        try:
            return function(data.decode() if format == TEXT else data)
        except DataError:
            raise
        except Exception as error:
            raise malformed(name, f"its codec failed: {type(error).__name__}: {error}") from error

    return decode
