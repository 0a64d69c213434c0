"""Text and bytes: text, varchar, bpchar, name, "char", unknown, cstring, refcursor, bytea, xml, void.

Chapter "Data Types", sections "Character Types", "Binary Data Types", "XML Type" and "Pseudo-Types".

Text is `str`, and nothing is turned into text by itself: a number for a text parameter is an error, a member
of an `Enum` whose value is a string is that string. A NUL character and lone surrogates, which PostgreSQL
cannot hold, are errors. A bpchar keeps the spaces that it is padded with. `"char"` is one byte: `""` for
zero, one ASCII character, or a backslash and three octal digits, as PostgreSQL 16 and later print the others.

bytea takes `bytes`, `bytearray`, `memoryview` and any other buffer, and gives `bytes`. void gives None.
"""

from __future__ import annotations

import re
from typing import Final

from pgproto._patterns import pattern
from pgproto.types._codec import (
    BINARY,
    TEXT,
    Codec,
    Decode,
    Encode,
    malformed,
    shortened,
    unwrapped,
    wrong_value,
)

__all__ = ["TEXT_CODECS", "decode_text", "encode_text", "text_codec", "text_decoder", "text_encoder"]

_CHAR_ESCAPE = pattern(r"\\([0-3][0-7][0-7])")
_XML_ENCODING = pattern(r"""\s*<\?xml\b[^>]*?\bencoding\s*=\s*["']([A-Za-z0-9._-]*)["']""")


def text_encoder(name: str) -> Encode:
    """Encodes `str` for a type of this name."""

    def encode(value: object) -> bytes:
        if not isinstance(value, str):
            plain = unwrapped(value)
            if isinstance(plain, str):
                return encode(plain)
            raise wrong_value(name, value, "it takes a str")
        try:
            data = str.encode(value)
        except UnicodeEncodeError as error:
            raise wrong_value(name, value, f"no character of Unicode at index {error.start}") from None
        if b"\x00" in data:
            raise wrong_value(name, value, "PostgreSQL's text cannot hold the character NUL")
        return data

    return encode


def text_decoder(name: str) -> Decode:
    """Decodes UTF-8 for a type of this name."""

    def decode(data: bytes) -> object:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise malformed(name, f"not UTF-8 at byte {error.start}: {shortened(data)}") from None

    return decode


encode_text = text_encoder("text")
decode_text = text_decoder("text")


def text_codec(oid: int, name: str, format: int) -> Codec:
    """A codec for a type whose values are `str` and whose two formats are the same bytes."""
    encode, decode = text_encoder(name), text_decoder(name)
    if format == TEXT:
        return Codec(oid=oid, name=name, format=TEXT, encode=encode, decode=decode)
    return Codec(
        oid=oid,
        name=name,
        format=BINARY,
        encode=encode,
        decode=decode,
        encode_text=encode,
        decode_text=decode,
    )


def _char_text(byte: int) -> str:
    return "" if byte == 0 else chr(byte) if byte < 0x80 else f"\\{byte:03o}"


def _encode_char(value: object) -> bytes:
    plain = unwrapped(value)
    if not isinstance(plain, str):
        raise wrong_value('"char"', value, "it takes a str of at most one character")
    if plain == "":
        return b"\x00"
    escape = _CHAR_ESCAPE.fullmatch(plain)
    if escape is not None:
        return bytes([int(escape[1], 8)])
    if len(plain) > 1 or not "\x00" < plain < "\x80":
        raise wrong_value(
            '"char"', value, "it takes one ASCII character, or a backslash and three octal digits"
        )
    return plain.encode("ascii")


def _decode_char(data: bytes) -> object:
    if len(data) != 1:
        raise malformed('"char"', f"{len(data)} bytes instead of 1")
    return _char_text(data[0])


def _encode_char_text(value: object) -> bytes:
    return _char_text(_encode_char(value)[0]).encode("ascii")


def _decode_char_text(data: bytes) -> object:
    if data == b"":
        return ""
    if len(data) == 1:
        return _char_text(data[0])
    text = decode_text(data)
    escape = _CHAR_ESCAPE.fullmatch(str(text))
    if escape is None:
        raise malformed('"char"', f"more than one character: {shortened(data)}")
    return _char_text(int(escape[1], 8))


def _encode_bytea(value: object) -> bytes:
    if type(value) is bytes:
        return value
    try:
        return memoryview(value).tobytes()  # type: ignore[arg-type]  # it raises TypeError for what is no buffer
    except (TypeError, ValueError, BufferError):
        pass
    plain = unwrapped(value)
    if plain is not value:
        return _encode_bytea(plain)
    raise wrong_value("bytea", value, "it takes bytes, a bytearray, a memoryview or another buffer")


def _decode_bytea(data: bytes) -> object:
    return data


def _encode_bytea_text(value: object) -> bytes:
    return b"\\x" + _encode_bytea(value).hex().encode("ascii")


_BYTEA_ESCAPE = pattern(rb"\\(?:(\\)|([0-3][0-7][0-7]))|\\")


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return b"\\"
    if match[2]:
        return bytes([int(match[2], 8)])
    raise malformed("bytea", f"a lone backslash at byte {match.start()}")


def _decode_bytea_text(data: bytes) -> object:
    if not data.startswith(b"\\x"):
        # What a server sends whose bytea_output is "escape".
        return _BYTEA_ESCAPE.sub(_unescaped, data)
    try:
        digits = data[2:].decode("ascii")
        value = bytes.fromhex(digits)
    except ValueError:
        raise malformed("bytea", f"no hexadecimal digits: {shortened(data)}") from None
    if len(digits) != 2 * len(value):
        # fromhex skips white space.
        raise malformed("bytea", f"no hexadecimal digits: {shortened(data)}")
    return value


_encode_xml = text_encoder("xml")


def _encode_xml_binary(value: object) -> bytes:
    # In binary format the server believes the XML declaration, not client_encoding.
    data = _encode_xml(value)
    declared = _XML_ENCODING.match(str(unwrapped(value)))
    if declared is not None and declared[1].lower() not in ("utf-8", "utf8"):
        raise wrong_value("xml", value, f"it declares the encoding {declared[1]}, and a str is sent as UTF-8")
    return data


def _encode_void(value: object) -> bytes:
    raise wrong_value("void", value, "there are no values of this type")


def _decode_void(data: bytes) -> None:
    if data:
        raise malformed("void", f"{len(data)} bytes instead of none")


TEXT_CODECS: Final = (
    text_codec(25, "text", BINARY),
    text_codec(1043, "varchar", BINARY),
    text_codec(1042, "bpchar", BINARY),
    text_codec(19, "name", BINARY),
    text_codec(1790, "refcursor", BINARY),
    text_codec(2275, "cstring", BINARY),
    # Literals in a record are of this type, and come in binary format as they are.
    Codec(
        oid=705,
        name="unknown",
        format=TEXT,
        encode=text_encoder("unknown"),
        decode=text_decoder("unknown"),
        encode_binary=text_encoder("unknown"),
        decode_binary=text_decoder("unknown"),
    ),
    Codec(
        oid=18,
        name='"char"',
        format=BINARY,
        encode=_encode_char,
        decode=_decode_char,
        encode_text=_encode_char_text,
        decode_text=_decode_char_text,
    ),
    Codec(
        oid=17,
        name="bytea",
        format=BINARY,
        encode=_encode_bytea,
        decode=_decode_bytea,
        encode_text=_encode_bytea_text,
        decode_text=_decode_bytea_text,
    ),
    Codec(
        oid=142,
        name="xml",
        format=TEXT,
        encode=_encode_xml,
        decode=text_decoder("xml"),
        encode_binary=_encode_xml_binary,
        decode_binary=text_decoder("xml"),
    ),
    Codec(
        oid=2278,
        name="void",
        format=BINARY,
        encode=_encode_void,
        decode=_decode_void,
        encode_text=_encode_void,
        decode_text=_decode_void,
    ),
)
