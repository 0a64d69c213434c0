"""From the texts and objects that parameters are given as, to values of their types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar, runtime_checkable

from pgproto._config._keywords import KEYWORDS
from pgproto._patterns import pattern
from pgproto._seconds import LONGEST
from pgproto._secret import Secret
from pgproto.errors import ConfigError

__all__ = ["INT32_MAX", "INT32_MIN", "Values"]

T = TypeVar("T", bound=str)

_SPACE = " \t\n\v\f\r"
_INTEGER = pattern(rf"[{_SPACE}]*([+-]?[0-9]{{1,12}})[{_SPACE}]*")
_DECIMAL = pattern(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_SURROGATE = pattern("[\ud800-\udfff]")
_NOT_A_BYTE = pattern("[\ud800-\udc7f\udd00-\udfff]")
_LONGEST_SHOWN = 60

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


@runtime_checkable
class _PathLike(Protocol):
    def __fspath__(self) -> str | bytes: ...


class Values:
    """The parameters that were given, and reading them as what they must be.

    Every method raises `ConfigError`, with the name of the parameter, what it was and what it should be; the
    value of a secret is never shown, nor is one of an unexpected type.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def raw(self, name: str) -> object:
        """Return what was given, or None."""
        return self._values.get(name)

    def text(self, name: str) -> str | None:
        """Return a text; None if there is none or it is empty."""
        return self._text(name, self._values.get(name)) or None

    def _text(self, name: str, value: object) -> str | None:
        if value is None:
            return None
        is_path = name in KEYWORDS and KEYWORDS[name].path
        if is_path and isinstance(value, _PathLike):
            value = value.__fspath__()
        if not isinstance(value, str):
            raise ConfigError(f'the parameter "{name}" must be a str, not {_type_name(value)}')
        if "\0" in value:
            raise ConfigError(f'the parameter "{name}" has a zero byte, which PostgreSQL does not take')
        if (_NOT_A_BYTE if is_path else _SURROGATE).search(value):
            raise ConfigError(f'the parameter "{name}" is not UTF-8')
        return value

    def secret(self, name: str) -> Secret | None:
        """Return a text that must not be shown; None if there is none or it is empty."""
        value = self._values.get(name)
        text = self._text(name, value.reveal() if isinstance(value, Secret) else value)
        return Secret(text) if text else None

    def function(self, name: str) -> Callable[..., object] | None:
        """Return something that can be called, or None."""
        value = self._values.get(name)
        if value is None or callable(value):
            return value
        raise ConfigError(
            f'the parameter "{name}" must be something that can be called, not {_type_name(value)}'
        )

    def choice(self, name: str, allowed: tuple[T, ...], default: T) -> T:
        """Return one of a few words. The empty text is not one of them, as in libpq."""
        value = self._text(name, self._values.get(name))
        if value is None:
            return default
        for word in allowed:
            if value == word:
                return word
        raise self.wrong(name, "one of " + ", ".join(allowed))

    def integer(self, name: str, low: int, high: int = INT32_MAX) -> int | None:
        """Return a whole number in a range; None if nothing was given."""
        value = self._values.get(name)
        if isinstance(value, str):
            match = _INTEGER.fullmatch(value)
            value = None if match is None else int(match[1])
        elif value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(name, f"a whole number from {low} to {high}")
        return value

    def flag(self, name: str) -> bool:
        """Return True for "1", and False for "0" or nothing."""
        value = self._values.get(name)
        return value if isinstance(value, bool) else self.integer(name, 0, 1) == 1

    def seconds(self, name: str) -> float | None:
        """Return a time greater than zero, in seconds; None if nothing was given."""
        value = self._values.get(name)
        if isinstance(value, str) and _DECIMAL.fullmatch(value):
            value = float(value)
        elif value is None:
            return None
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= LONGEST:
            return float(value)
        raise self.wrong(name, "a number of seconds greater than 0")

    def wrong(self, name: str, right: str) -> ConfigError:
        """Make the error for a value that is not what it should be."""
        value = self._values.get(name)
        shown = _type_name(value)
        if not (name in KEYWORDS and KEYWORDS[name].secret):
            if isinstance(value, str) and len(value) > _LONGEST_SHOWN:
                shown = f"a text of {len(value)} characters"
            elif isinstance(value, int) and value.bit_length() > _LONGEST_SHOWN:
                # Python refuses to print very long ones.
                shown = f"a number of {value.bit_length()} bits"
            elif isinstance(value, (str, int, float)):
                shown = repr(value)
        return ConfigError(f'the parameter "{name}" must be {right}, not {shown}')


def _type_name(value: object) -> str:
    return f"of type {type(value).__name__}"
