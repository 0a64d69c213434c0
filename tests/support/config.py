"""Running `load_config` with files that are in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import pytest

from pgproto._config import Config, load_config
from pgproto._effects import FileContents, ReadFile
from pgproto.errors import ConfigError

__all__ = ["SECRET", "Files", "file", "load", "refusal"]

SECRET = "Xq7canary9Zz"
PRIVATE = 0o100600
Files: TypeAlias = Mapping[str, FileContents | OSError]


def file(data: str, mode: int = PRIVATE) -> FileContents:
    return FileContents(data.encode(), mode, 0)


def load(
    dsn: str | None = None,
    environ: Mapping[str, str] | None = None,
    files: Files | None = None,
    *,
    os_user: str | None = "me",
    home: str | None = "/home/me",
    windows: bool = False,
    asked: list[str] | None = None,
    **params: Any,
) -> Config:
    """Run the flow with files that are in memory."""
    flow = load_config(dsn, params, environ or {}, os_user=os_user, home=home, windows=windows)
    result: FileContents | OSError | None = None
    try:
        while True:
            effect = flow.throw(result) if isinstance(result, OSError) else flow.send(result)
            assert isinstance(effect, ReadFile)
            if asked is not None:
                asked.append(effect.path)
            result = (files or {}).get(effect.path)
    except StopIteration as stop:
        config = stop.value
        assert isinstance(config, Config)
        return config


def refusal(dsn: str | None = None, /, **keywords: Any) -> str:
    """What the error says."""
    with pytest.raises(ConfigError) as caught:
        load(dsn, **keywords)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in repr(error)
        error = error.__context__
    return str(caught.value)
