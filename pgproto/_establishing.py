"""From connection parameters to a session that is ready to use: the whole way, as one flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

from pgproto._config import load_config
from pgproto._config._config import TargetSessionAttrs
from pgproto._connecting import connect
from pgproto._connecting._target import ChangedKind, change_of_kind
from pgproto._effects import Entropy, Flow, Now, Warn
from pgproto._host import describe_host
from pgproto._seconds import seconds
from pgproto._session import SessionCore
from pgproto._session._machine import RequestMachine
from pgproto._session._traces import Traces
from pgproto.errors import ConfigError
from pgproto.types import TypeRegistry

__all__ = ["establish", "registry_of"]

_NAME_BYTES = 8


def establish(
    dsn: str | None,
    parameters: Mapping[str, object],
    clock: Callable[[], float],
    types: TypeRegistry | None = None,
    timeout: float | None = None,
) -> Flow[SessionCore]:
    """Work out the configuration, connect, and make what a transport runs a session with.

    ``clock`` is the transport's; ``types`` may be shared by sessions of one database; ``timeout`` is in
    seconds, for all of it. Raises what `load_config` and `connect` raise.
    """
    deadline = None if timeout is None else (yield from Now()) + seconds(timeout)
    registry = registry_of(types)
    host = describe_host()
    config = yield from load_config(
        dsn, parameters, host.environ, os_user=host.user, home=host.home, windows=host.windows
    )
    # There may be secrets in them, and tracebacks may show the variables of frames.
    del dsn, parameters
    for warning in config.warnings:
        yield from Warn(warning)
    established = yield from connect(config, deadline=deadline)
    # Names that no other session has, not even one that a pooler shows the same server process to.
    prefix = (yield from Entropy(_NAME_BYTES)).hex()
    machine = RequestMachine(
        established.connection,
        clock=clock,
        types=registry,
        parameters=established.parameters,
        process_id=established.process_id or 0,
        can_cancel=established.secret_key is not None,
        statement_prefix=f"pgproto_{prefix}_",
        statement_cache_size=config.statement_cache_size,
        unnamed_statements=config.prepare == "unnamed",
        command_timeout=config.command_timeout,
        max_pipeline=config.max_pipeline,
        cancel_timeout=config.cancel_timeout,
        max_result_bytes=config.max_result_bytes,
    )
    if config.target_session_attrs != "any":
        watch = partial(_see_kind, config.target_session_attrs, machine.traces, machine.reports.parameters)
        machine.reports.watcher = watch
    return SessionCore(machine, established)


def registry_of(types: TypeRegistry | None) -> TypeRegistry:
    """The codecs that were given, or new ones; raises `ConfigError` if that is something else."""
    if types is None:
        return TypeRegistry()
    if not isinstance(cast("object", types), TypeRegistry):
        raise ConfigError(
            f"types is of type {type(types).__name__}; it has to be a pgproto.types.TypeRegistry, or None"
        )
    return types


def _see_kind(
    target: TargetSessionAttrs, traces: Traces, parameters: Mapping[str, str], changed: str
) -> ChangedKind | None:
    """A parameter has changed: see whether the server is still of the kind that was asked for."""
    if changed == "in_hot_standby":
        traces.refusal = unfit = change_of_kind(target, parameters)
        return unfit
    return None
