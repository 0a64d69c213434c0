"""Hypothesis strategies for everything that goes over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hypothesis import strategies as st

from pgproto import messages as m
from pgproto.messages import Message, Role

__all__ = ["MESSAGES", "chunkings", "cstrings", "messages", "mutations", "values"]


def cstrings(max_size: int = 40) -> st.SearchStrategy[str]:
    """Text as it can stand in a message, and bytes that are not UTF-8 as Python stands in for them."""
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=max_size)
    raw = st.binary(max_size=max_size).map(
        lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")
    )
    return text | raw


def values() -> st.SearchStrategy[bytes | None]:
    """The value of a field: NULL, empty, or some bytes."""
    return st.none() | st.binary(max_size=40)


def _tuples(items: st.SearchStrategy[object], max_size: int = 5) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(items, max_size=max_size).map(tuple)


_names: Final = cstrings(20).filter(bool)
_text: Final = cstrings()
_bytes: Final = st.binary(max_size=60)
_int16: Final = st.integers(-(2**15), 2**15 - 1)
_int32: Final = st.integers(-(2**31), 2**31 - 1)
_oid: Final = st.integers(0, 2**32 - 1)
_formats: Final = _tuples(st.integers(0, 1))
_values: Final = _tuples(values())
_keys: Final = st.binary(min_size=4, max_size=256)
_versions: Final = st.integers(0, 2**16 - 1).map(lambda minor: 3 << 16 | minor)
_reports: Final = st.dictionaries(st.characters(min_codepoint=1, max_codepoint=255), _text, max_size=8)
_fields: Final = st.builds(m.FieldDescription, _text, _oid, _int16, _oid, _int16, _int32, st.integers(0, 1))

_ByClass = Mapping[type[Message], st.SearchStrategy[Message]]

_FRONTEND: Final[_ByClass] = {
    m.Bind: st.builds(m.Bind, _text, _text, _formats, _values, _formats),
    m.CancelRequest: st.builds(m.CancelRequest, _int32, _keys),
    m.Close: st.builds(m.Close, st.sampled_from("SP"), _text),
    m.CopyData: st.builds(m.CopyData, _bytes),
    m.CopyDone: st.just(m.CopyDone()),
    m.CopyFail: st.builds(m.CopyFail, _text),
    m.Describe: st.builds(m.Describe, st.sampled_from("SP"), _text),
    m.Execute: st.builds(m.Execute, _text, _int32),
    m.Flush: st.just(m.Flush()),
    m.FunctionCall: st.builds(m.FunctionCall, _oid, _formats, _values, st.integers(0, 1)),
    m.GSSENCRequest: st.just(m.GSSENCRequest()),
    m.GSSResponse: st.builds(m.GSSResponse, _bytes),
    m.Parse: st.builds(m.Parse, _text, _text, _tuples(_oid)),
    m.PasswordMessage: st.builds(m.PasswordMessage, _text),
    m.Query: st.builds(m.Query, _text),
    m.SASLInitialResponse: st.builds(m.SASLInitialResponse, _names, values()),
    m.SASLResponse: st.builds(m.SASLResponse, _bytes),
    m.SSLRequest: st.just(m.SSLRequest()),
    m.StartupMessage: st.builds(m.StartupMessage, st.dictionaries(_names, _text, max_size=5), _versions),
    m.Sync: st.just(m.Sync()),
    m.Terminate: st.just(m.Terminate()),
}

_BACKEND: Final[_ByClass] = {
    m.AuthenticationCleartextPassword: st.just(m.AuthenticationCleartextPassword()),
    m.AuthenticationGSS: st.just(m.AuthenticationGSS()),
    m.AuthenticationGSSContinue: st.builds(m.AuthenticationGSSContinue, _bytes),
    m.AuthenticationKerberosV5: st.just(m.AuthenticationKerberosV5()),
    m.AuthenticationMD5Password: st.builds(m.AuthenticationMD5Password, st.binary(min_size=4, max_size=4)),
    m.AuthenticationOk: st.just(m.AuthenticationOk()),
    m.AuthenticationSASL: st.builds(m.AuthenticationSASL, _tuples(_names)),
    m.AuthenticationSASLContinue: st.builds(m.AuthenticationSASLContinue, _bytes),
    m.AuthenticationSASLFinal: st.builds(m.AuthenticationSASLFinal, _bytes),
    m.AuthenticationSSPI: st.just(m.AuthenticationSSPI()),
    m.BackendKeyData: st.builds(m.BackendKeyData, _int32, _keys),
    m.BindComplete: st.just(m.BindComplete()),
    m.CloseComplete: st.just(m.CloseComplete()),
    m.CommandComplete: st.builds(m.CommandComplete, _text),
    m.CopyBothResponse: st.builds(m.CopyBothResponse, st.integers(0, 1), _formats),
    m.CopyData: st.builds(m.CopyData, _bytes),
    m.CopyDone: st.just(m.CopyDone()),
    m.CopyInResponse: st.builds(m.CopyInResponse, st.integers(0, 1), _formats),
    m.CopyOutResponse: st.builds(m.CopyOutResponse, st.integers(0, 1), _formats),
    m.DataRow: st.builds(m.DataRow, _values),
    m.EmptyQueryResponse: st.just(m.EmptyQueryResponse()),
    m.EncryptionResponse: st.builds(m.EncryptionResponse, st.sampled_from([b"S", b"N", b"G"])),
    m.ErrorResponse: st.builds(m.ErrorResponse, _reports),
    m.FunctionCallResponse: st.builds(m.FunctionCallResponse, values()),
    m.NegotiateProtocolVersion: st.builds(m.NegotiateProtocolVersion, _oid, _tuples(_text)),
    m.NoData: st.just(m.NoData()),
    m.NoticeResponse: st.builds(m.NoticeResponse, _reports),
    m.NotificationResponse: st.builds(m.NotificationResponse, _int32, _text, _text),
    m.ParameterDescription: st.builds(m.ParameterDescription, _tuples(_oid)),
    m.ParameterStatus: st.builds(m.ParameterStatus, _text, _text),
    m.ParseComplete: st.just(m.ParseComplete()),
    m.PortalSuspended: st.just(m.PortalSuspended()),
    m.ReadyForQuery: st.builds(m.ReadyForQuery, st.sampled_from("ITE")),
    m.RowDescription: st.builds(m.RowDescription, _tuples(_fields)),
}

MESSAGES: Final = {Role.FRONTEND: _FRONTEND, Role.BACKEND: _BACKEND}
"""How to make each class of messages, by who sends it."""


def messages(role: Role) -> st.SearchStrategy[Message]:
    """Any message that a party of this role can send."""
    return st.one_of(list(MESSAGES[role].values()))


@st.composite
def chunkings(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes, cut anywhere; no piece is empty."""
    cuts = sorted(draw(st.sets(st.integers(1, max(len(data) - 1, 1)), max_size=30)))
    ends = [cut for cut in cuts if cut < len(data)]
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True) if start < end]


@st.composite
def mutations(draw: st.DrawFn, data: bytes) -> bytes:
    """The same bytes with one part of them replaced, left out or added to."""
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, min(start + 8, len(data))))
    return data[:start] + draw(st.binary(max_size=8)) + data[end:]
