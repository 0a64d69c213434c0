"""json, jsonb and jsonpath.

Chapter "Data Types", section "JSON Types". JSON travels as Python objects, both ways, by the rules of the
standard `json` module: a `str` parameter is a JSON string, `"a"` becomes `"\"a\""`. Pass JSON that is already
text as `JsonText('{"a": 1}')`. NaN and the infinities, which JSON has not, are errors. SQL's NULL is None;
JSON's null, which decodes to None too, is sent as `JsonText("null")`.

A jsonpath is a `str`.
"""

from __future__ import annotations

import json
from typing import Final

from pgproto._dataclasses import dataclass
from pgproto.types._codec import BINARY, Codec, Decode, Encode, malformed, shortened, wrong_value
from pgproto.types._text import text_decoder, text_encoder

__all__ = ["JSON_CODECS", "JsonText", "versioned_codec"]

_VERSION = b"\x01"
"""The first byte of the binary form of jsonb and jsonpath: the version of what follows."""


_to_json: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class JsonText:
    """JSON that is text already, to be sent as it is; what makes no JSON is the server's to refuse."""

    text: str

    def __str__(self) -> str:
        return self.text


def _json_encoder(name: str) -> Encode:
    encode_text = text_encoder(name)

    def encode(value: object) -> bytes:
        if isinstance(value, JsonText):
            return encode_text(value.text)
        try:
            text = _to_json(value)
        except RecursionError:
            raise wrong_value(name, value, "nested too deeply") from None
        except Exception as error:
            raise wrong_value(name, value, str(error) or type(error).__name__) from error
        return encode_text(text)

    return encode


def _json_decoder(name: str) -> Decode:
    def decode(data: bytes) -> object:
        try:
            return json.loads(data.decode())
        except RecursionError:
            raise malformed(name, "nested too deeply") from None
        except ValueError as error:
            raise malformed(name, f"{error}: {shortened(data)}") from None

    return decode


def _versioned_encoder(encode_text: Encode) -> Encode:
    def encode(value: object) -> bytes:
        return _VERSION + encode_text(value)

    return encode


def _versioned_decoder(name: str, decode_text: Decode) -> Decode:
    def decode(data: bytes) -> object:
        if data[:1] != _VERSION:
            raise malformed(name, f"unknown version {data[:1]!r}")
        return decode_text(data[1:])

    return decode


def versioned_codec(
    oid: int, name: str, encode: Encode, decode: Decode, *, takes_sequences: bool = False
) -> Codec:
    """A codec for a type whose binary form is a version byte and the text form."""
    return Codec(
        oid=oid,
        name=name,
        format=BINARY,
        encode=_versioned_encoder(encode),
        decode=_versioned_decoder(name, decode),
        encode_text=encode,
        decode_text=decode,
        takes_sequences=takes_sequences,
    )


_encode_json = _json_encoder("json")
_decode_json = _json_decoder("json")

JSON_CODECS: Final = (
    Codec(
        oid=114,
        name="json",
        format=BINARY,
        encode=_encode_json,
        decode=_decode_json,
        encode_text=_encode_json,
        decode_text=_decode_json,
        takes_sequences=True,
    ),
    versioned_codec(3802, "jsonb", _json_encoder("jsonb"), _json_decoder("jsonb"), takes_sequences=True),
    versioned_codec(4072, "jsonpath", text_encoder("jsonpath"), text_decoder("jsonpath")),
)
