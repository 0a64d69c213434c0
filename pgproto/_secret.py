"""`Secret`: a text that must not be seen by chance."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex, final

__all__ = ["Secret"]

_SHOWN = "'***'"


@final
class Secret:
    """Holds a password or a key, so that no repr, log line, pickle or dump of attributes shows it.

    `reveal()` is the only way to get at the text. Secrets compare without telling by the time it takes how
    much of them is equal. They have no hash and cannot be pickled; a copy is the same object.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text. Keep it in as few variables, and for as short a time, as possible."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({_SHOWN})"

    def __str__(self) -> str:
        return "***"

    def __format__(self, format_spec: str) -> str:
        return format(str(self), format_spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        from hmac import compare_digest

        return compare_digest(
            self._text.encode("utf-8", "surrogatepass"), other._text.encode("utf-8", "surrogatepass")
        )

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")
