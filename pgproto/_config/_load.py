"""From what was given to a complete `Config`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pgproto._auth import AllowedMethods
from pgproto._config import _config as choices
from pgproto._config import _readers as read
from pgproto._config._config import Config
from pgproto._config._hosts import host_specs
from pgproto._config._options import check_options, is_utf8
from pgproto._config._passfile import PasswordFile
from pgproto._config._sources import Surroundings, gather
from pgproto._config._values import Values
from pgproto._effects import Flow, ReadFile
from pgproto.errors import ConfigError

__all__ = ["load_config"]

_LARGEST_STARTUP_PACKET = 10_000
"""Bytes; PostgreSQL refuses more."""

_GROUP_AND_OTHERS = 0o077
_KIND_OF_FILE, _REGULAR_FILE = 0o170000, 0o100000


def load_config(
    dsn: str | None,
    params: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    os_user: str | None = None,
    home: str | None = None,
    windows: bool = False,
) -> Flow[Config]:
    """Work out the parameters of a connection; a flow, because it may read files.

    `dsn` is a URI or `name=value` pairs; `params` are arguments by name, None for those not given; `environ`
    is the environment. `os_user` is the name of the operating system's user, the default for `user`, and
    `home` that user's home directory if $HOME does not say it. On `windows`, files are looked for in
    %APPDATA%, their permissions are not judged, and there are no Unix-domain sockets to try.

    Raises `ConfigError`, which holds nothing of the DSN but names, and no secret.
    """
    around = Surroundings(environ, os_user, home, windows)
    values = yield from gather(dsn, params, around)
    config = _build(values, around)
    _check(config)
    if config.password is None and config.ask_password is None:
        config = yield from _with_password_file(config, around)
    return config


def _build(values: Values, around: Surroundings) -> Config:
    """Read every parameter."""
    user = values.text("user") or around.os_user
    if not user:
        raise ConfigError('no "user" was given, and the operating system has no name for its own')
    asks = callable(values.raw("password"))
    open_socket = values.function("open_socket")
    lowest_protocol, highest_protocol = read.protocol_versions(values)
    lowest_tls, highest_tls = read.tls_versions(values)
    fewest_iterations, most_iterations = read.scram_iterations(values)
    return Config(
        hosts=host_specs(values, unix_sockets=not around.windows and open_socket is None),
        user=user,
        dbname=values.text("dbname") or user,
        password=None if asks else values.secret("password"),
        ask_password=values.function("password") if asks else None,
        service=values.text("service"),
        passfile=values.text("passfile") or around.in_home(".pgpass", "pgpass.conf"),
        target_session_attrs=values.choice("target_session_attrs", choices.TARGET_SESSION_ATTRS, "any"),
        load_balance_hosts=values.choice("load_balance_hosts", choices.LOAD_BALANCE_HOSTS, "disable"),
        connect_timeout=read.connect_timeout(values),
        options=_options(values),
        application_name=values.text("application_name") or values.text("fallback_application_name"),
        replication=read.replication(values),
        session_defaults=read.session_defaults(around.environ),
        min_protocol_version=lowest_protocol,
        max_protocol_version=highest_protocol,
        keepalives=read.keepalives(values),
        keepalives_idle=read.not_negative(values, "keepalives_idle", 30),
        keepalives_interval=read.not_negative(values, "keepalives_interval", 10),
        keepalives_count=read.not_negative(values, "keepalives_count", 3),
        tcp_user_timeout=read.not_negative(values, "tcp_user_timeout", 60_000),
        requirepeer=values.text("requirepeer"),
        open_socket=open_socket,
        sslmode=values.choice("sslmode", choices.SSL_MODES, "prefer"),
        sslnegotiation=values.choice("sslnegotiation", choices.SSL_NEGOTIATIONS, "postgres"),
        sslcertmode=values.choice("sslcertmode", choices.SSL_CERT_MODES, "allow"),
        sslcert=values.text("sslcert"),
        sslkey=values.text("sslkey"),
        sslpassword=values.secret("sslpassword"),
        sslrootcert=values.text("sslrootcert"),
        sslcrl=values.text("sslcrl"),
        sslcrldir=values.text("sslcrldir"),
        sslsni=values.flag("sslsni"),
        ssl_min_protocol_version=lowest_tls,
        ssl_max_protocol_version=highest_tls,
        sslkeylogfile=values.text("sslkeylogfile"),
        sslcompression=values.flag("sslcompression"),
        tls_directory=around.in_home(".postgresql", "."),
        ssl_context=read.ssl_context(values),
        require_auth=AllowedMethods.parse(values.text("require_auth") or ""),
        channel_binding=values.choice("channel_binding", choices.CHANNEL_BINDINGS, "prefer"),
        scram_min_iterations=fewest_iterations,
        scram_max_iterations=most_iterations,
        scram_client_key=read.scram_key(values, "scram_client_key"),
        scram_server_key=read.scram_key(values, "scram_server_key"),
        gssencmode=values.choice("gssencmode", choices.GSSENC_MODES, "prefer"),
        krbsrvname=values.text("krbsrvname") or "postgres",
        gsslib=values.text("gsslib"),
        gssdelegation=values.flag("gssdelegation"),
        gss_context=values.function("gss_context"),
        oauth_issuer=values.text("oauth_issuer"),
        oauth_client_id=values.text("oauth_client_id"),
        oauth_client_secret=values.secret("oauth_client_secret"),
        oauth_scope=values.text("oauth_scope"),
        oauth_token=values.function("oauth_token"),
        statement_cache_size=read.not_negative(values, "statement_cache_size", 256),
        prepare=values.choice("prepare", choices.PREPARE_MODES, "auto"),
        command_timeout=values.seconds("command_timeout"),
        cancel_timeout=values.seconds("cancel_timeout") or 1.0,
        max_pipeline=values.integer("max_pipeline", 1) or 1024,
        max_message_size=values.integer("max_message_size", 1024) or 1 << 30,
        max_result_bytes=values.integer("max_result_bytes", 1, 2**63 - 1),
        trace=values.function("trace"),
    )


def _options(values: Values) -> str | None:
    encoding = values.text("client_encoding")
    if encoding is not None and not is_utf8(encoding):
        raise values.wrong("client_encoding", "UTF8")
    options = values.text("options")
    check_options(options or "")
    return options


def _check(config: Config) -> None:
    """Refuse what contradicts itself, or asks for more than there is."""
    encrypted = config.sslmode in {"require", "verify-ca", "verify-full"}
    if config.sslrootcert == "system" and config.sslmode != "verify-full":
        raise ConfigError(f"sslrootcert=system needs sslmode=verify-full, not {config.sslmode}")
    if config.sslnegotiation == "direct" and not encrypted:
        raise ConfigError(
            f"sslnegotiation=direct needs sslmode=require, verify-ca or verify-full, not {config.sslmode}"
        )
    if config.ssl_context is not None and config.sslmode == "disable":
        raise ConfigError('an "ssl_context" was given, but sslmode=disable means that there is no TLS')
    if config.gssencmode == "require":
        raise ConfigError("gssencmode=require cannot be met: pgproto encrypts with TLS only")
    if config.open_socket is not None and config.requirepeer is not None:
        raise ConfigError("requirepeer cannot be checked on a stream that open_socket has opened")
    # Each text has a zero byte behind it; two integers stand before, and a zero byte behind them all.
    size = 9 + sum(len(text.encode()) + 1 for pair in config.startup_parameters.items() for text in pair)
    if size > _LARGEST_STARTUP_PACKET:
        raise ConfigError(
            f"user, dbname, options and application_name make a startup message of {size} bytes; PostgreSQL "
            f"takes {_LARGEST_STARTUP_PACKET}"
        )


def _with_password_file(config: Config, around: Surroundings) -> Flow[Config]:
    """Look the hosts up in the password file, if there is one."""
    if config.passfile is None:
        return config
    try:
        contents = yield from ReadFile(config.passfile)
    except OSError as error:
        return _warned(config, f"cannot be read ({error.strerror or type(error).__name__})")
    if contents is None:
        return config
    kind = contents.mode & _KIND_OF_FILE
    if kind not in {0, _REGULAR_FILE}:
        return _warned(config, "is not a plain file")
    if contents.mode & _GROUP_AND_OTHERS and not around.windows:
        return _warned(config, "can be read or written by others; its permissions must be 0600 or less")
    passwords = PasswordFile(contents.data)
    hosts = tuple(
        replace(
            host,
            password=passwords.password(host.password_file_host, str(host.port), config.dbname, config.user),
        )
        for host in config.hosts
    )
    return replace(config, hosts=hosts)


def _warned(config: Config, problem: str) -> Config:
    return replace(config, warnings=(f'the password file "{config.passfile}" {problem}: it was ignored',))
