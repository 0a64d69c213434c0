"""The Arrow C stream interface: handing columns over without knowing to whom.

Chapters "The Arrow C data interface", "The Arrow C stream interface" and "The Arrow PyCapsule Interface" of
Arrow's documentation. Each structure owns itself: its ``private_data`` is a reference to a Python object that
keeps alive all that it points to, and its ``release`` gives that up. A consumer may move structures, so
nothing here knows where they are.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Final

from pgproto._columns._arrow import ArrowColumn

__all__ = ["stream_capsule"]

_NAME: Final = b"arrow_array_stream"
_NULLABLE: Final = 2


class _Schema(ctypes.Structure):
    pass


class _Array(ctypes.Structure):
    pass


class _Stream(ctypes.Structure):
    pass


_RELEASE_SCHEMA = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Schema))
_RELEASE_ARRAY = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Array))
_RELEASE_STREAM = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Stream))
_GET_SCHEMA = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Schema))
_GET_NEXT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Array))
_GET_LAST_ERROR = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_Stream))

_Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
    ("dictionary", ctypes.POINTER(_Schema)),
    ("release", _RELEASE_SCHEMA),
    ("private_data", ctypes.c_void_p),
]
_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    ("dictionary", ctypes.POINTER(_Array)),
    ("release", _RELEASE_ARRAY),
    ("private_data", ctypes.c_void_p),
]
_Stream._fields_ = [
    ("get_schema", _GET_SCHEMA),
    ("get_next", _GET_NEXT),
    ("get_last_error", _GET_LAST_ERROR),
    ("release", _RELEASE_STREAM),
    ("private_data", ctypes.c_void_p),
]

# Functions of our own, for those of ctypes.pythonapi are shared with everybody.
_increment = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("Py_IncRef", ctypes.pythonapi))
_decrement = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(("Py_DecRef", ctypes.pythonapi))
_DESTRUCTOR = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, _DESTRUCTOR)(
    ("PyCapsule_New", ctypes.pythonapi)
)
_capsule_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_set_context = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_void_p)(
    ("PyCapsule_SetContext", ctypes.pythonapi)
)
_context = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(("PyCapsule_GetContext", ctypes.pythonapi))

_EMPTY: Final = bytes(64)
_OUT_OF_MEMORY: Final = 12


class _Table:
    """What a stream is the stream of: one batch, handed out once."""

    __slots__ = ("columns", "handed_out", "names", "rows")

    def __init__(self, names: Sequence[str], columns: Sequence[ArrowColumn], rows: int) -> None:
        self.names = names
        self.columns = columns
        self.rows = rows
        self.handed_out = False


def stream_capsule(names: Sequence[str], columns: Sequence[ArrowColumn], rows: int) -> object:
    """A PyCapsule with an ArrowArrayStream of one batch with these columns."""
    stream = _Stream(_CALLED_GET_SCHEMA, _CALLED_GET_NEXT, _CALLED_GET_LAST_ERROR, _CALLED_RELEASE_STREAM)
    _keep(stream, _Table(names, columns, rows))
    capsule: object = _new_capsule(ctypes.addressof(stream), _NAME, _CALLED_DESTRUCTOR)
    _increment(stream)
    _set_context(capsule, id(stream))
    return capsule


def _keep(structure: _Schema | _Array | _Stream, things: object) -> None:
    """Keep these alive until the structure is released."""
    _increment(things)
    structure.private_data = id(things)


def _fill_schema(schema: _Schema, name: str, format: str, children: Sequence[_Schema] = ()) -> None:
    texts = format.encode(), name.encode("utf-8", "replace")
    pointers = (ctypes.POINTER(_Schema) * len(children))(*map(ctypes.pointer, children))
    schema.format, schema.name = texts
    schema.metadata = None
    schema.flags = _NULLABLE
    schema.n_children = len(children)
    schema.children = ctypes.cast(pointers, ctypes.POINTER(ctypes.POINTER(_Schema)))
    schema.dictionary = None
    schema.release = _CALLED_RELEASE_SCHEMA
    _keep(schema, (texts, pointers, children))


def _fill_array(array: _Array, rows: int, column: ArrowColumn, children: Sequence[_Array] = ()) -> None:
    owned = [_address(buffer) for buffer in column.buffers]
    buffers = (ctypes.c_void_p * len(owned))(*[address for address, _ in owned])
    pointers = (ctypes.POINTER(_Array) * len(children))(*map(ctypes.pointer, children))
    array.length = rows
    array.null_count = column.nulls
    array.offset = 0
    array.n_buffers = len(owned)
    array.n_children = len(children)
    array.buffers = ctypes.cast(buffers, ctypes.POINTER(ctypes.c_void_p))
    array.children = ctypes.cast(pointers, ctypes.POINTER(ctypes.POINTER(_Array)))
    array.dictionary = None
    array.release = _CALLED_RELEASE_ARRAY
    _keep(array, (column, owned, buffers, pointers, children))


def _address(buffer: bytes | bytearray | None) -> tuple[int | None, object]:
    """Where the buffer is, and what keeps it there."""
    if buffer is None:
        return None, None
    if not buffer:
        buffer = _EMPTY
    if isinstance(buffer, bytearray):
        exported = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        return ctypes.addressof(exported), exported
    return ctypes.cast(ctypes.c_char_p(buffer), ctypes.c_void_p).value, buffer


def _table(stream: Any) -> _Table:
    table: _Table = ctypes.cast(stream.contents.private_data, ctypes.py_object).value
    return table


def _get_schema(stream: Any, out: Any) -> int:
    try:
        table = _table(stream)
        children = [_Schema() for _ in table.columns]
        for child, name, column in zip(children, table.names, table.columns, strict=True):
            _fill_schema(child, name, column.format)
        _fill_schema(out.contents, "", "+s", children)
    except MemoryError:
        return _OUT_OF_MEMORY
    return 0


def _get_next(stream: Any, out: Any) -> int:
    try:
        table = _table(stream)
        if table.handed_out:
            # A released array says that there are no more.
            out.contents.release = _RELEASE_ARRAY()
            return 0
        children = [_Array() for _ in table.columns]
        for child, column in zip(children, table.columns, strict=True):
            _fill_array(child, table.rows, column)
        _fill_array(out.contents, table.rows, ArrowColumn("+s", 0, (None,)), children)
        table.handed_out = True
    except MemoryError:
        return _OUT_OF_MEMORY
    return 0


def _get_last_error(_stream: Any) -> None:
    return None


def _release(structure: Any, nothing: Any) -> None:
    kept = structure.private_data
    structure.private_data = None
    structure.release = nothing
    _decrement(kept)


def _release_children(structure: Any) -> None:
    for i in range(structure.n_children):
        child = structure.children[i]
        # One that a consumer has moved away is no more ours to release.
        if child.contents.release:
            child.contents.release(child)


def _release_schema(schema: Any) -> None:
    _release_children(schema.contents)
    _release(schema.contents, _RELEASE_SCHEMA())


def _release_array(array: Any) -> None:
    _release_children(array.contents)
    _release(array.contents, _RELEASE_ARRAY())


def _release_stream(stream: Any) -> None:
    _release(stream.contents, _RELEASE_STREAM())


def _destroy_capsule(capsule: int) -> None:
    stream = _Stream.from_address(_capsule_pointer(capsule, _NAME))
    if stream.release:
        stream.release(ctypes.pointer(stream))
    _decrement(_context(capsule))


# These must live for as long as anybody may call them.
_CALLED_GET_SCHEMA: Final = _GET_SCHEMA(_get_schema)
_CALLED_GET_NEXT: Final = _GET_NEXT(_get_next)
_CALLED_GET_LAST_ERROR: Final = _GET_LAST_ERROR(_get_last_error)
_CALLED_RELEASE_SCHEMA: Final = _RELEASE_SCHEMA(_release_schema)
_CALLED_RELEASE_ARRAY: Final = _RELEASE_ARRAY(_release_array)
_CALLED_RELEASE_STREAM: Final = _RELEASE_STREAM(_release_stream)
_CALLED_DESTRUCTOR: Final = _DESTRUCTOR(_destroy_capsule)
